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
    audit::{Action, Audit, add_local_action},
    auth::{Credentials, Owner, Payer, UserId, Users},
    lifecycle::{DeleteError, Registry},
    sessions::{Store, StoreError, blocking::blocking},
};

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
    /// Revokes the tokens of a user, ends and deletes its sessions, and deletes its rows in the
    /// control store. Sessions that it creates meanwhile, with a JWT that is still valid, stay.
    ///
    /// # Errors
    /// See [`PurgeError`].
    pub async fn user(&self, user: &UserId) -> Result<PurgeReport, PurgeError> {
        let keys = keys_of(user);
        let mut tokens = vec![];
        if let Some(name) = &keys.name {
            tokens = self.store.all_tokens_of(name).await?;
        }
        let token_users = self.credentials.users().and_then(Users::by_token);
        if let Some(token_users) = token_users {
            for token in tokens.iter().filter(|token| token.revoked_us.is_none()) {
                match token_users.revoke_token(&token.id).await {
                    // Somebody else has revoked it.
                    Ok(()) | Err(ControlStoreError::NoSuchToken(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        // Sessions that are being created now are in the list then.
        self.registry.wait_for_creations().await;
        let sessions = self.registry.sessions_of(&Owner::User(user.clone()));
        for session in &sessions {
            session.mark_purged();
            let folder = session_folder::path(&self.data_dir, session.id);
            let find = move || compiled_key(&folder);
            let key = blocking(find).await.map_err(StoreError::Write)?;
            let deleted = self.registry.delete(session).await;
            deleted.map_err(|error| PurgeError::Session(session.id, error))?;
            // Until now a compile step may have stored its result.
            let data_dir = self.data_dir.clone();
            let remove = move || remove_compiled(&data_dir, key.as_deref());
            blocking(remove).await.map_err(StoreError::Write)??;
        }
        // Actions that wait to be written would come after the deletion.
        self.audit.write().await?;
        let ids: Vec<_> = sessions.iter().map(|session| session.id.to_string()).collect();
        let purge = self.store.purge_user(&keys, &ids);
        let token_ids = tokens.into_iter().map(|token| token.id);
        let rows = self.registry.forget_usage(Payer::of_user(user), token_ids, purge).await?;
        if let Some(token_users) = token_users {
            // Tokens that were made meanwhile were not revoked.
            rows.tokens.iter().for_each(|id| token_users.forget(id));
        }
        if rows.has_copies {
            tracing::warn!(
                "the control store was being read during a purge, so its files may still have copies of deleted rows; \
                 purge again to remove them"
            );
        }
        Ok(report(ids.len(), &rows))
    }
}

fn report(sessions: usize, rows: &PurgedRows) -> PurgeReport {
    PurgeReport {
        sessions: sessions as u64,
        tokens: rows.tokens.len() as u64,
        audit: rows.audit,
        usage_days: rows.usage,
        has_copies: rows.has_copies,
    }
}

/// Deletes all that a data directory has of a user on which no server runs.
///
/// # Errors
/// If a server runs on it, or a program of the user; see [`PurgeError`].
pub async fn purge_user_offline(data_dir: &Path, user: &UserId) -> Result<PurgeReport, PurgeError> {
    let store = Store::open(data_dir, "no address, to purge a user")?;
    let owner = Owner::User(user.clone());
    let records = store.scan()?.into_iter().filter(|record| record.owner == owner);
    let ids: Vec<_> = records.map(|record| record.id).collect();
    for id in &ids {
        check_has_ended(*id, &store.folder(*id).join(JOURNAL_FILE))?;
    }
    let control_store = match ControlStore::exists_in(data_dir) {
        true => Some(ControlStore::open(data_dir).await?),
        false => None,
    };
    if let Some(control_store) = &control_store {
        add_local_action(control_store, Action::UserPurged, None).await?;
    }
    for id in &ids {
        let key = compiled_key(&store.folder(*id));
        store.move_to_trash(*id)?;
        store.remove_from_trash(*id).map_err(StoreError::Write)?;
        remove_compiled(data_dir, key.as_deref())?;
    }
    let Some(control_store) = control_store else {
        return Ok(PurgeReport { sessions: ids.len() as u64, ..PurgeReport::default() });
    };
    let ids: Vec<_> = ids.iter().map(SessionId::to_string).collect();
    let rows = control_store.purge_user(&keys_of(user), &ids).await?;
    control_store.close().await;
    Ok(report(ids.len(), &rows))
}

/// Refuses a session whose program may still run.
fn check_has_ended(id: SessionId, journal: &Path) -> Result<(), PurgeError> {
    match is_locked(journal) {
        Ok(false) => Ok(()),
        Ok(true) => Err(PurgeError::Running(id)),
        // Without a journal no supervisor has begun, or it has ended before it made one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ExportError::Read(journal.to_owned(), error).into()),
    }
}

/// The key of a session's entry in the compile cache, if it has one. A damaged file does not keep
/// its session from being purged.
fn compiled_key(session_folder: &Path) -> Option<String> {
    let run_spec = read_run_spec(session_folder).unwrap_or_else(|error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the compiled form of a purged program cannot be found, and may be left in the cache"
        );
        None
    });
    Some(run_spec?.cache?.key)
}

/// Removes an entry of the compile cache.
fn remove_compiled(data_dir: &Path, key: Option<&str>) -> Result<(), PurgeError> {
    let Some(key) = key else { return Ok(()) };
    let path = crate::compile_cache::path(data_dir, key);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Write(error).into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_journal_means_that_no_program_runs() {
        let folder = tempfile::tempdir().unwrap();
        let id = SessionId::from_random([1; 16]);
        let journal = folder.path().join(JOURNAL_FILE);
        assert!(check_has_ended(id, &journal).is_ok());
        // A link to itself cannot be opened by anybody.
        std::os::unix::fs::symlink(&journal, &journal).unwrap();
        assert!(matches!(check_has_ended(id, &journal), Err(PurgeError::Read(_))));
    }

    #[test]
    fn a_damaged_request_names_no_compiled_form() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(session_folder::RUN_SPEC_FILE), "{").unwrap();
        assert_eq!(compiled_key(folder.path()), None);
        assert!(remove_compiled(folder.path(), Some("missing")).is_ok());
    }
}
