//! What the server says of itself.

use axum::{Json, extract::State, http::header, response::IntoResponse};
use livecode_protocol::session::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::catalogue::{Runtime, RuntimeInfo};
use crate::http::{App, openapi_json};

/// How the server is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
    /// Version of the server.
    version: &'static str,
    /// What of the sandbox this machine cannot enforce, one sentence each.
    degraded: Vec<String>,
}

/// Says how the server is.
#[utoipa::path(
    get, path = "/healthz", tag = "server",
    responses(
        (status = 200, description = "It serves", body = Health),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn healthz(State(app): State<App>) -> Json<Health> {
    let degraded = app.spawner.degraded().to_vec();
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), degraded })
}

/// Lists the runtimes, Python first.
#[utoipa::path(
    get, path = "/runtimes", tag = "server",
    responses(
        (status = 200, description = "The runtimes", body = [RuntimeInfo]),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn runtimes(State(app): State<App>) -> Json<Vec<RuntimeInfo>> {
    Json(app.catalogue.iter().map(Runtime::info).collect())
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "server",
    responses(
        (status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json"),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json())
}
