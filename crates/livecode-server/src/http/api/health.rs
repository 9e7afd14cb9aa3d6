//! `/healthz` and `/livez`.

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use livecode_protocol::session::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::app::App;
use crate::lifecycle::{HealthCode, HealthReason};

/// When a load balancer that was told that no sessions are taken should ask again.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("5");

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HealthStatus {
    /// New sessions are taken.
    Ok,
    /// New sessions are taken, but an operator should look at the reasons.
    Degraded,
    /// New sessions are refused.
    Unavailable,
}

/// The health of the server.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, `degraded`, or `unavailable` if new sessions are refused.
    status: HealthStatus,
    /// The version of the server.
    version: &'static str,
    /// The reasons for a status other than `ok`.
    reasons: Vec<HealthReason>,
    /// The parts of the sandbox that this machine cannot enforce, one sentence each.
    degraded: Vec<String>,
    /// The largest body of a request that the server takes, in bytes. A proxy must let it pass.
    body_max_bytes: u64,
}

/// Answers whether new sessions are taken. If they are not, streams and other requests are still
/// answered.
#[utoipa::path(
    get, path = "/healthz", tag = "server",
    responses(
        (status = 200, description = "New sessions are taken: `ok` or `degraded`", body = Health),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "New sessions are refused: `unavailable`", body = Health),
    )
)]
pub(crate) async fn healthz(State(app): State<App>) -> Response {
    let mut reasons = app.registry.health();
    if app.catalogue.now().iter().all(|runtime| runtime.needs.is_some()) {
        let detail = "this machine can run none of the runtimes; `livecode runtimes` says what each needs";
        reasons.push(HealthReason::new(HealthCode::NoRuntime, detail));
    }
    let degraded = app.default_spawner.degraded().to_vec();
    if !degraded.is_empty() {
        let detail = "this machine cannot enforce every limit of a session; `livecode doctor` explains more";
        reasons.push(HealthReason::new(HealthCode::SandboxDegraded, detail));
    }
    let refuses_sessions = reasons.iter().any(|reason| reason.code.refuses_sessions());
    let status = match (refuses_sessions, reasons.is_empty()) {
        (true, _) => HealthStatus::Unavailable,
        (false, false) => HealthStatus::Degraded,
        (false, true) => HealthStatus::Ok,
    };
    let health = Json(Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        reasons,
        degraded,
        body_max_bytes: app.config.body_max_bytes,
    });
    let mut response = health.into_response();
    if refuses_sessions {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S);
    }
    response.extensions_mut().insert(status);
    response
}

/// Says that the process lives.
#[derive(Serialize, ToSchema)]
pub(crate) struct Liveness {
    /// `alive`.
    status: &'static str,
}

/// Answers as long as the process serves, whether or not new sessions are taken, and under any
/// `Host`.
#[utoipa::path(
    get, path = "/livez", tag = "server",
    responses((status = 200, description = "The process lives", body = Liveness))
)]
pub(crate) async fn livez() -> Json<Liveness> {
    Json(Liveness { status: "alive" })
}
