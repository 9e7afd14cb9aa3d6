//! What the server says of itself.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{Html, IntoResponse},
};
use livecode_protocol::session::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, openapi_json};
use crate::catalogue::{Runtime, RuntimeInfo};

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

/// A page for people, until there is one to write programs on.
#[utoipa::path(
    get, path = "/", tag = "server",
    responses(
        (status = 200, description = "A page", body = String, content_type = "text/html"),
        (status = 403, description = "Another host was meant", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn front_page() -> impl IntoResponse {
    let policy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(include_str!("front_page.html")))
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
