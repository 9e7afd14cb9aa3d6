//! Opens, checks and copies the database.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// The name of the database's file in the data directory.
const FILE_NAME: &str = "control.sqlite";
/// Connections to the database. SQLite lets many read at once, and one write.
const CONNECTIONS_MAX: u32 = 4;
/// How long a change waits for another process that changes the database, such as `livecode token`
/// beside a server that starts.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

static MIGRATOR: Migrator = sqlx::migrate!();

/// The control store of a server.
#[derive(Clone, Debug)]
pub struct ControlStore {
    pub(crate) pool: SqlitePool,
    /// For what is counted: the audit and usage. Its changes survive the death of the server. They are
    /// on the disk with the next change by `pool`, or a little later, so that they do not make the
    /// disk write all that sessions have written (`synchronous = NORMAL` in WAL mode).
    pub(crate) counting: SqlitePool,
}

/// Why the control store failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlStoreError {
    /// The file cannot be made.
    #[error("cannot make the control store {0}")]
    Create(PathBuf, #[source] io::Error),
    /// The database cannot be opened.
    #[error("cannot open the control store {0}")]
    Open(PathBuf, #[source] sqlx::Error),
    /// The tables cannot be brought to this version, or a newer version has changed them.
    #[error(
        "the control store {0} does not fit this version of LiveCode; a newer version may have changed it: start that \
         version, or restore a backup of this one"
    )]
    Migrate(PathBuf, #[source] sqlx::migrate::MigrateError),
    /// The integrity check found damage.
    #[error("the control store is damaged: {0}; restore a backup of it")]
    Damaged(String),
    /// A copy cannot be made because the path exists.
    #[error("cannot write the backup {0}: it exists already; choose another folder")]
    BackupExists(PathBuf),
    /// The kernel gives no random bytes.
    #[error("the kernel gives no random bytes")]
    Random(#[source] getrandom::Error),
    /// The token does not exist.
    #[error("there is no token {0}; `livecode token list` lists them")]
    NoSuchToken(String),
    /// A question or a change failed.
    #[error("the control store failed")]
    Database(#[from] sqlx::Error),
}

impl ControlStore {
    /// Opens the store in `data_dir`, makes it if it is missing, and brings its tables to this
    /// version.
    ///
    /// # Errors
    /// See [`ControlStoreError`].
    pub async fn open(data_dir: &Path) -> Result<Self, ControlStoreError> {
        let path = data_dir.join(FILE_NAME);
        create_private(&path).map_err(|error| ControlStoreError::Create(path.clone(), error))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // Deleted content is overwritten.
            .pragma("secure_delete", "ON")
            .busy_timeout(BUSY_TIMEOUT);
        let counting = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_lazy_with(options.clone().synchronous(SqliteSynchronous::Normal));
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .connect_with(options)
            .await
            .map_err(|error| ControlStoreError::Open(path.clone(), error))?;
        let store = Self { pool, counting };
        store.check().await?;
        MIGRATOR.run(&store.pool).await.map_err(|error| ControlStoreError::Migrate(path, error))?;
        Ok(store)
    }

    /// Whether there is a store in `data_dir`.
    pub fn exists_in(data_dir: &Path) -> bool {
        data_dir.join(FILE_NAME).exists()
    }

    /// Checks that the database is undamaged (SQLite's `integrity_check`).
    ///
    /// # Errors
    /// [`ControlStoreError::Damaged`] with the first finding.
    pub async fn check(&self) -> Result<(), ControlStoreError> {
        let findings: Vec<String> =
            sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_all(&self.pool).await?;
        match &*findings {
            [ok] if ok == "ok" => Ok(()),
            findings => Err(ControlStoreError::Damaged(findings.join("; "))),
        }
    }

    /// Writes a copy of the database into `folder`, whole and undamaged, while others use the
    /// database. Returns the path of the copy.
    ///
    /// # Errors
    /// If `folder` has such a file already, or it cannot be written.
    pub async fn back_up(&self, folder: &Path) -> Result<PathBuf, ControlStoreError> {
        let path = folder.join(FILE_NAME);
        // SQLite would write into an empty file that exists.
        if fs::symlink_metadata(&path).is_ok() {
            return Err(ControlStoreError::BackupExists(path));
        }
        create_private(&path).map_err(|error| ControlStoreError::Create(path.clone(), error))?;
        let text = path.to_str().ok_or_else(|| {
            ControlStoreError::Create(path.clone(), io::Error::other("the path is not valid UTF-8"))
        })?;
        let copied = sqlx::query("VACUUM INTO $1").bind(text).execute(&self.pool).await;
        if copied.is_err() {
            // A part of a copy would be in the way of the next.
            let _ = fs::remove_file(&path);
        }
        copied?;
        Ok(path)
    }

    /// Moves all changes into the database's file, and empties the file of changes, which may have
    /// copies of deleted rows. Waits up to [`BUSY_TIMEOUT`] for readers, which can make this
    /// impossible. Returns whether it was done; otherwise the changes are moved later.
    pub(crate) async fn forget_deleted(&self) -> Result<bool, ControlStoreError> {
        let (busy, _, _): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.pool).await?;
        Ok(busy == 0)
    }

    /// Waits until all changes are in the database's file, and closes it.
    pub async fn close(&self) {
        self.counting.close().await;
        self.pool.close().await;
    }
}

/// Makes an empty file that only the server's user can read. SQLite's own files beside it get the
/// same mode.
fn create_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_keeps_copies_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let store = ControlStore::open(folder.path()).await.unwrap();
        let mut reader = store.pool.begin().await.unwrap();
        sqlx::query("SELECT * FROM keys").fetch_all(&mut *reader).await.unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join(FILE_NAME))
            .busy_timeout(Duration::from_millis(1));
        let writer = SqlitePool::connect_with(options).await.unwrap();
        let writer = ControlStore { counting: writer.clone(), pool: writer };
        sqlx::query("INSERT INTO keys (name, value) VALUES ('a', 'b')").execute(&writer.pool).await.unwrap();
        assert!(!writer.forget_deleted().await.unwrap());
        reader.rollback().await.unwrap();
        assert!(writer.forget_deleted().await.unwrap());
    }
}
