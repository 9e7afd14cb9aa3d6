//! The cases with which a program is run.

use livecode_protocol::{
    cases::{Case, Compare, DEFAULT_TOLERANCE, MAX_CASE_NAME_BYTES},
    run_spec::{CaseSpec, CasesSpec, Contents, RunFile, SessionLimits},
    session::{CreateSession, Mode},
};

use crate::{
    catalogue::Runtime,
    spec::{
        bad_field::BadField,
        commands::{MAX_ARGUMENT_BYTES, argument_bytes},
        files::{Files, STDIN_FILE, check_disk_space, check_folders, collect_source_files},
        limits::{LimitSettings, floor, requested_or_default},
    },
};

/// The parts of a resolved request that its cases build on.
pub(super) struct Base<'r> {
    pub runtime: &'r Runtime,
    pub mode: Mode,
    /// Whether the program is compiled.
    pub has_compile_steps: bool,
    /// The command of the program, without the arguments of a case.
    pub command: &'r [String],
    /// The files of the session.
    pub files: &'r Files,
    /// Whether the request has standard input for the whole session.
    pub has_stdin: bool,
    pub limits: &'r SessionLimits,
    /// Whether the cases are those of an exercise, where they can be hidden.
    pub is_exercise: bool,
}

/// Checks the cases of a request. Returns `None` if there are none.
pub(super) fn resolve(
    request: &CreateSession,
    settings: &LimitSettings,
    base: &Base<'_>,
) -> Result<Option<CasesSpec>, BadField> {
    let Some(cases) = &request.cases else {
        for (field, is_given) in [
            ("stop_on_first_failure", request.stop_on_first_failure.is_some()),
            ("total_timeout", request.total_timeout.is_some()),
        ] {
            if is_given {
                return Err(BadField::new(field, "has a meaning only with \"cases\"; leave it out"));
            }
        }
        return Ok(None);
    };
    check_rest(request, base)?;
    let count = cases.len() as u64;
    if count == 0 {
        return Err(BadField::new("cases", "the list is empty; give at least one case, or leave it out"));
    }
    if count > settings.cases_max {
        let detail = format!("there are {count} cases; at most {} are allowed", settings.cases_max);
        return Err(BadField::new("cases", detail));
    }
    let bytes: u64 = cases.iter().map(case_bytes).sum();
    if bytes > settings.cases_max_bytes {
        let detail = format!(
            "the cases have {bytes} bytes of names, input, arguments, files and expected output; at most {} are \
             allowed for all together",
            settings.cases_max_bytes
        );
        return Err(BadField::new("cases", detail));
    }
    let resolved = cases.iter().enumerate().map(|(index, case)| resolve_case(index, case, settings, base));
    Ok(Some(CasesSpec {
        cases: resolved.collect::<Result<_, _>>()?,
        stop_on_first_failure: request.stop_on_first_failure.unwrap_or(false),
        total_wall_ms: requested_or_default(
            "total_timeout",
            request.total_timeout,
            settings.wall_ms,
            floor::WALL_MS..=settings.wall_max_ms,
        )?,
        artefacts: if base.has_compile_steps { base.runtime.manifest.artefacts.clone() } else { vec![] },
    }))
}

/// Checks what else stands in a request that has cases.
fn check_rest(request: &CreateSession, base: &Base<'_>) -> Result<(), BadField> {
    if base.mode == Mode::Test {
        let detail =
            "the mode \"test\" runs the tests among the files, and takes no cases; leave out one of them";
        return Err(BadField::new("cases", detail));
    }
    if base.has_stdin {
        let detail = "each case has standard input of its own; give it there as \"stdin\"";
        return Err(BadField::new("stdin", detail));
    }
    if request.collect.as_ref().is_some_and(|patterns| !patterns.is_empty()) {
        let detail = "the files of cases are not kept; leave out \"collect\" or \"cases\"";
        return Err(BadField::new("collect", detail));
    }
    if base.has_compile_steps && base.runtime.manifest.artefacts.is_empty() {
        let detail = format!(
            "the runtime {:?} does not tell what its compile steps make (\"artefacts\" in its runtime.toml), so its \
             program cannot be compiled once for all cases",
            base.runtime.name
        );
        return Err(BadField::new("cases", detail));
    }
    Ok(())
}

