//! The session behind one request of v0.1.

use std::sync::Arc;

use axum::http::StatusCode;
use livecode_journal::Kind;
use livecode_protocol::{
    ErrorCode,
    session::{CreateSession, Mode},
};

use crate::audit::Action;
use crate::auth::{Caller, Payer};
use crate::http::{
    api::sessions::{NewOwner, owner_of_new_session},
    app::App,
    caller::ClientAddress,
    encode::GAP_NOTE,
    problem::ApiError,
};
use crate::lifecycle::CreateError;
use crate::{
    lifecycle::{Registry, SessionSpec},
    sessions::{Follower, Item, Session},
    spec::{BadField, Endpoint, resolve},
};

/// The media type of an answer with plain output.
pub(super) const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// Entries of the journal are missing, so the document with the results of tests is not complete.
#[derive(Debug, thiserror::Error)]
#[error("part of the results could not be kept: the server's disk was full")]
pub(super) struct ResultsIncomplete;

impl From<ResultsIncomplete> for ApiError {
    fn from(error: ResultsIncomplete) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, ErrorCode::ResultsIncomplete, error.to_string())
    }
}

/// A session that is ended and deleted when this value is dropped: when the answer is complete, or
/// when the connection is closed.
pub(super) struct EphemeralSession {
    pub registry: Arc<Registry>,
    pub session: Arc<Session>,
    mode: Mode,
}

impl Drop for EphemeralSession {
    fn drop(&mut self) {
        self.registry.delete_in_background(self.session.id);
    }
}

impl EphemeralSession {
    /// Creates the session that a request asks for.
    ///
    /// # Errors
    /// 422 if a field is wrong, or why no session can be created at the moment.
    pub async fn create(
        app: &App,
        caller: &Caller,
        payer: Payer,
        client: ClientAddress,
        request: &CreateSession,
    ) -> Result<Self, ApiError> {
        let resolve = || resolve(request, &app.catalogue.now(), &app.config.limits, Endpoint::V01);
        let resolved = match resolve() {
            Err(BadField { unknown_version_of: Some(runtime), .. }) => {
                app.checks.ensure(&runtime, &app.registry.roles().account(caller, payer)).await?;
                resolve()?
            }
            resolved => resolved?,
        };
        let NewOwner { owner, is_private, .. } = owner_of_new_session(caller)?;
        let mode = resolved.mode;
        let spec = SessionSpec {
            owner,
            is_private,
            account: app.registry.roles().account(caller, payer),
            client: client.0,
            resolved,
            is_ephemeral: true,
            idempotency: None,
        };
        let registry = app.registry.clone();
        // The client may leave while its session is created. Then the result of this task is
        // dropped, and the session is deleted.
        let create = tokio::spawn(async move {
            let (session, _) = registry.create(spec).await?;
            Ok::<_, CreateError>(Self { registry, session, mode })
        });
        match create.await {
            Ok(created) => {
                let created = created?;
                app.audit.note(Action::SessionCreated, caller, client.0, created.session.id);
                created.end_with_credential(app, caller);
                Ok(created)
            }
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    /// Deletes the session when the credential of its caller is not valid any more.
    fn end_with_credential(&self, app: &App, caller: &Caller) {
        if !matches!(caller, Caller::User(_)) {
            return;
        }
        let (app, caller, session) = (app.clone(), caller.clone(), self.session.clone());
        tokio::spawn(async move {
            let mut progress = session.watch();
            tokio::select! {
                _ = progress.wait_for(|progress| progress.is_torn_down) => {}
                () = app.credentials.ended(&caller) => app.registry.delete_in_background(session.id),
            }
        });
    }

    /// A follower from the first entry on.
    pub fn follow(&self) -> Follower {
        self.registry.follow(&self.session, 0)
    }

    /// The output in some items, as the bytes of a plain answer.
    ///
    /// # Errors
    /// If there is a gap among the results of tests.
    pub fn plain_output(&self, items: &[Item]) -> Result<Vec<u8>, ResultsIncomplete> {
        Ok(items.iter().map(|item| self.plain_bytes(item)).collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// The bytes of one item that belong into a plain answer.
    fn plain_bytes<'i>(&self, item: &'i Item) -> Result<&'i [u8], ResultsIncomplete> {
        match (item, self.mode) {
            (Item::Entry(entry), _) if entry.kind == Kind::Stdout => Ok(&entry.data),
            (Item::Entry(entry), Mode::Exec) if entry.kind == Kind::Stderr => Ok(&entry.data),
            (Item::Entry(_), _) => Ok(&[]),
            (Item::Gap { .. }, Mode::Exec) => Ok(GAP_NOTE.as_bytes()),
            // The results of tests are one JSON document: a note would make it malformed, and a
            // part of it is of no use.
            (Item::Gap { .. }, Mode::Test) => Err(ResultsIncomplete),
        }
    }
}
