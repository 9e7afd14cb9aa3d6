//! The endpoints of the first protocol, thin on top of sessions: each makes one for its answer, reads its journal, and
//! has it forgotten. A connection that goes away ends its program, as it always did.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{
        FromRequest as _, Multipart, Path, Request, State, WebSocketUpgrade, rejection::PathRejection,
    },
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::stream;
use http_body_util::Limited;
use livecode_journal::Kind;
use livecode_protocol::{
    session::{CreateSession, Encoding, Mode, Outcome, Problem, SourceFile},
    stream::{ClientMessage, ClientMessageError, ServerMessage, WELCOME},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::http::{
    App,
    api::sessions::new_owner,
    caller::{in_time, parse_json, read_body},
    encode::{Dialect, GAP_NOTE, how_it_ended, json},
    problem::ApiError,
    websocket::{Gone, MAX_FRAME_BYTES, Socket},
};
use crate::{
    auth::Caller,
    lifecycle::{Registry, SessionSpec},
    sessions::{Follower, Item, Session},
    spec::{Endpoint, resolve},
};

const EXIT_STATUS: HeaderName = HeaderName::from_static("x-falcon-exit-status");
const TIME_TAKEN: HeaderName = HeaderName::from_static("x-falcon-time-taken");
const PLAIN: &str = "text/plain; charset=utf-8";

/// The fields of v0.1's `exec`. Others are passed over, as they always were.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Exec {
    /// Name of the runtime.
    #[schema(required, nullable = false, example = "python")]
    runtime: Option<String>,
    /// Source text.
    #[schema(example = "print('hello')")]
    code: Option<String>,
    /// Name to save it under.
    code_filename: Option<String>,
    /// Further files.
    files: Option<Vec<ExecFile>>,
    /// Command to run instead of the runtime's own.
    command: Option<Vec<String>>,
    /// Arguments appended to the command.
    args: Option<Vec<String>>,
    /// Environment variables.
    env: Option<BTreeMap<String, String>>,
    /// Standard input.
    stdin: Option<String>,
    /// `exec` or `test`.
    mode: Option<Mode>,
    /// Wall-clock limit, in milliseconds.
    timeout: Option<u64>,
    /// Answer one JSON message a line instead of the plain output.
    raw_output: Option<bool>,
}

/// A file of an `exec`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ExecFile {
    filename: String,
    contents: String,
}

impl From<Exec> for CreateSession {
    fn from(exec: Exec) -> Self {
        let file = |ExecFile { filename, contents }| SourceFile { filename, contents, encoding: None };
        Self {
            runtime: exec.runtime,
            code: exec.code,
            code_filename: exec.code_filename,
            files: exec.files.map(|files| files.into_iter().map(file).collect()),
            command: exec.command,
            args: exec.args,
            env: exec.env,
            stdin: exec.stdin,
            mode: exec.mode,
            timeout: exec.timeout,
            limits: None,
        }
    }
}

/// Part of the results is not there.
#[derive(Debug, thiserror::Error)]
#[error("part of the results could not be kept: the server's disk was full")]
struct Missing;

impl From<Missing> for ApiError {
    fn from(missing: Missing) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, missing.to_string())
    }
}

/// A session that is forgotten, and ended if it runs, when this is dropped: with the answer, or with the connection.
struct OneAnswer {
    registry: Arc<Registry>,
    session: Arc<Session>,
    mode: Mode,
}

impl Drop for OneAnswer {
    fn drop(&mut self) {
        self.registry.delete_in_background(self.session.id);
    }
}

impl OneAnswer {
    async fn create(app: &App, caller: &Caller, request: &CreateSession) -> Result<Self, ApiError> {
        let prepared = resolve(request, &app.catalogue, &app.config.limits, Endpoint::V01)?;
        let (owner, _) = new_owner(caller)?;
        let mode = prepared.mode;
        let (session, _) = app
            .registry
            .create(SessionSpec { owner, resolved: prepared, is_ephemeral: true, idempotency: None })
            .await?;
        Ok(Self { registry: app.registry.clone(), session, mode })
    }

