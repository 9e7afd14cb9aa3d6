//! Exercises: the part of a session that is kept on the server, and what a pupil adds to it.

use livecode_protocol::{
    ErrorCode, FileName,
    exercise::{Exercise, ExerciseId},
    session::{CreateSession, SourceFile},
};

use crate::{
    catalogue::{Catalogue, FindError},
    spec::bad_field::BadField,
};

/// A request for a session with an empty program, by which an exercise is checked.
///
/// # Errors
/// If the exercise has no cases.
pub fn trial_request(
    id: &ExerciseId,
    exercise: &Exercise,
    catalogue: &Catalogue,
) -> Result<CreateSession, BadField> {
    if exercise.cases.is_none() {
        let detail = "an exercise grades programs by cases, and has none; give at least one";
        return Err(BadField::new("cases", detail));
    }
    let main_file = main_file(exercise, catalogue);
    let has_main_file = main_file.is_some_and(|main| file_names(exercise).any(|name| name == main));
    let code = (!has_main_file).then(String::new);
    let request = CreateSession { exercise: Some(id.clone()), code, ..CreateSession::default() };
    Ok(fill_in(request, exercise.clone()))
}

/// The name of a runtime that must say its version before an exercise can be judged, if any.
pub fn unknown_version_of(exercise: &Exercise, catalogue: &Catalogue) -> Option<String> {
    let checker = exercise.checker.as_ref().and_then(|checker| checker.runtime.as_deref());
    let names = [exercise.runtime.as_deref(), checker].into_iter().flatten();
    names.map(|name| catalogue.find(name)).find_map(|found| match found {
        Err(FindError::VersionUnknown(runtime)) => Some(runtime),
        _ => None,
    })
}

/// Checks the request of a pupil as far as it can be judged without the exercise.
///
/// # Errors
/// The first field that every exercise fixes, or that is missing.
pub fn check_exercise_request(request: &CreateSession) -> Result<(), BadField> {
    let given = [
        ("runtime", request.runtime.is_some()),
        ("code_filename", request.code_filename.is_some()),
        ("command", request.command.is_some()),
        ("args", request.args.is_some()),
        ("env", request.env.is_some()),
        ("stdin", request.stdin.is_some()),
        ("mode", request.mode.is_some()),
        ("collect", request.collect.is_some()),
        ("cases", request.cases.is_some()),
        ("checker", request.checker.is_some()),
        ("stop_on_first_failure", request.stop_on_first_failure.is_some()),
        ("total_timeout", request.total_timeout.is_some()),
        ("timeout", request.timeout.is_some()),
        ("limits", request.limits.is_some()),
    ];
    if let Some((field, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
        return Err(fixed(field, "the exercise fixes this; leave it out"));
    }
    if request.code.is_none() && request.files.as_ref().is_none_or(Vec::is_empty) {
        let detail = "the program is missing; give it as \"code\" or as \"files\"";
        return Err(BadField::new("code", detail));
    }
    Ok(())
}

fn fixed(field: impl Into<String>, detail: &str) -> BadField {
    BadField { code: ErrorCode::FixedByExercise, ..BadField::new(field, detail) }
}

/// Adds what an exercise fixes to the request of a pupil, which [`check_exercise_request`] has
/// accepted.
///
/// # Errors
/// If the request has a file of the exercise.
pub fn apply_exercise(
    request: CreateSession,
    exercise: Exercise,
    catalogue: &Catalogue,
) -> Result<CreateSession, BadField> {
    let main_file = main_file(&exercise, catalogue).filter(|_| request.code.is_some());
    for name in file_names(&exercise) {
        if main_file.as_ref() == Some(&name) {
            let detail = format!("the exercise has the file {name}, where the code would be; give \"files\"");
            return Err(fixed("code", &detail));
        }
        let own = request.files.iter().flatten().position(|file| is_named(file, &name));
        if let Some(index) = own {
            let detail = format!("the exercise has a file {name} of its own; leave this one out");
            return Err(fixed(format!("files[{index}].filename"), &detail));
        }
    }
    Ok(fill_in(request, exercise))
}

/// The error that a pupil is told for one in a request with the fields of an exercise. It says
/// nothing about the cases, which may be hidden, nor about the checker. `of_trial` is the error of the exercise's
/// [`trial_request`]: one that is wrong even with an empty program is not the pupil's fault.
pub fn pupils_error(error: BadField, of_trial: Option<BadField>) -> BadField {
    if of_trial.is_some_and(|error| error.unknown_version_of.is_none()) {
        return misfit();
    }
    if !["cases", "checker"].iter().any(|field| error.field.starts_with(field)) {
        return error;
    }
    let detail = "the exercise cannot be run with these files: a case has a file that is a folder here, or the \
                  other way round, or the files take too much of the working directory";
    BadField::new("exercise", detail)
}

/// The error of an exercise that the server has accepted once, and would not accept now.
pub fn misfit() -> BadField {
    let detail = "the exercise does not fit this server any more, whose runtimes or limits have changed since it was \
                  put; ask its author to put it again";
    BadField::new("exercise", detail)
}

/// A request with the fields of the exercise. The indexes of the pupil's files stay as they are.
fn fill_in(request: CreateSession, exercise: Exercise) -> CreateSession {
    let Exercise { runtime, files, cases, checker, stop_on_first_failure, total_timeout, timeout, limits } =
        exercise;
    let mut all = request.files.unwrap_or_default();
    all.extend(files.unwrap_or_default());
    CreateSession {
        runtime,
        files: Some(all),
        cases,
        checker,
        stop_on_first_failure,
        total_timeout,
        timeout,
        limits,
        ..request
    }
}

/// The file in which the code of a program is saved; `None` if the runtime is not there.
fn main_file(exercise: &Exercise, catalogue: &Catalogue) -> Option<FileName> {
    let runtime = catalogue.find(exercise.runtime.as_deref()?).ok()?;
    Some(runtime.manifest.file.clone())
}

/// The names of the exercise's files. A malformed one is found when the request is resolved.
fn file_names(exercise: &Exercise) -> impl Iterator<Item = FileName> + '_ {
    exercise.files.iter().flatten().filter_map(|file| file.filename.parse().ok())
}

fn is_named(file: &SourceFile, name: &FileName) -> bool {
    file.filename.parse::<FileName>().is_ok_and(|own| own == *name)
}