/// The bytes of a case that count against the limit of all cases together.
fn case_bytes(case: &Case) -> u64 {
    let texts = [&case.name, &case.stdin, &case.expected].into_iter().flatten();
    let args = case.args.iter().flatten();
    let files = case.files.iter().flatten().flat_map(|file| [&file.filename, &file.contents]);
    texts.chain(args).chain(files).map(|text| text.len() as u64).sum()
}

fn resolve_case(
    index: usize,
    case: &Case,
    settings: &LimitSettings,
    base: &Base<'_>,
) -> Result<CaseSpec, BadField> {
    let bad = |name: &str, detail: String| BadField::new(format!("cases[{index}].{name}"), detail);
    let name = case.name.clone().unwrap_or_else(|| (index + 1).to_string());
    if name.is_empty() || name.len() > MAX_CASE_NAME_BYTES {
        let detail =
            format!("a name has between 1 and {MAX_CASE_NAME_BYTES} bytes; this one has {}", name.len());
        return Err(bad("name", detail));
    }
    let args = case.args.clone().unwrap_or_default();
    let bytes = argument_bytes(base.command) + argument_bytes(&args);
    if bytes > MAX_ARGUMENT_BYTES {
        let detail =
            format!("with them, the command has {bytes} bytes; at most {MAX_ARGUMENT_BYTES} are allowed");
        return Err(bad("args", detail));
    }
    if args.iter().any(|word| word.contains('\0')) {
        return Err(bad("args", "no word of a command may contain a NUL character".into()));
    }
    let compare = case.compare.unwrap_or_default();
    if case.expected.is_none() && case.compare.is_some() {
        let detail = "there is nothing to compare the output with; give it as \"expected\"";
        return Err(bad("compare", detail.into()));
    }
    if let Some(tolerance) = case.tolerance {
        if compare != Compare::Floats {
            return Err(bad(
                "tolerance",
                "has a meaning only with \"compare\": \"floats\"; leave it out".into(),
            ));
        }
        if !(tolerance.is_finite() && tolerance >= 0.0) {
            return Err(bad("tolerance", format!("{tolerance} is not a number from 0 on")));
        }
    }
    let wall_ms = requested_or_default(
        &format!("cases[{index}].timeout"),
        case.timeout,
        base.limits.wall_ms,
        floor::WALL_MS..=settings.wall_max_ms,
    )?;
    if case.hidden.is_some() && !base.is_exercise {
        let detail = "only the cases of an exercise can be hidden; leave it out";
        return Err(bad("hidden", detail.into()));
    }
    Ok(CaseSpec {
        name,
        stdin: Contents::Text(case.stdin.clone().unwrap_or_default()),
        args,
        files: resolve_files(index, case, base)?,
        expected: case.expected.clone(),
        compare,
        tolerance: case.tolerance.unwrap_or(DEFAULT_TOLERANCE),
        wall_ms,
        is_hidden: case.hidden == Some(true),
    })
}

/// The files of a case, which together with those of the session must fit into the working
/// directory.
fn resolve_files(index: usize, case: &Case, base: &Base<'_>) -> Result<Vec<RunFile>, BadField> {
    let Some(source_files) = &case.files else { return Ok(vec![]) };
    let field = format!("cases[{index}].files");
    let mut own = Files::new();
    collect_source_files(&field, source_files, &mut own)?;
    if own.keys().any(|name| name.as_str() == STDIN_FILE) {
        let detail = "a file named \"stdin\" would be standard input; give it as \"stdin\" of the case";
        return Err(BadField::new(field, detail));
    }
    // A file of the case replaces one of the session. Nothing is copied here: a request may have
    // many cases, and large files.
    let all = base.files.iter().filter(|(name, _)| !own.contains_key(*name)).chain(&own);
    check_folders(&field, all.clone().map(|(name, _)| name))?;
    check_disk_space(&field, all, base.limits)?;
    Ok(own.into_iter().map(|(name, contents)| RunFile { name, contents }).collect())
}