    fn follow(&self) -> Follower {
        self.registry.follow(&self.session, 0)
    }

    fn chunk(&self, items: &[Item]) -> Result<Vec<u8>, Missing> {
        Ok(items.iter().map(|item| self.plain(item)).collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// The bytes of an item that belong into a plain answer.
    fn plain<'i>(&self, item: &'i Item) -> Result<&'i [u8], Missing> {
        match (item, self.mode) {
            (Item::Entry(entry), _) if entry.kind == Kind::Stdout => Ok(&entry.data),
            (Item::Entry(entry), Mode::Exec) if entry.kind == Kind::Stderr => Ok(&entry.data),
            (Item::Entry(_), _) => Ok(&[]),
            (Item::Gap { .. }, Mode::Exec) => Ok(GAP_NOTE.as_bytes()),
            // The results of tests are one JSON document: nothing may stand beside it, and half of it is none.
            (Item::Gap { .. }, Mode::Test) => Err(Missing),
        }
    }
}

/// One message a line.
fn raw(items: &[Item]) -> Vec<u8> {
    items.iter().map(|item| Dialect::V01.message(item) + "\n").collect::<String>().into_bytes()
}

/// Runs programs on a websocket, one a connection.
#[utoipa::path(
    get, path = "/livecode", tag = "v0.1",
    responses(
        (status = 101, description = "A websocket"),
        (status = 400, description = "No upgrade to a websocket was asked for", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn livecode(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|error| ApiError::bad_request(error.to_string()))?;
    // A program comes with its files in one message.
    let max = usize::try_from(app.config.body_max_bytes).unwrap_or(usize::MAX).max(MAX_FRAME_BYTES);
    let upgrade = upgrade.max_message_size(max).max_frame_size(max);
    Ok(upgrade.on_upgrade(move |websocket| async move {
        let socket = Socket::new(websocket, &app, &caller);
        let _ = converse(socket, app, caller).await; // the client has gone
    }))
}

/// Answers until a program is sent, runs it, and closes.
async fn converse(mut socket: Socket, app: App, caller: Caller) -> Result<(), Gone> {
    socket.send(json(&ServerMessage::Welcome { message: WELCOME })).await?;
    let running = loop {
        let text = tokio::select! {
            text = socket.next_of_any_size() => text?,
            () = app.stopped() => {
                socket.close(None, axum::extract::ws::close_code::RESTART, "the server restarts; come back").await;
                return Ok(());
            }
        };
        let (error, msg) = match ClientMessage::parse(&text) {
            Ok(ClientMessage::Exec(fields)) => match start(&app, &caller, fields.clone()).await {
                Ok(running) => break running,
                Err(error) => (error.to_string(), Value::Object(fields)),
            },
            Ok(ClientMessage::Ping) => {
                socket.send(json(&ServerMessage::Pong)).await?;
                continue;
            }
            Ok(ClientMessage::Quit) => {
                let goodbye = json(&ServerMessage::Goodbye);
                socket.close(Some(goodbye), axum::extract::ws::close_code::NORMAL, "").await;
                return Ok(());
            }
            Ok(ClientMessage::Deliver { .. }) => {
                let msg: Value = serde_json::from_str(&text).unwrap_or_default();
                let error = match msg["msgtype"].as_str() {
                    Some("event") => "No program runs yet: send an exec first".to_owned(),
                    other => format!("Unknown message type: {}", other.unwrap_or_default()),
                };
                (error, msg)
            }
            Err(ClientMessageError { error, msg }) => (error, msg),
        };
        socket.send(json(&ServerMessage::Error { error, msg })).await?;
    };
    let follower = running.follow();
    socket.follow(&app, &running.session, follower, Dialect::V01).await;
    Ok(())
}

async fn start(app: &App, caller: &Caller, mut fields: Map<String, Value>) -> Result<OneAnswer, ApiError> {
    fields.remove("msgtype");
    let bytes = serde_json::to_vec(&fields).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let exec: Exec = parse_json(&bytes)?;
    OneAnswer::create(app, caller, &exec.into()).await
}

/// Runs a program and answers its output as it comes.
#[utoipa::path(
    post, path = "/exec", tag = "v0.1",
    request_body = Exec,
    responses(
        (status = 200, description = "The output; with `raw_output` one message a line", body = String, content_type = "text/plain"),
        (status = 400, description = "Not well-formed JSON", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many sessions", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server stops, or has no descriptors left", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "No room on the disk", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn exec(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    // The old server took JSON whatever the content type said, and pages rely on it.
    let body = read_body(&app, request.into_body()).await?;
    let exec: Exec = parse_json(&body)?;
    let is_raw = exec.raw_output.unwrap_or(false);
    let running = OneAnswer::create(&app, &caller, &exec.into()).await?;
    let follower = running.follow();
    let body =
        Body::from_stream(stream::unfold((follower, running), move |(mut follower, running)| async move {
            let items = follower
                .next()
                .await
                .inspect_err(|error| tracing::error!(%error, "a journal cannot be read"));
            let items = items.transpose()?;
            let count = items.as_ref().map_or(0, Vec::len);
            let chunk = match items {
                Ok(items) if is_raw => Ok(raw(&items)),
                Ok(items) => running.chunk(&items).map_err(axum::Error::new),
                Err(error) => Err(axum::Error::new(error)),
            };
            if let Ok(chunk) = &chunk {
                running.registry.metrics().sent(count, chunk.len());
            }
            // An error breaks the answer off: its end would say that it is whole.
            Some((chunk.map(Bytes::from), (follower, running)))
        }));
    Ok(([(header::CONTENT_TYPE, PLAIN)], body).into_response())
}

/// Runs the program that the body is, or the files that its parts are, and answers the output when it has ended.
#[utoipa::path(
    post, path = "/runtimes/{runtime}", tag = "v0.1",
    params(
        ("runtime" = String, Path, description = "Name of the runtime"),
        ("X-Falcon-Mode" = Option<Mode>, Header, description = "`exec`, or `test` to run the tests among the files"),
        ("X-Falcon-Args" = Option<String>, Header, description = "Arguments, split as a shell would"),
        ("X-Falcon-Env" = Option<String>, Header, description = "`NAME=value` pairs separated by spaces"),
    ),
    request_body(content = Option<String>, content_type = "text/plain", description = "The source, or multipart/form-data with a part a file"),
    responses(
        (status = 200, description = "The output", body = String, content_type = "text/plain", headers(
            ("X-Falcon-Exit-Status" = i32, description = "The program's exit status"),
            ("X-Falcon-Time-Taken" = f64, description = "How long it ran, in seconds"),
        )),
        (status = 400, description = "A body that cannot be read, or is not well-formed", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such runtime", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A header or a file's name is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many sessions", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server stops, or has no descriptors left", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "No room on the disk", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn run(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    // A path that is no text names no runtime either.
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    let runtime = app.catalogue.get(&name).ok_or_else(|| {
        let known: Vec<_> = app.catalogue.iter().map(|runtime| runtime.name.as_str()).collect();
        ApiError::new(
            StatusCode::NOT_FOUND,
            format!("there is no runtime {name:?}; there are {}", known.join(", ")),
        )
    })?;
    let create = CreateSession {
        runtime: Some(name),
        mode: mode(request.headers())?,
        args: arguments(request.headers())?,
        env: environment(request.headers())?,
        files: Some(files(&app, request, runtime.manifest.file.as_str()).await?),
        ..CreateSession::default()
    };
    let running = OneAnswer::create(&app, &caller, &create).await?;
    let mut follower = running.follow();
    let (mut output, mut exitstatus) = (vec![], Outcome::Lost.exitstatus().unwrap_or(255));
    while let Some(items) = follower.next().await? {
        let before = output.len();
        output.extend_from_slice(&running.chunk(&items)?);
        app.metrics.sent(items.len(), output.len() - before);
        // From the journal: what the session's task knows may be a moment behind it.
        if let Some(Item::Entry(entry)) = items.last()
            && entry.kind == Kind::Exit
        {
            (exitstatus, _) = how_it_ended(&entry.data);
        }
    }
    let mut response = ([(header::CONTENT_TYPE, PLAIN)], output).into_response();
    response.headers_mut().insert(EXIT_STATUS, HeaderValue::from(exitstatus));
    if let Ok(time) = HeaderValue::try_from(format!("{:.3}", running.session.elapsed_s())) {
        response.headers_mut().insert(TIME_TAKEN, time);
    }
    Ok(response)
}

fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, ApiError> {
    let text = |value: &'h HeaderValue| std::str::from_utf8(value.as_bytes());
    headers.get(name).map(text).transpose().map_err(|_| ApiError::field(name, "must be text in UTF-8"))
}

pub(crate) fn mode(headers: &HeaderMap) -> Result<Option<Mode>, ApiError> {
    match header_text(headers, "x-falcon-mode")? {
        None => Ok(None),
        Some("exec") => Ok(Some(Mode::Exec)),
        Some("test") => Ok(Some(Mode::Test)),
        Some(_) => Err(ApiError::field("X-Falcon-Mode", "must be \"exec\" or \"test\"")),
    }
}

pub(crate) fn arguments(headers: &HeaderMap) -> Result<Option<Vec<String>>, ApiError> {
    let Some(text) = header_text(headers, "x-falcon-args")? else { return Ok(None) };
    let words = shell_words::split(text);
    words.map(Some).map_err(|_| ApiError::field("X-Falcon-Args", "a quotation mark is not closed"))
}

pub(crate) fn environment(headers: &HeaderMap) -> Result<Option<BTreeMap<String, String>>, ApiError> {
    let field = "X-Falcon-Env";
    let Some(text) = header_text(headers, "x-falcon-env")? else { return Ok(None) };
    let words =
        shell_words::split(text).map_err(|_| ApiError::field(field, "a quotation mark is not closed"))?;
    let pair = |word: &String| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let pairs: Option<_> = words.iter().map(pair).collect();
    pairs.map(Some).ok_or_else(|| ApiError::field(field, "must be NAME=value pairs separated by spaces"))
}

/// The files that a body holds: one that is the source, or a part each.
async fn files(app: &App, request: Request, source: &str) -> Result<Vec<SourceFile>, ApiError> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.to_ascii_lowercase().starts_with("multipart/form-data")) {
        let body = read_body(app, request.into_body()).await?;
        return Ok(vec![file(source.to_owned(), &body)]);
    }
    let max_bytes = usize::try_from(app.config.body_max_bytes).unwrap_or(usize::MAX);
    in_time(app, parts(request, max_bytes)).await
}

/// The files that the parts of a body are.
pub(crate) async fn parts(request: Request, max_bytes: usize) -> Result<Vec<SourceFile>, ApiError> {
    let request = request.map(|body| Body::new(Limited::new(body, max_bytes)));
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|error| ApiError::bad_request(error.body_text()))?;
    let malformed = |error: axum::extract::multipart::MultipartError| {
        let status = if error.status().is_server_error() { StatusCode::BAD_REQUEST } else { error.status() };
        ApiError::new(status, error.body_text())
    };
    let mut files = vec![];
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        let name = part.name().or_else(|| part.file_name()).unwrap_or_default().to_owned();
        files.push(file(name, &part.bytes().await.map_err(malformed)?));
    }
    Ok(files)
}

fn file(filename: String, bytes: &[u8]) -> SourceFile {
    match std::str::from_utf8(bytes) {
        Ok(text) => SourceFile { filename, contents: text.to_owned(), encoding: None },
        Err(_) => {
            SourceFile { filename, contents: BASE64_STANDARD.encode(bytes), encoding: Some(Encoding::Base64) }
        }
    }
}
