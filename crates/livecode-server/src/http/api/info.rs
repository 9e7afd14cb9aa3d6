//! `/runtimes`, `/catalogue/reload` and `/catalogue/check`.

use axum::{
    Extension, Json,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use livecode_protocol::{ErrorCode, session::Problem};
use serde::Deserialize;

use crate::audit::{Action, Target};
use crate::auth::Caller;
use crate::catalogue::{CatalogueError, Runtime, RuntimeInfo};
use crate::checks::CheckError;
use crate::http::{app::App, caller::ClientAddress, problem::ApiError};
use crate::runner::reload::ReloadReport;

/// Lists the runtimes, Python first.
#[utoipa::path(
    get, path = "/runtimes", tag = "server",
    responses(
        (status = 200, description = "The runtimes", body = [RuntimeInfo]),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn runtimes(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Json<Vec<RuntimeInfo>> {
    let mut runtimes: Vec<_> = app.catalogue.now().iter().map(Runtime::info).collect();
    if !caller.may_administer() {
        // The words of a toolchain name paths of the machine.
        runtimes
            .iter_mut()
            .filter_map(|runtime| runtime.check.as_mut())
            .for_each(|check| check.failure = None);
    }
    Json(runtimes)
}

impl From<CatalogueError> for ApiError {
    fn from(error: CatalogueError) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let detail = format!("the runtimes were not reloaded, and those from before stay: {error}{cause}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidCatalogue, detail)
    }
}

/// Reads all runtimes again, the built-in ones and those of the operator. New sessions use them;
/// sessions that exist are not touched. The local user and admins may ask for this.
#[utoipa::path(
    post, path = "/catalogue/reload", tag = "server",
    responses(
        (status = 200, description = "What has changed", body = ReloadReport),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The caller is neither the local user nor an admin", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A runtime is wrong, and the runtimes from before stay; the detail names the file, the line and the key", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reload(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
) -> Result<Json<ReloadReport>, ApiError> {
    if !caller.may_administer() {
        return Err(nothing_here("reloaded by the local user and by admins, or by SIGHUP to the server"));
    }
    let report = app.reloader.reload().await?;
    app.audit.note(Action::RuntimesReloaded, &caller, client, Target::default());
    Ok(Json(report))
}

/// 404: the caller may not do something with the runtimes.
fn nothing_here(by_whom: &str) -> ApiError {
    let detail = format!("there is nothing here for you: the runtimes are {by_whom}");
    ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, detail)
}

/// The query of `/catalogue/check`.
#[derive(Deserialize)]
pub(crate) struct CheckQuery {
    /// The name or an alias of a runtime.
    runtime: String,
}

impl From<CheckError> for ApiError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::NoSuchRuntime(_) => {
                Self::new(StatusCode::NOT_FOUND, ErrorCode::NoSuchRuntime, error.to_string())
            }
            CheckError::Unfit(bad_field) => bad_field.into(),
            CheckError::Create(error) => error.into(),
            CheckError::Follow(error) => error.into(),
            CheckError::Interrupted => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(status, ErrorCode::ServerStopping, error.to_string()).with_retry_after(1)
            }
            CheckError::NotStarted | CheckError::TooSlow | CheckError::Busy => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(status, ErrorCode::RunQueueFull, error.to_string()).with_retry_after(5)
            }
            CheckError::Server(error) => Self::internal(&error),
        }
    }
}

/// Runs the hello of a runtime now, asks its toolchain for its version and its packages, and
/// answers the runtime with the result. The local user and admins may ask for this.
#[utoipa::path(
    post, path = "/catalogue/check", tag = "server",
    params(("runtime" = String, Query, description = "The name or an alias of a runtime")),
    responses(
        (status = 200, description = "The runtime. That its hello has failed is told in `check`", body = RuntimeInfo),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such runtime, or the caller is neither the local user nor an admin", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The query is wrong, or this machine lacks what the runtime requires", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The server has too many sessions", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "No session can be created now, or it was ended from outside", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "There is no space left on the disk", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn check(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<CheckQuery>, QueryRejection>,
) -> Result<Json<RuntimeInfo>, ApiError> {
    if !caller.may_administer() {
        return Err(nothing_here("checked by the local user and by admins"));
    }
    let Query(CheckQuery { runtime: name }) =
        query.map_err(|error| ApiError::field("runtime", error.body_text()))?;
    app.checks.check(&name).await?;
    let catalogue = app.catalogue.now();
    let runtime = catalogue.get(&name).ok_or_else(|| CheckError::NoSuchRuntime(name.clone()))?;
    Ok(Json(runtime.info()))
}
