//! Resolves a client's request into everything that a supervisor needs: every default is filled
//! in, every value is checked. An error names the wrong field and says what would be right.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `files` | the files of the working directory |
//! | `commands` | the compile steps and the program |
//! | `placeholders` | what a runtime's commands and variables say about the request |
//! | `includes` | which files are part of others |
//! | `environment` | the environment variables |
//! | `collect` | the files that are taken at the end |
//! | `cases` | the cases with which the program is run |
//! | `exercise` | what an exercise adds to the request of a pupil |
//! | `limits` | the limits, and the settings that bound them |
//! | `cache_key` | the key of the compile steps' result in the compile cache |

mod bad_field;
pub mod cache_key;
mod cases;
mod collect;
mod commands;
mod endpoint;
mod environment;
mod exercise;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod includes;
mod limits;
mod placeholders;

use std::{path::PathBuf, sync::Arc};

use livecode_protocol::{
    FileName,
    cases::Checker,
    exercise::ExerciseVersion,
    results::CollectSpec,
    run_spec::{CasesSpec, CheckerSpec, Contents, Mount, RunFile, SessionLimits, Step},
    session::{CreateSession, Mode},
};

pub use bad_field::BadField;
pub use endpoint::Endpoint;
pub use exercise::{
    apply_exercise, check_exercise_request, misfit, pupils_error, trial_request, unknown_version_of,
};
pub(crate) use limits::floor;
pub use limits::{LimitFlags, LimitSettings};

use crate::{
    catalogue::{Catalogue, FindError, FoundRoot, Runtime},
    spec::{
        cache_key::CacheKeyInputs,
        commands::Commands,
        files::{STDIN_FILE, check_disk_limits, collect_files, parse_file_name},
        placeholders::{Placeholders, SourceChoice},
    },
};

/// A request with every default filled in: what a `RunSpec` is made of, once the session has an id
/// and a slot.
#[derive(Debug)]
pub struct ResolvedSpec {
    /// The name of the runtime, where the request may have given an alias.
    pub runtime: String,
    /// The compile steps, in order.
    pub compile: Vec<Step>,
    /// The program.
    pub run: Step,
    /// The whole environment of the steps.
    pub env: Vec<(String, String)>,
    /// The files of the working directory.
    pub files: Vec<RunFile>,
    /// Standard input; `None` if it comes later, as `input` messages.
    pub stdin: Option<Contents>,
    /// The folders of the machine that are mounted in the sandbox.
    pub mounts: Vec<Mount>,
    /// The folder whose contents the program sees in place of the machine's `/usr`, if any.
    pub root: Option<PathBuf>,
    /// The lock of that folder if it is an image's, which is to be held until the session has ended.
    pub root_lock: Option<Arc<FoundRoot>>,
    /// The limits of the session.
    pub limits: SessionLimits,
    /// Whether the tests are run instead of the program.
    pub mode: Mode,
    /// Whether the compile steps are told apart from the program.
    pub stages: bool,
    /// The files that are taken at the end, if any.
    pub collect: Option<CollectSpec>,
    /// The cases with which the program is run, if any.
    pub cases: Option<CasesSpec>,
    /// The exercise that the request was for, if any.
    pub exercise: Option<ExerciseVersion>,
    /// Whether input that clients send is kept in the journal.
    pub echo: bool,
    /// Whether the places of errors are told as data.
    pub diagnostics: bool,
    /// The part of the compile cache's key that is not in this spec; `None` if the result of the
    /// compile steps is not cached.
    pub cache_key_inputs: Option<CacheKeyInputs>,
}

