//! `/runtimes`.

use axum::{Json, extract::State};
use livecode_protocol::session::Problem;

use crate::catalogue::{Runtime, RuntimeInfo};
use crate::http::app::App;

/// Lists the runtimes, Python first.
#[utoipa::path(
    get, path = "/runtimes", tag = "server",
    responses(
        (status = 200, description = "The runtimes", body = [RuntimeInfo]),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn runtimes(State(app): State<App>) -> Json<Vec<RuntimeInfo>> {
    Json(app.catalogue.iter().map(Runtime::info).collect())
}
