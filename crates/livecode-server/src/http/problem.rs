//! Problem documents (RFC 9457): the errors of other modules with their HTTP status and code. An
//! error that only one handler has is written there, as an [`ApiError`].

use axum::{
    Json,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use livecode_protocol::{ErrorCode, quota::QuotaName, session::Problem};

use crate::{
    auth::WrongHost,
    held_bytes::OverBudget,
    lifecycle::{CreateError, DeleteError},
    sessions::FollowError,
    spec::BadField,
};

/// An error as a client gets it: a problem document, or the text of an `error` message.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: ErrorCode,
    detail: String,
    field: Option<String>,
    quota: Option<QuotaName>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

impl ApiError {
    /// An error with a status, a code, and a sentence that says what was wrong and what would be
    /// right.
    pub fn new(status: StatusCode, code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), field: None, quota: None, headers: vec![] }
    }

    /// 400: the request is malformed.
    pub fn malformed_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::MalformedRequest, detail)
    }

    /// 400: the request is not a well-formed upgrade to a websocket.
    pub fn invalid_upgrade(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidUpgrade, detail)
    }

    /// 413: the body is too large.
    pub fn body_too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::BodyTooLarge, detail)
    }

    /// 500: a part of the server failed. The cause is logged.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "a request failed");
        let detail = "the server failed, and has logged the cause";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, detail)
    }

    /// 401: the caller's credential is not valid, or not any more.
    pub fn wrong_credential() -> Self {
        let detail = "this token or ticket is wrong, has expired or was revoked; ask for a new one";
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, detail)
            .with_header(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")
    }

    /// 404: the session does not exist, or the caller may not use it.
    pub fn no_such_session() -> Self {
        let detail = "there is no such session; it may have been deleted, or be too old";
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NoSuchSession, detail)
    }

    /// 422: one field of the request is wrong. `field` is a path such as `files[0].filename`.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        BadField::new(field, detail).into()
    }

    /// The same error with one more header in its response.
    pub fn with_header(mut self, name: header::HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }
}

impl ApiError {
    /// The same error, which tells after how many seconds a request may succeed.
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        self
    }
}

/// The text of an `error` message on a websocket: the field, if there is one, and the detail.
impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.field.as_deref() {
            Some(field) if !field.is_empty() => write!(f, "{field}: {}", self.detail),
            _ => f.write_str(&self.detail),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem {
            type_: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("Error").into(),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            field: self.field,
            quota: self.quota,
        };
        let mut response = (self.status, Json(problem)).into_response();
        response.extensions_mut().insert(self.code);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.headers);
        response
    }
}

impl From<BadField> for ApiError {
    fn from(BadField { field, detail, code, .. }: BadField) -> Self {
        let error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
        Self { field: Some(field), ..error }
    }
}

impl From<OverBudget> for ApiError {
    fn from(error: OverBudget) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let error = Self::new(status, ErrorCode::HeldBytesFull, error.to_string());
        error.with_header(header::RETRY_AFTER, "1")
    }
}

impl From<WrongHost> for ApiError {
    fn from(error: WrongHost) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorCode::WrongHost, error.to_string())
    }
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> Self {
        let code = error.code();
        if let CreateError::Quota(quota) = &error {
            let error = Self::new(StatusCode::TOO_MANY_REQUESTS, code, quota.to_string());
            return Self { quota: Some(quota.quota), ..error.with_retry_after(quota.retry_after_s) };
        }
        let (status, retry_after_s) = match code {
            ErrorCode::TooManySessions | ErrorCode::ServerFull => (StatusCode::TOO_MANY_REQUESTS, Some("60")),
            ErrorCode::RunQueueFull => (StatusCode::SERVICE_UNAVAILABLE, Some("5")),
            ErrorCode::IdempotencyKeyReused => (StatusCode::UNPROCESSABLE_ENTITY, None),
            ErrorCode::IdempotencyInProgress => (StatusCode::CONFLICT, Some("1")),
            ErrorCode::ServerStopping | ErrorCode::OutOfResources => {
                (StatusCode::SERVICE_UNAVAILABLE, Some("2"))
            }
            ErrorCode::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, Some("20")),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        let error = Self::new(status, code, with_cause(&error));
        match retry_after_s {
            Some(seconds) => error.with_header(header::RETRY_AFTER, seconds),
            None => error,
        }
    }
}

impl From<DeleteError> for ApiError {
    fn from(error: DeleteError) -> Self {
        let (status, code) = match &error {
            DeleteError::Alive => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::SessionStillRunning),
            DeleteError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal),
        };
        let problem = Self::new(status, code, with_cause(&error));
        match error {
            DeleteError::Alive => problem.with_header(header::RETRY_AFTER, "5"),
            DeleteError::Store(_) => problem,
        }
    }
}

impl From<FollowError> for ApiError {
    fn from(error: FollowError) -> Self {
        tracing::error!(%error, "cannot read a journal");
        let detail = "the session's journal cannot be read";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::JournalUnreadable, detail)
    }
}

/// The text of an error, followed by that of its direct cause.
fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// The fallback for paths that no route has: 404.
pub(crate) async fn not_found(request: Request) -> ApiError {
    let detail =
        format!("there is no resource at {}; /openapi.json lists all resources", request.uri().path());
    ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, detail)
}

/// The fallback for methods that a route does not support: 405. The router adds the `Allow`
/// header.
pub(crate) async fn method_not_allowed(request: Request) -> ApiError {
    let detail = format!(
        "{} does not support {}; the Allow header lists the methods that it supports",
        request.uri().path(),
        request.method()
    );
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::MethodNotAllowed, detail)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{runner::run_queue::RunQueueFull, sessions::StoreError};

    #[test]
    fn every_reason_against_a_new_session_has_its_status_and_code() {
        let write = |kind: io::ErrorKind| CreateError::Store(StoreError::Write(kind.into()));
        let out_of_descriptors = io::Error::from(rustix::io::Errno::MFILE);
        let cases = [
            (CreateError::TooMany(7), 429, "too_many_sessions"),
            (CreateError::AddressFull, 429, "too_many_sessions"),
            (CreateError::Full, 429, "server_full"),
            (CreateError::QueueFull(RunQueueFull), 503, "run_queue_full"),
            (CreateError::KeyReused, 422, "idempotency_key_reused"),
            (CreateError::InProgress, 409, "idempotency_in_progress"),
            (CreateError::Closed, 503, "server_stopping"),
            (CreateError::NoRoom { free_bytes: 1, needed_bytes: 2 }, 507, "disk_full"),
            (CreateError::Store(StoreError::Write(rustix::io::Errno::NOSPC.into())), 507, "disk_full"),
            (CreateError::Store(StoreError::Write(out_of_descriptors)), 503, "out_of_resources"),
            (write(io::ErrorKind::PermissionDenied), 500, "internal"),
        ];
        for (error, status, code) in cases {
            let error = ApiError::from(error);
            assert_eq!((error.status.as_u16(), error.code.as_str()), (status, code), "{error}");
            assert_eq!(
                !error.headers.is_empty(),
                [409, 429, 503, 507].contains(&status),
                "Retry-After of {code}"
            );
        }
    }
}
