//! `/healthz` and `/runtimes`.

use axum::{Json, extract::State};
use livecode_protocol::session::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::catalogue::{Runtime, RuntimeInfo};
use crate::http::app::App;

/// The health of the server.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
    /// The version of the server.
    version: &'static str,
    /// The parts of the sandbox that this machine cannot enforce, one sentence each.
    degraded: Vec<String>,
}

/// Answers the health of the server.
#[utoipa::path(
    get, path = "/healthz", tag = "server",
    responses(
        (status = 200, description = "The server works", body = Health),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn healthz(State(app): State<App>) -> Json<Health> {
    let degraded = app.default_spawner.degraded().to_vec();
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), degraded })
}

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
