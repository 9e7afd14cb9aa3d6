//! `/runtimes` and `/catalogue/reload`.

use axum::{Extension, Json, extract::State, http::StatusCode};
use livecode_protocol::{ErrorCode, session::Problem};

use crate::audit::{Action, Target};
use crate::auth::Caller;
use crate::catalogue::{CatalogueError, Runtime, RuntimeInfo};
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
pub(crate) async fn runtimes(State(app): State<App>) -> Json<Vec<RuntimeInfo>> {
    Json(app.catalogue.now().iter().map(Runtime::info).collect())
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
        let detail = "there is nothing here for you: the runtimes are reloaded by the local user and by admins, or by \
                      SIGHUP to the server";
        return Err(ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, detail));
    }
    app.audit.note(Action::RuntimesReloaded, &caller, client, Target::default());
    Ok(Json(app.reloader.reload().await?))
}
