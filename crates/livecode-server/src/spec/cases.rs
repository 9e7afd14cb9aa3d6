//! The cases with which a program is run.

use livecode_protocol::{
    cases::{CHECKER_FILES, Case, Compare, DEFAULT_TOLERANCE, MAX_CASE_NAME_BYTES, MAX_CASE_OUTPUT_BYTES},
    run_spec::{CaseSpec, CasesSpec, CheckerSpec, Contents, RunFile, SessionLimits},
    session::{CreateSession, Mode},
};

use crate::{
    catalogue::Runtime,
    spec::{
        bad_field::BadField,
        commands::{MAX_ARGUMENT_BYTES, argument_bytes},
        files::{
            Files, STDIN_FILE, check_disk_space, check_folders, collect_source_files, content_bytes,
            file_bytes,
        },
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

/// Checks the cases of a request, which `checker` may decide. Returns `None` if there are none.
pub(super) fn resolve(
    request: &CreateSession,
    settings: &LimitSettings,
    base: &Base<'_>,
    checker: Option<CheckerSpec>,
) -> Result<Option<CasesSpec>, BadField> {
    let Some(cases) = &request.cases else {
        for (field, is_given) in [
            ("stop_on_first_failure", request.stop_on_first_failure.is_some()),
            ("total_timeout", request.total_timeout.is_some()),
            ("checker", checker.is_some()),
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
    let resolved = resolved.collect::<Result<Vec<_>, _>>()?;
    check_checker(&resolved, checker.as_ref(), base)?;
    Ok(Some(CasesSpec {
        cases: resolved,
        checker: checker.map(Box::new),
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

/// Checks that there is a checker if a case needs it, and that it has room for its files.
fn check_checker(cases: &[CaseSpec], checker: Option<&CheckerSpec>, base: &Base<'_>) -> Result<(), BadField> {
    let needing = cases.iter().position(|case| case.compare == Compare::Checker);
    let Some(checker) = checker else {
        return needing.map_or(Ok(()), |index| {
            let detail = "there is no checker; give it as \"checker\" of the request";
            Err(BadField::new(format!("cases[{index}].compare"), detail))
        });
    };
    if needing.is_none() {
        let detail = "no case has \"compare\": \"checker\"; leave it out, or let a case have that";
        return Err(BadField::new("checker", detail));
    }
    let own = checker.files.iter().map(|file| (&file.name, &file.contents));
    if let Some((name, _)) = own.clone().find(|(name, _)| {
        CHECKER_FILES
            .iter()
            .any(|given| name.as_str() == *given || name.parents().any(|folder| folder == *given))
    }) {
        let detail = format!("the checker is given a file of this name ({name}); choose another name");
        return Err(BadField::new("checker.files", detail));
    }
    // The checker's working directory must have room for all that a program may print.
    let output = MAX_CASE_OUTPUT_BYTES.min(base.limits.output_bytes);
    let given = cases.iter().filter(|case| case.compare == Compare::Checker).map(|case| {
        let expected = case.expected.as_ref().map_or(0, String::len) as u64;
        file_bytes(expected) + file_bytes(content_bytes(&case.stdin)) + file_bytes(output)
    });
    let bytes =
        given.max().unwrap_or(0) + own.map(|(_, contents)| file_bytes(content_bytes(contents))).sum::<u64>();
    if bytes > checker.limits.disk_bytes {
        let detail = format!(
            "the checker may need {bytes} bytes for its files, and its working directory has {}",
            checker.limits.disk_bytes
        );
        return Err(BadField::new("checker.limits.disk_bytes", detail));
    }
    Ok(())
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
    if case.expected.is_none() && compare != Compare::Checker && case.compare.is_some() {
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
