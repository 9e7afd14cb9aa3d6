//! `POST /runtimes/{runtime}`: runs a program and answers its output when it has ended.

use axum::{
    Extension,
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use livecode_journal::Kind;
use livecode_protocol::{
    ErrorCode,
    session::{CreateSession, Mode, Outcome, Problem},
};

use super::{
    ephemeral::{EphemeralSession, PLAIN_TEXT},
    exec::output_body,
    request::{arguments, environment, files_from_body, mode},
};
use crate::auth::{Caller, Payer};
use crate::catalogue::FindError;
use crate::http::{app::App, caller::ClientAddress, encode::exit_status_and_outcome, problem::ApiError};
use crate::sessions::{Batch, Item};

const EXIT_STATUS: HeaderName = HeaderName::from_static("x-falcon-exit-status");
const TIME_TAKEN: HeaderName = HeaderName::from_static("x-falcon-time-taken");

/// The largest output that is kept in memory until the program has ended. A larger one is read
/// from the journal twice: for its length, and while it is sent.
const MAX_HELD_OUTPUT_BYTES: usize = 64 * 1024;

/// Runs the program in the body and answers its output when it has ended. The body is the source,
/// or a multipart body with one file in each part.
#[utoipa::path(
    post, path = "/runtimes/{runtime}", tag = "v0.1",
    params(
        ("runtime" = String, Path, description = "Name of the runtime"),
        ("X-Falcon-Mode" = Option<Mode>, Header, description = "`exec`, or `test` to run the tests among the files"),
        ("X-Falcon-Args" = Option<String>, Header, description = "Arguments, split as a shell splits words"),
        ("X-Falcon-Env" = Option<String>, Header, description = "`NAME=value` pairs separated by spaces"),
    ),
    request_body(content = Option<String>, content_type = "text/plain", description = "The source, or multipart/form-data with one file in each part"),
    responses(
        (status = 200, description = "The output", body = String, content_type = "text/plain", headers(
            ("X-Falcon-Exit-Status" = i32, description = "The program's exit status"),
            ("X-Falcon-Time-Taken" = f64, description = "How long the program ran, in seconds"),
        )),
        (status = 400, description = "The body cannot be read, or is malformed", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such runtime", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A header or the name of a file is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The owner or the server has too many sessions", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server is stopping, the queue of sessions that wait to run is full, the server has no file descriptors or memory left, or it holds as many bytes as it may", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "There is no space left on the disk, or part of the results could not be kept", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn run(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    Extension(client): Extension<ClientAddress>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    // A path that is not valid UTF-8 cannot be the name of a runtime.
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    if let Err(FindError::VersionUnknown(runtime)) = app.catalogue.now().find(&name) {
        app.checks.ensure(&runtime, &app.registry.roles().account(&caller, payer)).await?;
    }
    let catalogue = app.catalogue.now();
    let runtime = catalogue
        .find(&name)
        .map_err(|error| ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NoSuchRuntime, error.to_string()))?;
    let create = CreateSession {
        runtime: Some(name),
        mode: mode(request.headers())?,
        args: arguments(request.headers())?,
        env: environment(request.headers())?,
        ..CreateSession::default()
    };
    let source_name = runtime.manifest.file.as_str();
    let (files, held) = files_from_body(&app, &caller, payer, request, source_name).await?;
    let create = CreateSession { files: Some(files), ..create };
    let ephemeral = EphemeralSession::create(&app, &caller, payer, client, &create).await?;
    drop((create, held));
    let mut follower = ephemeral.follow();
    let (mut output, mut output_bytes, mut entries) = (Some(vec![]), 0, 0);
    let mut exitstatus = Outcome::Lost.exitstatus().unwrap_or(255);
    while let Some(batch) = follower.next().await? {
        let Batch::Items(items) = batch else { continue }; // messages are no output
        let plain = ephemeral.plain_output(&items)?;
        output_bytes += plain.len();
        entries += items.len();
        output = output.filter(|_| output_bytes <= MAX_HELD_OUTPUT_BYTES);
        if let Some(output) = &mut output {
            output.extend_from_slice(&plain);
        }
        // The status is taken from the journal, because the session's own state may be updated a
        // moment later.
        if let Some(Item::Entry(entry)) = items.last()
            && entry.kind == Kind::Exit
        {
            (exitstatus, _) = exit_status_and_outcome(&entry.data);
        }
    }
    let time_taken = format!("{:.3}", ephemeral.session.elapsed_s());
    let body = match output {
        Some(output) => {
            app.metrics.count_sent(entries, output_bytes);
            Body::from(output)
        }
        // The journal has it all, and is read again at the pace of the client.
        None => {
            let follower = ephemeral.follow();
            output_body(ephemeral, follower, false)
        }
    };
    let mut response = ([(header::CONTENT_TYPE, PLAIN_TEXT)], body).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(output_bytes));
    response.headers_mut().insert(EXIT_STATUS, HeaderValue::from(exitstatus));
    if let Ok(time) = HeaderValue::try_from(time_taken) {
        response.headers_mut().insert(TIME_TAKEN, time);
    }
    Ok(response)
}
