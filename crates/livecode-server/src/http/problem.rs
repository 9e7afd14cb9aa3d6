//! Every error that a client can get, as an RFC 9457 problem document with its HTTP status.
//!
//! This is the only file that maps errors of other modules to HTTP.

use axum::{
    Json,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use livecode_protocol::session::Problem;

use crate::{
    auth::WrongHost,
    sessions::{CreateError, FollowError, ForgetError, StoreError, is_exhausted},
    spec::BadField,
};

/// An error as a client gets it: a problem document, or the text of an `error` message.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    detail: String,
    field: Option<String>,
    header: Option<(header::HeaderName, HeaderValue)>,
}

impl ApiError {
    /// An error with a status and a sentence that says what was wrong and what would be right.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), field: None, header: None }
    }

    /// 400: the request is malformed.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404: the session does not exist, or the caller may not use it.
    pub fn no_such_session() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such session; it may have been deleted, or be too old")
    }

    /// 422: one field of the request is wrong. `field` is a path such as `files[0].filename`.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        BadField::new(field, detail).into()
    }

    /// The same error with one more header in its response.
    pub fn with_header(mut self, name: header::HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
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
            detail: self.detail,
            field: self.field,
        };
        let mut response = (self.status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.header);
        response
    }
}

impl From<BadField> for ApiError {
    fn from(BadField { field, detail }: BadField) -> Self {
        Self { field: Some(field), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }
}

impl From<WrongHost> for ApiError {
    fn from(error: WrongHost) -> Self {
        Self::new(StatusCode::FORBIDDEN, error.to_string())
    }
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> Self {
        let status = match &error {
            CreateError::TooMany(_) | CreateError::Full => {
                return Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string())
                    .with_header(header::RETRY_AFTER, "60");
            }
            CreateError::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            CreateError::InProgress => StatusCode::CONFLICT,
            CreateError::Closed => {
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
                    .with_header(header::RETRY_AFTER, "2");
            }
            CreateError::NoRoom { .. } => StatusCode::INSUFFICIENT_STORAGE,
            CreateError::Store(StoreError::Write(cause)) if is_disk_full(cause) => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            CreateError::Store(StoreError::Write(cause)) if is_exhausted(cause) => {
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, with_cause(&error))
                    .with_header(header::RETRY_AFTER, "2");
            }
            CreateError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            CreateError::Random(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, with_cause(&error))
    }
}

/// Whether a write failed because the disk or the quota is full.
fn is_disk_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

impl From<ForgetError> for ApiError {
    fn from(error: ForgetError) -> Self {
        let status = match &error {
            ForgetError::Alive => StatusCode::SERVICE_UNAVAILABLE,
            ForgetError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, with_cause(&error))
    }
}

impl From<FollowError> for ApiError {
    fn from(error: FollowError) -> Self {
        tracing::error!(%error, "cannot read a journal");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the session's journal cannot be read")
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
    ApiError::new(StatusCode::NOT_FOUND, detail)
}

/// The fallback for methods that a route does not support: 405. The router adds the `Allow`
/// header.
pub(crate) async fn method_not_allowed(request: Request) -> ApiError {
    let detail = format!(
        "{} does not support {}; the Allow header lists the methods that it supports",
        request.uri().path(),
        request.method()
    );
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
