//! Deletes what the server has of a user.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use livecode_journal::is_locked;
use livecode_protocol::{
    SessionId,
    session_folder::{self, JOURNAL_FILE},
    user::PurgeReport,
};
use livecode_store::{ControlStore, ControlStoreError, PurgedRows};

use super::{export::ExportError, export::read_run_spec, keys_of};
use crate::{
    audit::Audit,
    auth::{Credentials, Owner, Payer, UserId, Users},
    lifecycle::{DeleteError, ListKey, ListScope, Registry},
    sessions::{Session, Store, StoreError, blocking::blocking},
};

/// Sessions that are taken from the list at once.
const PAGE: usize = 100;

/// Why not everything was deleted. A purge can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// A session cannot be deleted.
    #[error("session {0} cannot be deleted")]
    Session(SessionId, #[source] DeleteError),
    /// A program runs, and no server is there to end it.
    #[error(
        "session {0} still runs: start the server and purge then, or end all sessions first with \
         `livecode serve --end-sessions`"
    )]
    Running(SessionId),
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A session's folder cannot be read.
    #[error(transparent)]
    Read(#[from] ExportError),
    /// The control store fails.
    #[error(transparent)]
    ControlStore(#[from] ControlStoreError),
}

/// The parts of a server that have something of a user.
pub(crate) struct Purge {
    pub registry: Arc<Registry>,
    pub credentials: Arc<Credentials>,
    pub audit: Arc<Audit>,
    pub store: ControlStore,
    pub data_dir: PathBuf,
}

impl Purge {
    /// Revokes the tokens of a user, ends and deletes its sessions, and deletes what the control
    /// store has of it. Sessions that it creates meanwhile, with a JWT that is still valid, stay.
    ///
    /// # Errors
    /// See [`PurgeError`].
    pub async fn user(&self, user: &UserId) -> Result<PurgeReport, PurgeError> {
        let keys = keys_of(user);
        let mut tokens = vec![];
        if let (Some(users), Some(name)) = (self.credentials.users().and_then(Users::by_token), &keys.name) {
            tokens = self.store.tokens_of(name).await?;
            for token in &tokens {
                match users.revoke_token(&token.id).await {
                    // Somebody else has revoked it.
                    Ok(()) | Err(ControlStoreError::NoSuchToken(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let sessions = self.sessions_of(user);
        for session in &sessions {
            let folder = session_folder::path(&self.data_dir, session.id);
            let data_dir = self.data_dir.clone();
            let forget_compiled = move || remove_compiled(&data_dir, &folder);
            blocking(forget_compiled).await.map_err(StoreError::Write)??;
            let deleted = self.registry.delete(session).await;
            deleted.map_err(|error| PurgeError::Session(session.id, error))?;
        }
        self.registry.forget_usage(Payer::of_user(user), tokens.into_iter().map(|token| token.id));
        // What waits to be written would come after the deletion.
        self.audit.write().await;
        let ids: Vec<_> = sessions.iter().map(|session| session.id.to_string()).collect();
        let rows = self.store.purge_user(&keys, &ids).await?;
        Ok(report(ids.len(), rows))
    }

    fn sessions_of(&self, user: &UserId) -> Vec<Arc<Session>> {
        let scope = ListScope::Owner(Owner::User(user.clone()));
        let mut found: Vec<Arc<Session>> = vec![];
        loop {
            let after = found.last().map(|session| ListKey::of(session));
            let page = self.registry.page(&scope, after, PAGE);
            if page.is_empty() {
                return found;
            }
            found.extend(page);
        }
    }
}

fn report(sessions: usize, rows: PurgedRows) -> PurgeReport {
    let PurgedRows { tokens, audit, usage } = rows;
    PurgeReport { sessions: sessions as u64, tokens, audit, usage_days: usage }
}

/// Deletes what a data directory has of a user on which no server runs.
///
/// # Errors
/// If a server runs on it, or a program of the user; see [`PurgeError`].
pub async fn purge_user_offline(data_dir: &Path, user: &UserId) -> Result<PurgeReport, PurgeError> {
    let store = Store::open(data_dir, "no address, to purge a user")?;
    let owner = Owner::User(user.clone());
    let records = store.scan()?.into_iter().filter(|record| record.owner == owner);
    let ids: Vec<_> = records.map(|record| record.id).collect();
    for id in &ids {
        let folder = store.folder(*id);
        // Without a journal no supervisor has begun, or it has ended before it made one.
        if is_locked(&folder.join(JOURNAL_FILE)).unwrap_or(false) {
            return Err(PurgeError::Running(*id));
        }
        remove_compiled(data_dir, &folder)?;
        store.move_to_trash(*id)?;
        store.remove_from_trash(*id).map_err(StoreError::Write)?;
    }
    if !ControlStore::exists_in(data_dir) {
        return Ok(PurgeReport { sessions: ids.len() as u64, ..PurgeReport::default() });
    }
    let control_store = ControlStore::open(data_dir).await?;
    let ids: Vec<_> = ids.iter().map(SessionId::to_string).collect();
    let rows = control_store.purge_user(&keys_of(user), &ids).await?;
    control_store.close().await;
    Ok(report(ids.len(), rows))
}

/// Removes what the compile cache has of a session's program.
fn remove_compiled(data_dir: &Path, session_folder: &Path) -> Result<(), PurgeError> {
    let Some(entry) = read_run_spec(session_folder)?.and_then(|run_spec| run_spec.cache) else {
        return Ok(());
    };
    let path = crate::compile_cache::path(data_dir, &entry.key);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Write(error).into()),
        _ => Ok(()),
    }
}
