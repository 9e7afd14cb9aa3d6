//! The parsing of v0.1 requests: `exec` documents, `X-Falcon-…` headers, bodies with files.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    body::Body,
    extract::{FromRequest as _, Multipart, Request, multipart::MultipartError},
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::Limited;
use livecode_protocol::{
    json::{optional_list, optional_objects, optional_texts},
    session::{CreateSession, Encoding, MAX_FILES, MAX_WORDS, Mode, SourceFile},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::{
    app::App,
    body::{charged, read_body, with_body_timeout},
    problem::ApiError,
};
use crate::{
    auth::{Caller, Payer},
    held_bytes::{HeldBytes, OverBudget},
};

/// The fields of an `exec` in v0.1. Unknown fields are ignored, as the first server did.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = Exec)]
pub(crate) struct ExecRequest {
    /// Name of the runtime.
    #[schema(required, nullable = false, example = "python")]
    runtime: Option<String>,
    /// Source text.
    #[schema(example = "print('hello')")]
    code: Option<String>,
    /// Name of the file in which the source text is saved.
    code_filename: Option<String>,
    /// Further files.
    #[serde(deserialize_with = "optional_objects::<_, _, MAX_FILES>")]
    files: Option<Vec<ExecFile>>,
    /// Command that is run instead of the runtime's own.
    #[serde(deserialize_with = "optional_list::<_, _, MAX_WORDS>")]
    command: Option<Vec<String>>,
    /// Arguments that are appended to the command.
    #[serde(deserialize_with = "optional_list::<_, _, MAX_WORDS>")]
    args: Option<Vec<String>>,
    /// Environment variables.
    #[serde(deserialize_with = "optional_texts::<_, MAX_WORDS>")]
    env: Option<BTreeMap<String, String>>,
    /// Standard input.
    stdin: Option<String>,
    /// `exec` or `test`.
    mode: Option<Mode>,
    /// Wall-clock limit, in milliseconds.
    timeout: Option<u64>,
    /// Whether the answer has one JSON message on each line instead of the plain output.
    pub(super) raw_output: Option<bool>,
}

/// A file of an `exec`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ExecFile {
    filename: String,
    contents: String,
}

impl From<ExecRequest> for CreateSession {
    fn from(exec: ExecRequest) -> Self {
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
            echo: None,
            diagnostics: None,
            mode: exec.mode,
            timeout: exec.timeout,
            ..Self::default()
        }
    }
}

fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, ApiError> {
    let text = |value: &'h HeaderValue| std::str::from_utf8(value.as_bytes());
    headers.get(name).map(text).transpose().map_err(|_| ApiError::field(name, "must be text in UTF-8"))
}

/// The mode in the header `X-Falcon-Mode`.
pub(crate) fn mode(headers: &HeaderMap) -> Result<Option<Mode>, ApiError> {
    match header_text(headers, "x-falcon-mode")? {
        None => Ok(None),
        Some("exec") => Ok(Some(Mode::Exec)),
        Some("test") => Ok(Some(Mode::Test)),
        Some(_) => Err(ApiError::field("X-Falcon-Mode", "must be \"exec\" or \"test\"")),
    }
}

/// The arguments in the header `X-Falcon-Args`, split as a shell splits words.
pub(crate) fn arguments(headers: &HeaderMap) -> Result<Option<Vec<String>>, ApiError> {
    let Some(text) = header_text(headers, "x-falcon-args")? else { return Ok(None) };
    let words = shell_words::split(text);
    words.map(Some).map_err(|_| ApiError::field("X-Falcon-Args", "a quotation mark is not closed"))
}

/// The environment variables in the header `X-Falcon-Env`, split as a shell splits words.
pub(crate) fn environment(headers: &HeaderMap) -> Result<Option<BTreeMap<String, String>>, ApiError> {
    let field = "X-Falcon-Env";
    let Some(text) = header_text(headers, "x-falcon-env")? else { return Ok(None) };
    let words =
        shell_words::split(text).map_err(|_| ApiError::field(field, "a quotation mark is not closed"))?;
    let pair = |word: &String| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let pairs: Option<_> = words.iter().map(pair).collect();
    pairs.map(Some).ok_or_else(|| ApiError::field(field, "must be NAME=value pairs separated by spaces"))
}

/// The files in a request's body, with their charge: one for each part of a multipart body;
/// otherwise the whole body is the source, under the name `source_name`.
pub(super) async fn files_from_body(
    app: &App,
    caller: &Caller,
    payer: Payer,
    request: Request,
    source_name: &str,
) -> Result<(Vec<SourceFile>, HeldBytes), ApiError> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.to_ascii_lowercase().starts_with("multipart/form-data")) {
        let body = read_body(app, caller, payer, request.into_body()).await?;
        let name = source_name.to_owned();
        return body.process(app, |bytes| Ok(vec![source_file(name, bytes)])).await;
    }
    let max_bytes = usize::try_from(app.config.body_max_bytes).unwrap_or(usize::MAX);
    let held = app.held_bytes.hold(payer);
    with_body_timeout(app, caller, files_from_parts(request, max_bytes, held)).await
}

/// The files in the parts of a multipart body (RFC 7578), with the charge for its bytes.
///
/// # Errors
/// 413 if the body is larger than `max_bytes`, 422 if it has more than [`MAX_FILES`] parts, 503 if
/// the byte budget has no room for it, and 400 if it is malformed.
pub(crate) async fn files_from_parts(
    request: Request,
    max_bytes: usize,
    held: HeldBytes,
) -> Result<(Vec<SourceFile>, HeldBytes), ApiError> {
    let held = Arc::new(Mutex::new(held));
    let request = request.map(|body| Body::new(Limited::new(charged(body, held.clone()), max_bytes)));
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|error| ApiError::malformed_request(error.body_text()))?;
    let read_error = |error: MultipartError| match (over_budget(&error), error.status()) {
        (Some(over_budget), _) => over_budget.into(),
        (None, StatusCode::PAYLOAD_TOO_LARGE) => ApiError::body_too_large(error.body_text()),
        (None, _) => ApiError::malformed_request(error.body_text()),
    };
    let mut files = vec![];
    while let Some(part) = parts.next_field().await.map_err(read_error)? {
        if files.len() == MAX_FILES {
            let detail = format!("there are more than {MAX_FILES} files; at most {MAX_FILES} are allowed");
            return Err(ApiError::field("files", detail));
        }
        let name = part.name().or_else(|| part.file_name()).unwrap_or_default().to_owned();
        files.push(source_file(name, &part.bytes().await.map_err(read_error)?));
    }
    drop(parts);
    let held = Arc::into_inner(held).and_then(|held| held.into_inner().ok());
    let held = held.ok_or_else(|| ApiError::malformed_request("the body could not be read"))?;
    Ok((files, held))
}

/// The refusal of the byte budget that caused an error.
fn over_budget(error: &MultipartError) -> Option<OverBudget> {
    let first = std::error::Error::source(error);
    std::iter::successors(first, |error| error.source()).find_map(|error| error.downcast_ref().copied())
}

/// A file as text, or in base64 if its bytes are not UTF-8.
fn source_file(filename: String, bytes: &[u8]) -> SourceFile {
    match std::str::from_utf8(bytes) {
        Ok(text) => SourceFile { filename, contents: text.to_owned(), encoding: None },
        Err(_) => {
            SourceFile { filename, contents: BASE64_STANDARD.encode(bytes), encoding: Some(Encoding::Base64) }
        }
    }
}
