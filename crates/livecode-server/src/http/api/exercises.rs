//! `/exercises`: what teachers keep on the server for the programs of pupils, and sessions for an
//! exercise.

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{
        Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use livecode_protocol::{
    ErrorCode,
    exercise::{Exercise, ExerciseDocument, ExerciseId, ExerciseVersion},
    now_us,
    session::{CreateSession, Problem},
};
use livecode_store::{ControlStore, ExerciseBounds, ExerciseScope, NewExercise, PutExercise, StoredExercise};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::{
    app::App,
    body::{HeldBody, check_credential, parse_json, read_body},
    caller::{ClientAddress, PublicAddress},
    paging::{link_to_next, parse_limit, wrong_cursor},
    problem::ApiError,
};
use crate::{
    audit::{Action, Target},
    auth::{Caller, Payer},
    catalogue::Catalogue,
    config::Config,
    held_bytes::HeldBytes,
    rfc3339::rfc3339,
    spec::{
        BadField, Endpoint, ResolvedSpec, apply_exercise, check_exercise_request, misfit, pupils_error,
        resolve, trial_request, unknown_version_of,
    },
};

/// How many exercises a page of the list has at most, whatever `limit` asks for.
const MAX_PAGE_EXERCISES: u64 = 1_000;

/// A caller that may put exercises.
struct Author<'a> {
    store: &'a ControlStore,
    /// The caller as the audit names it.
    name: String,
    /// The exercises that it may see and change.
    scope: ExerciseScope,
}

/// The caller, if it may put exercises. For other callers there is nothing here.
fn author<'a>(app: &'a App, caller: &Caller) -> Result<Author<'a>, ApiError> {
    if !app.registry.roles().may_write_exercises(caller) {
        let detail = "there is nothing here for you: exercises are kept by the local user, by admins, and by users \
                      whose role has write_exercises";
        return Err(ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, detail));
    }
    let name = caller.audit_name();
    let scope = match caller.may_administer() {
        true => ExerciseScope::All,
        false => ExerciseScope::Owner(name.clone()),
    };
    Ok(Author { store: store(app)?, name, scope })
}

fn store(app: &App) -> Result<&ControlStore, ApiError> {
    app.control_store.as_ref().ok_or_else(|| {
        let detail = "the server runs without its control store, and has logged why";
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, detail)
    })
}

fn no_such_exercise(id: &str) -> ApiError {
    let detail = format!("there is no exercise {id:?}");
    ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NoSuchExercise, detail)
}

fn parse_id(id: Result<Path<String>, PathRejection>) -> Result<ExerciseId, ApiError> {
    let Path(id) = id.map_err(|error| ApiError::field("id", error.body_text()))?;
    id.parse().map_err(|error| ApiError::field("id", format!("{error}")))
}

/// The document that describes an exercise; `contents` are left out of lists.
pub(crate) fn exercise_document(stored: StoredExercise, contents: Option<Box<RawValue>>) -> ExerciseDocument {
    let StoredExercise { id, version, created_us, updated_us, cases, hidden } = stored;
    let (created, updated) = (rfc3339(created_us), rfc3339(updated_us));
    ExerciseDocument { id, version, created, updated, cases, hidden, contents }
}

/// The exercise with this id, as the audit has it.
fn of_exercise(id: &ExerciseId) -> Target {
    Target { session: None, subject: Some(id.to_string()) }
}

/// The query parameters of the list of exercises.
#[derive(Debug, Deserialize)]
pub(crate) struct ExerciseListQuery {
    limit: Option<String>,
    cursor: Option<String>,
}

/// Lists the caller's exercises, and those of all for admins and the local user, in the order of
/// their ids, page by page. The `Link` header of a page leads to the next.
#[utoipa::path(
    get, path = "/exercises", tag = "exercises", operation_id = "list_exercises",
    params(
        ("limit" = Option<u64>, Query, minimum = 1, description = "Number of exercises in one page; the server answers at most 1,000"),
        ("cursor" = Option<String>, Query, description = "Where the page begins; the link to the next page has it"),
    ),
    responses(
        (status = 200, description = "The exercises, without their contents", body = [ExerciseDocument], headers(
            ("Link" = String, description = "The next page, with `rel=\"next\"` (RFC 8288); absent on the last page"),
        )),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The caller may not keep exercises", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`limit` is not a positive number, or `cursor` is not from a link of this server", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(address): Extension<PublicAddress>,
    query: Result<Query<ExerciseListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Author { store, scope, .. } = author(&app, &caller)?;
    let Query(query) = query.map_err(|error| ApiError::field("limit", error.body_text()))?;
    let after =
        query.cursor.as_deref().map(|text| text.parse().map_err(|_| wrong_cursor(text))).transpose()?;
    let limit = query.limit.as_deref().map(parse_limit).transpose()?;
    let max = limit.unwrap_or(u64::MAX).min(MAX_PAGE_EXERCISES) as usize;
    let mut exercises = store.exercises(&scope, after.as_ref(), max + 1).await?;
    let has_more = exercises.len() > max;
    exercises.truncate(max);
    let last = exercises.last().filter(|_| has_more);
    let next = last.map(|last| format!("/exercises?limit={max}&cursor={}", last.id));
    let documents: Vec<_> = exercises.into_iter().map(|stored| exercise_document(stored, None)).collect();
    let response = Json(documents).into_response();
    match next {
        Some(path) => link_to_next(response, &address, &path),
        None => Ok(response),
    }
}

