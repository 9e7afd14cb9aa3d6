//! The bodies of requests: read within the limits of size, time and held bytes, then worked on
//! without delaying other clients. The bodies of large answers are charged as well.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::{FutureExt as _, StreamExt as _};
use hyper::body::{Frame, SizeHint};
use livecode_protocol::{
    ErrorCode,
    json::{self, Object},
};
use serde::de::DeserializeOwned;

use crate::{
    auth::{Caller, Payer},
    held_bytes::HeldBytes,
    http::{app::App, problem::ApiError},
    sessions::blocking::blocking,
};

/// The largest body that is parsed at once by the task that has read it, in bytes. A larger one
/// takes milliseconds, for which other clients of the same thread would have to wait.
const MAX_INLINE_BYTES: usize = 64 * 1024;

/// A whole body or message, charged to its payer.
pub(crate) struct HeldBody {
    bytes: Bytes,
    held: HeldBytes,
}

/// Reads a whole body.
///
/// # Errors
/// 413 if the body is larger than configured, 408 if it takes longer than configured, 503 if the
/// byte budget has no room for it, 400 if the connection breaks or the body's framing is wrong, and
/// 401 if the caller's credential ends before the body has come.
pub(crate) async fn read_body(
    app: &App,
    caller: &Caller,
    payer: Payer,
    body: Body,
) -> Result<HeldBody, ApiError> {
    with_body_timeout(app, caller, read(app, payer, body)).await
}

/// Reads a JSON document by which the caller makes a credential. The caller's own is checked once
/// more at the end, so that none is made by one that was revoked meanwhile.
///
/// # Errors
/// Those of [`read_body`] and [`parse_json`]; 401 if the caller's credential is not valid any more.
pub(crate) async fn read_json<T: DeserializeOwned + Send + 'static>(
    app: &App,
    caller: &Caller,
    payer: Payer,
    body: Body,
) -> Result<T, ApiError> {
    let body = read_body(app, caller, payer, body).await?;
    let (document, _) = body.process(app, parse_json::<T>).await?;
    check_credential(app, caller).await?;
    Ok(document)
}

/// Checks the caller's credential once more, right before a change that outlives the request.
///
/// # Errors
/// 401 if it is not valid any more.
pub(crate) async fn check_credential(app: &App, caller: &Caller) -> Result<(), ApiError> {
    let holds = app.credentials.holds(caller).await.map_err(|error| ApiError::internal(&error))?;
    holds.then_some(()).ok_or_else(ApiError::wrong_credential)
}

async fn read(app: &App, payer: Payer, body: Body) -> Result<HeldBody, ApiError> {
    let max_bytes = app.config.body_max_bytes;
    let too_large = || ApiError::body_too_large(format!("the body is larger than {max_bytes} bytes"));
    let announced_bytes = body.size_hint().lower();
    if announced_bytes > max_bytes {
        return Err(too_large());
    }
    let mut held = app.held_bytes.hold(payer);
    let mut chunks = body.into_data_stream();
    // A small body usually comes in one chunk, which is then not copied.
    let (mut first, mut all) = (Bytes::new(), Vec::new());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(unreadable)?;
        held.grow(chunk.len() as u64)?;
        if (all.len() + first.len() + chunk.len()) as u64 > max_bytes {
            return Err(too_large());
        }
        if first.is_empty() && all.is_empty() {
            first = chunk;
            continue;
        }
        if all.is_empty() {
            // Memory that is only reserved is not used until the bytes come.
            all.reserve_exact(usize::try_from(announced_bytes).unwrap_or(0).max(first.len() + chunk.len()));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&chunk);
    }
    let bytes = if all.is_empty() { first } else { all.into() };
    Ok(HeldBody { bytes, held })
}

fn unreadable(error: axum::Error) -> ApiError {
    ApiError::malformed_request(format!("the body could not be read: {error}"))
}

/// The chunks of a body, charged to its payer as they come. The charge ends when `held` and the
/// body are dropped.
pub(crate) fn charged(body: Body, held: Arc<std::sync::Mutex<HeldBytes>>) -> Body {
    let chunks = body.into_data_stream().map(move |chunk| {
        let chunk = chunk?;
        let mut held = held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        held.grow(chunk.len() as u64).map_err(axum::Error::new)?;
        Ok::<_, axum::Error>(chunk)
    });
    Body::from_stream(chunks)
}