/// Checks a request and fills in its defaults.
///
/// # Errors
/// The first field that is wrong.
pub fn resolve(
    request: &CreateSession,
    catalogue: &Catalogue,
    settings: &LimitSettings,
    endpoint: Endpoint,
) -> Result<ResolvedSpec, BadField> {
    let runtime = find_runtime(request.runtime.as_deref(), catalogue)?;
    let environment = environment::check(request.env.as_ref())?;
    let mode = request.mode.unwrap_or(environment.mode);
    let mut files = collect_files(request, runtime)?;
    let stdin_file = files.remove(&FileName::from_static(STDIN_FILE));
    let stdin = match (&request.stdin, stdin_file, environment.stdin) {
        (Some(_), Some(_), _) => {
            return Err(BadField::new(
                "stdin",
                "standard input is given twice, here and as a file named \"stdin\"; leave one out",
            ));
        }
        (Some(text), None, _) => Some(Contents::Text(text.clone())),
        (None, Some(contents), _) => Some(contents),
        (None, None, Some(text)) => Some(Contents::Text(text)),
        (None, None, None) if endpoint == Endpoint::V01 => Some(Contents::Text(String::new())),
        (None, None, None) => None,
    };
    let source = match (environment.source_file, &request.code_filename) {
        (Some(name), _) => SourceChoice { name, is_explicit: true },
        (None, Some(name)) if request.code.is_some() => {
            SourceChoice { name: parse_file_name("code_filename", name)?, is_explicit: false }
        }
        _ => SourceChoice { name: runtime.manifest.file.clone(), is_explicit: false },
    };

    let limits = limits::resolve(request, runtime, settings, endpoint)?;
    check_disk_limits(request, &files, &limits.session)?;
    let placeholders = |step| Placeholders::new(&source, &files, step, limits.session.cpu_millicores);
    let (compile, run) = (placeholders(&limits.compile), placeholders(&limits.run));
    let commands = Commands::resolve(request, runtime, mode, &source.name, &files, (&compile, &run))?;
    // The compile steps have the same environment as the program, so it tells the program's limits.
    let env = environment::build(runtime, environment.variables, |value| run.fill(value));
    let step = |argv: Vec<String>, limits| Step { argv, limits };
    let has_compile_steps = !commands.compile.is_empty();
    let base = cases::Base {
        runtime,
        mode,
        has_compile_steps,
        command: &commands.run,
        files: &files,
        has_stdin: stdin.is_some(),
        limits: &limits.session,
        is_exercise: request.exercise.is_some(),
    };
    let checker = request.checker.as_ref();
    let checker =
        checker.map(|checker| resolve_checker(checker, runtime, catalogue, settings)).transpose()?;
    let cases = cases::resolve(request, settings, &base, checker)?;
    Ok(ResolvedSpec {
        runtime: runtime.name.clone(),
        compile: commands.compile.into_iter().map(|argv| step(argv, limits.compile)).collect(),
        run: step(commands.run, limits.run),
        env,
        files: files.into_iter().map(|(name, contents)| RunFile { name, contents }).collect(),
        stdin,
        mounts: runtime.present_mounts(),
        root: runtime.root.clone(),
        root_lock: runtime.found_root.clone(),
        limits: limits.session,
        mode,
        stages: request.stages.unwrap_or(false),
        collect: collect::resolve(request, settings)?,
        cases,
        exercise: None,
        echo: request.echo == Some(true) && endpoint == Endpoint::Sessions,
        diagnostics: request.diagnostics == Some(true) && endpoint == Endpoint::Sessions,
        cache_key_inputs: has_compile_steps.then(|| CacheKeyInputs::new(runtime)).flatten(),
    })
}

/// Checks the checker of a request as the request for a session of its own.
fn resolve_checker(
    checker: &Checker,
    runtime: &Runtime,
    catalogue: &Catalogue,
    settings: &LimitSettings,
) -> Result<CheckerSpec, BadField> {
    let Checker { runtime: name, code, files, timeout, limits } = checker.clone();
    let timeout = timeout.or(Some(settings.case_wall_ms.min(settings.wall_max_ms)));
    let request = CreateSession { runtime: name, code, files, timeout, limits, ..CreateSession::default() };
    let resolved = resolve(&request, catalogue, settings, Endpoint::Sessions);
    let resolved =
        resolved.map_err(|error| BadField { field: format!("checker.{}", error.field), ..error })?;
    let name = &resolved.runtime;
    if !resolved.compile.is_empty() {
        let detail =
            format!("{name:?} compiles its programs; choose a runtime for the checker that does not");
        return Err(BadField::new("checker.runtime", detail));
    }
    // The session holds the image of its own runtime alone.
    if resolved.root_lock.is_some() && resolved.root != runtime.root {
        let detail =
            format!("{name:?} has an image of its own; choose a runtime for the checker that has none");
        return Err(BadField::new("checker.runtime", detail));
    }
    let ResolvedSpec { run, env, files, mounts, root, limits, .. } = resolved;
    Ok(CheckerSpec { run, env, files, mounts, root, limits })
}

/// Finds a runtime by name or alias, with a version if there is one, and checks that this machine
/// can run it.
fn find_runtime<'c>(name: Option<&str>, catalogue: &'c Catalogue) -> Result<&'c Runtime, BadField> {
    let name = name.ok_or_else(|| {
        let known = catalogue.names();
        BadField::new("runtime", format!("the runtime is missing; choose one of {known}"))
    })?;
    let runtime = catalogue.find(name).map_err(|error| BadField {
        unknown_version_of: match &error {
            FindError::VersionUnknown(runtime) => Some(runtime.clone()),
            _ => None,
        },
        ..BadField::new("runtime", error.to_string())
    })?;
    match &runtime.needs {
        Some(needs) => Err(BadField::new("runtime", format!("{name:?} cannot run here: {needs}"))),
        None => Ok(runtime),
    }
}

#[cfg(test)]
mod tests;