/// Shows an exercise with its contents.
#[utoipa::path(
    get, path = "/exercises/{id}", tag = "exercises", operation_id = "show_exercise",
    params(("id" = String, Path, description = "The exercise's id")),
    responses(
        (status = 200, description = "The exercise", body = ExerciseDocument),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such exercise of the caller, or the caller may not keep exercises", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The id cannot be that of an exercise", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server holds as many bytes as it may", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ExerciseDocument>, ApiError> {
    let Author { store, scope, .. } = author(&app, &caller)?;
    let id = parse_id(id)?;
    let found = store.exercise(&id, &scope).await?;
    let (stored, contents) = found.ok_or_else(|| no_such_exercise(id.as_str()))?;
    let contents = RawValue::from_string(contents).map_err(|error| ApiError::internal(&error))?;
    Ok(Json(exercise_document(stored, Some(contents))))
}

fn too_many_exercises(detail: String) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyExercises, detail)
}

/// The result of checking the contents of an exercise.
enum CheckedContents {
    /// They are right, and can be stored.
    Right(NewExercise),
    /// These contents can be judged when this runtime has said its version.
    OfUnknownVersion(Bytes, String),
}

/// The error of an exercise with these contents and an empty program, if any.
fn error_of_trial(
    contents: &[u8],
    id: &ExerciseId,
    catalogue: &Catalogue,
    config: &Config,
) -> Option<BadField> {
    let exercise: Exercise = parse_json(contents).ok()?;
    let trial = trial_request(id, &exercise, catalogue);
    let resolve = |trial| resolve(&trial, catalogue, &config.limits, Endpoint::Sessions);
    trial.and_then(resolve).err()
}

/// Checks the contents of an exercise with this id, which this owner puts.
fn check_contents(
    bytes: &[u8],
    (id, owner): (ExerciseId, String),
    catalogue: &Catalogue,
    config: &Config,
) -> Result<CheckedContents, ApiError> {
    let exercise: Exercise = parse_json(bytes)?;
    if let Some(runtime) = unknown_version_of(&exercise, catalogue) {
        return Ok(CheckedContents::OfUnknownVersion(Bytes::copy_from_slice(bytes), runtime));
    }
    resolve(&trial_request(&id, &exercise, catalogue)?, catalogue, &config.limits, Endpoint::Sessions)?;
    // Spelled anew, so that the same contents are the same text.
    let contents = serde_json::to_string(&exercise).map_err(|error| ApiError::internal(&error))?;
    if contents.len() as u64 > config.exercise_max_bytes {
        let detail = format!(
            "the exercise has {} bytes; at most {} are allowed",
            contents.len(),
            config.exercise_max_bytes
        );
        return Err(ApiError::body_too_large(detail));
    }
    let cases = exercise.cases.unwrap_or_default();
    let hidden = cases.iter().filter(|case| case.hidden == Some(true)).count() as u64;
    Ok(CheckedContents::Right(NewExercise { id, owner, cases: cases.len() as u64, hidden, contents }))
}