/// Runs a future that reads a body, with the configured `body_timeout_ms`.
///
/// # Errors
/// The error of the future, 408 if the body is not complete in time, or 401 if the caller's
/// credential ends before.
pub(crate) async fn with_body_timeout<T>(
    app: &App,
    caller: &Caller,
    reading: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let timeout = Duration::from_millis(app.config.body_timeout_ms);
    tokio::time::timeout(timeout, while_credential_holds(app, caller, reading)).await.unwrap_or_else(|_| {
        let detail = format!("the body did not arrive within {} ms", app.config.body_timeout_ms);
        let error = ApiError::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BodyTimeout, detail);
        Err(error.with_header(header::CONNECTION, "close"))
    })
}

/// Runs a future that reads a body until the caller's credential ends. The caller was identified
/// when the head of the request came, and the rest of the body may come much later.
async fn while_credential_holds<T>(
    app: &App,
    caller: &Caller,
    reading: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let mut reading = pin!(reading);
    // A body that has come with its head costs no second look at the credential.
    if let Some(read) = reading.as_mut().now_or_never() {
        return read;
    }
    let read = tokio::select! {
        biased;
        () = app.credentials.ended(caller) => {
            return Err(ApiError::wrong_credential().with_header(header::CONNECTION, "close"));
        }
        read = reading => read?,
    };
    check_credential(app, caller).await?;
    Ok(read)
}

impl HeldBody {
    /// A message that is complete, with its charge.
    pub fn new(bytes: Bytes, held: HeldBytes) -> Self {
        Self { bytes, held }
    }

    /// Works on the bytes, which are gone afterwards. The result has at most their size; its
    /// charge is returned with it. Large bodies are worked on by other threads, a few at once.
    ///
    /// # Errors
    /// The error of `work`, or 503 if the byte budget has no room for the result.
    pub async fn process<T: Send + 'static>(
        self,
        app: &App,
        work: impl FnOnce(&[u8]) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<(T, HeldBytes), ApiError> {
        let Self { bytes, held } = self;
        let held_for_result = held.another(bytes.len() as u64)?;
        if bytes.len() <= MAX_INLINE_BYTES {
            return Ok((work(&bytes)?, held_for_result));
        }
        let permit = app.parse_permits.acquire().await;
        let worked = blocking(move || {
            let _released_last = (permit, held);
            work(&bytes)
        });
        let result = worked.await.unwrap_or_else(|error| Err(ApiError::internal(&error)));
        Ok((result?, held_for_result))
    }
}

/// The largest answer that is not charged, in bytes. The kernel takes about as much at once, even
/// if the client does not read.
const MAX_FREE_ANSWER_BYTES: u64 = 64 * 1024;

/// Middleware for routes whose answers are whole in memory and can be large: charges the answer to
/// the payer until it is sent.
pub(crate) async fn charge_answer(State(app): State<App>, request: Request, next: Next) -> Response {
    let payer = request.extensions().get::<Payer>().copied();
    let response = next.run(request).await;
    let bytes = response.body().size_hint().exact().filter(|bytes| *bytes > MAX_FREE_ANSWER_BYTES);
    let (Some(payer), Some(bytes)) = (payer, bytes) else { return response };
    let mut held = app.held_bytes.hold(payer);
    match held.grow(bytes) {
        Ok(()) => response.map(|body| Body::new(HeldAnswer { body, _held: held })),
        Err(over_budget) => ApiError::from(over_budget).into_response(),
    }
}

/// The body of an answer, with its charge.
struct HeldAnswer {
    body: Body,
    _held: HeldBytes,
}

impl HttpBody for HeldAnswer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Parses a JSON document.
///
/// # Errors
/// 400 if the bytes are not JSON, and 422 with the name of the field if a field is wrong.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // Fields that are not known are skipped by the second pass without a check.
    json::check(bytes).map_err(|error| {
        ApiError::malformed_request(format!("the body is not one well-formed JSON document: {error}"))
    })?;
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::field("", "the body must be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut deserializer).map(|Object(document)| document).map_err(|error| {
        let field = error.path().to_string();
        let error = error.into_inner();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        let detail = text.strip_suffix(&place).unwrap_or(&text);
        ApiError::field(if field == "." { String::new() } else { field }, detail)
    })
}
