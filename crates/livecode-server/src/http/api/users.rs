//! `/users`: the data that the server has of users, for its admins.

use axum::{
    Extension, Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::StatusCode,
};
use livecode_protocol::{ErrorCode, session::Problem, user::PurgeReport};
use livecode_store::ControlStore;
use serde::Deserialize;

use crate::auth::{Caller, Subject, UserId};
use crate::http::{app::App, caller::ClientAddress, problem::ApiError};
use crate::{
    audit::{Action, Target},
    personal_data::{Purge, PurgeError},
};

/// The query of a user's URL.
#[derive(Deserialize)]
pub(crate) struct UserQuery {
    /// The issuer, for a user of JWTs.
    issuer: Option<String>,
}

impl From<PurgeError> for ApiError {
    fn from(error: PurgeError) -> Self {
        match error {
            PurgeError::Session(_, error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

/// The control store of a server that knows its users, for a caller that may administer them. For other
/// callers there is nothing here.
fn store_for(app: &App, caller: &Caller) -> Result<ControlStore, ApiError> {
    let store = app.control_store.clone().filter(|_| app.credentials.users().is_some());
    store.filter(|_| caller.may_administer()).ok_or_else(|| {
        let detail = "there is nothing here for you: users exist where the server's auth is \"tokens\" or \"jwt\", \
                      and for its admins";
        ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, detail)
    })
}

/// Deletes all that the server has of a user: its tokens are revoked, its sessions are ended and
/// deleted, and its usage and its actions in the audit are forgotten. A user of whom there is
/// nothing is no error.
#[utoipa::path(
    delete, path = "/users/{name}", tag = "tokens",
    params(
        ("name" = String, Path, description = "The user's name; for a user of JWTs its `sub`"),
        ("issuer" = Option<String>, Query, description = "The issuer (`iss`) of a user of JWTs"),
    ),
    responses(
        (status = 200, description = "What was deleted", body = PurgeReport),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The server does not know its users, or the caller is no admin", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The name cannot be a user's", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The processes of a session did not end in time; what was not deleted yet is when this is asked again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn purge(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<UserQuery>, QueryRejection>,
) -> Result<Json<PurgeReport>, ApiError> {
    let store = store_for(&app, &caller)?;
    let Path(name) = name.map_err(|error| ApiError::field("name", error.body_text()))?;
    let Query(UserQuery { issuer }) = query.map_err(|error| ApiError::field("issuer", error.body_text()))?;
    let user = match issuer {
        Some(issuer) => UserId::Subject(Subject { issuer, sub: name }),
        None => UserId::Name(name.parse().map_err(|error| ApiError::field("name", format!("{error}")))?),
    };
    let purge = Purge {
        registry: app.registry.clone(),
        credentials: app.credentials.clone(),
        audit: app.audit.clone(),
        store,
        data_dir: app.config.data_dir.clone(),
    };
    // The work is a task of its own, because a client that disconnects drops its request's future.
    let purged = tokio::spawn(async move {
        // The name of the user is kept nowhere, not even here.
        let is_own = matches!(&caller, Caller::User(own) if own.id == user);
        let (actor, client) = if is_own { (&Caller::Nobody, None) } else { (&caller, client) };
        app.audit.note(Action::UserPurged, actor, client, Target::default());
        purge.user(&user).await
    });
    match purged.await {
        Ok(report) => Ok(Json(report?)),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