/// Keeps an exercise, or replaces it. Sessions that were created for it before keep the version
/// that they began with. The same contents again change nothing.
#[utoipa::path(
    put, path = "/exercises/{id}", tag = "exercises", operation_id = "put_exercise",
    params(("id" = String, Path, max_length = 100, description = "The exercise's id, which the caller chooses")),
    request_body = Exercise,
    responses(
        (status = 200, description = "The exercise was replaced, or had these contents already", body = ExerciseDocument),
        (status = 201, description = "The exercise is new", body = ExerciseDocument, headers(
            ("Location" = String, description = "URL of the exercise"),
        )),
        (status = 400, description = "The body is not well-formed JSON", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The exercise is somebody else's, or the Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The caller may not keep exercises", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body, or the exercise, is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The caller's credential has ended meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The owner has as many exercises, or bytes of them, as one may have", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The server failed, and has logged the cause", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server holds as many bytes as it may", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "There is no space left on the disk", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    Extension(address): Extension<PublicAddress>,
    id: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let Author { store, name, scope } = author(&app, &caller)?;
    let id = parse_id(id)?;
    let mut body = read_body(&app, &caller, payer, request.into_body()).await?;
    // The bytes are charged until the exercise is on disk.
    let (new, _held) = loop {
        let (catalogue, config) = (app.catalogue.now(), app.config.clone());
        let (id, owner) = (id.clone(), name.clone());
        let check = move |bytes: &[u8]| check_contents(bytes, (id, owner), &catalogue, &config);
        let (checked, held) = body.process(&app, check).await?;
        match checked {
            CheckedContents::Right(new) => break (new, held),
            CheckedContents::OfUnknownVersion(bytes, runtime) => {
                let account = app.registry.roles().account(&caller, payer);
                app.checks.ensure(&runtime, &account).await?;
                body = HeldBody::new(bytes, held);
            }
        }
    };
    // The credential may have ended since the body has come, as after a check of a runtime.
    check_credential(&app, &caller).await?;
    app.registry.check_disk_space()?;
    let bounds = ExerciseBounds {
        count_max: app.config.exercises_per_owner_max,
        bytes_max: app.config.exercises_per_owner_max_bytes,
    };
    let (status, stored) = match store.put_exercise(&new, &scope, bounds, now_us()).await? {
        PutExercise::Created(stored) => (StatusCode::CREATED, stored),
        PutExercise::Replaced(stored) | PutExercise::Unchanged(stored) => (StatusCode::OK, stored),
        PutExercise::OfAnother => {
            let detail = format!("the exercise {id} is somebody else's; choose another id");
            return Err(ApiError::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, detail));
        }
        PutExercise::TooMany => {
            let max = bounds.count_max;
            return Err(too_many_exercises(format!(
                "you have {max} exercises, and may have no more; delete one"
            )));
        }
        PutExercise::TooManyBytes => {
            let max = bounds.bytes_max;
            return Err(too_many_exercises(format!(
                "with this one, all exercises of its owner have more than {max} bytes; delete one"
            )));
        }
    };
    app.audit.note(Action::ExercisePut, &caller, client, of_exercise(&id));
    let location = HeaderValue::try_from(address.http(&format!("/exercises/{id}")))
        .map_err(|_| ApiError::malformed_request("the Host header is not valid in a URL"))?;
    let mut response = (status, Json(exercise_document(stored, None))).into_response();
    if status == StatusCode::CREATED {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Deletes an exercise. Sessions that were created for it go on.
#[utoipa::path(
    delete, path = "/exercises/{id}", tag = "exercises", operation_id = "delete_exercise",
    params(("id" = String, Path, description = "The exercise's id")),
    responses(
        (status = 204, description = "The exercise is deleted"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such exercise of the caller, or the caller may not keep exercises", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The id cannot be that of an exercise", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Author { store, scope, .. } = author(&app, &caller)?;
    let id = parse_id(id)?;
    if !store.delete_exercise(&id, &scope).await? {
        return Err(no_such_exercise(id.as_str()));
    }
    app.audit.note(Action::ExerciseDeleted, &caller, client, of_exercise(&id));
    Ok(StatusCode::NO_CONTENT)
}

/// Resolves a request for a session for an exercise, as that is now. The result comes with the
/// charge for its memory.
///
/// # Errors
/// 422 if a field is wrong, the errors of a creation if no session could be created for the
/// caller, 404 if there is no such exercise, and 503 if the byte budget has no room.
pub(super) async fn resolve_for_exercise(
    app: &App,
    (caller, payer): (&Caller, Payer),
    id: &ExerciseId,
    mut request: Box<CreateSession>,
) -> Result<(ResolvedSpec, HeldBytes), ApiError> {
    // A large exercise is read and parsed only for a request that can succeed.
    check_exercise_request(&request)?;
    let account = app.registry.roles().account(caller, payer);
    app.registry.check_admission(&account)?;
    let store = store(app)?;
    let bytes = store.exercise_bytes(id).await?.ok_or_else(|| no_such_exercise(id.as_str()))?;
    let mut held = app.held_bytes.hold(payer);
    held.grow(bytes)?;
    // Another version may have come meanwhile, so the id may be gone, or the contents longer.
    let found = store.exercise(id, &ExerciseScope::All).await?;
    let (stored, contents) = found.ok_or_else(|| no_such_exercise(id.as_str()))?;
    held.grow((contents.len() as u64).saturating_sub(bytes))?;
    let contents = Bytes::from(contents);
    loop {
        let (catalogue, config, id) = (app.catalogue.now(), app.config.clone(), id.clone());
        let resolve_contents = move |bytes: &[u8]| {
            let exercise: Exercise = parse_json(bytes).map_err(|_| misfit())?;
            if let Some(runtime) = unknown_version_of(&exercise, &catalogue) {
                return Ok(Err((request, runtime)));
            }
            let request = apply_exercise(*request, exercise, &catalogue)?;
            let resolved = resolve(&request, &catalogue, &config.limits, Endpoint::Sessions);
            let resolved = resolved
                .map_err(|error| pupils_error(error, error_of_trial(bytes, &id, &catalogue, &config)))?;
            Ok(Ok(resolved))
        };
        let body = HeldBody::new(contents.clone(), held);
        let (resolved, held_for_result) = body.process(app, resolve_contents).await?;
        match resolved {
            Ok(resolved) => {
                let exercise = Some(ExerciseVersion { id: stored.id, version: stored.version });
                return Ok((ResolvedSpec { exercise, ..resolved }, held_for_result));
            }
            Err((unresolved, runtime)) => {
                app.checks.ensure(&runtime, &account).await?;
                (request, held) = (unresolved, held_for_result);
            }
        }
    }
}
