//! `/quota`: what the caller may hold, ask for and keep, and what is left of it.

use axum::{Extension, Json, extract::State};
use livecode_protocol::{
    quota::{QuotaDocument, QuotaStatus},
    session::Problem,
};

use crate::auth::{Caller, Payer};
use crate::{http::app::App, rfc3339::rfc3339};

/// Answers the caller's quotas, and how much of each is left. Guests of one address have theirs
/// together.
#[utoipa::path(
    get, path = "/quota", tag = "sessions", operation_id = "show_quota",
    responses(
        (status = 200, description = "The quotas", body = QuotaDocument),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
) -> Json<QuotaDocument> {
    let account = app.registry.roles().account(&caller, payer);
    let quotas = app.registry.quotas_used(&account).into_iter().map(|used| QuotaStatus {
        quota: used.quota,
        scope: used.scope,
        limit: used.limit,
        used: used.used,
        left: used.limit.saturating_sub(used.used),
        refilled: used.refilled_us.map(rfc3339),
    });
    Json(QuotaDocument { quotas: quotas.collect(), role: account.role })
}
