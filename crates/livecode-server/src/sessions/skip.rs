//! Skips in long journals, away from the threads that serve.

use std::{path::PathBuf, sync::Arc};

use livecode_journal::{ReadError, Reader};
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::sessions::{blocking::blocking, session::Session};

/// How many skips read at once, of all followers together. Further ones wait for their turn.
const MAX_READING_SKIPS: usize = 2;
/// Bytes that a skip reads in one turn. Then it waits for its next turn, so that a long skip does
/// not delay a short one for longer than this takes.
const SLICE_BYTES: u64 = 4 * 1024 * 1024;

/// Gives turns to the skips of all followers, in the order in which they ask. Clones share them.
#[derive(Clone)]
pub(crate) struct SkipTurns(Arc<Semaphore>);

impl Default for SkipTurns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_READING_SKIPS)))
    }
}

/// A skip under way. It goes on while its follower is not polled, and ends at the next slice when it
/// is dropped.
pub(super) struct Skip(JoinHandle<Result<Reader, ReadError>>);

impl Skip {
    /// Moves `reader`, which reads the journal of `session` at `path`, to the first entry after
    /// number `after`, or to `until_bytes`.
    pub fn start(
        reader: Reader,
        session: Arc<Session>,
        path: PathBuf,
        after: u64,
        until_bytes: u64,
        turns: SkipTurns,
    ) -> Self {
        Self(tokio::spawn(skip(reader, session, path, after, until_bytes, turns)))
    }

    /// Waits for the end of the skip. The skip goes on if the future is dropped.
    pub async fn finished(&mut self) -> Result<Reader, ReadError> {
        match (&mut self.0).await {
            Ok(finished) => finished,
            Err(error) => Err(ReadError::Io(PathBuf::new(), std::io::Error::other(error))),
        }
    }
}

impl Drop for Skip {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn skip(
    mut reader: Reader,
    session: Arc<Session>,
    path: PathBuf,
    after: u64,
    until_bytes: u64,
    SkipTurns(turns): SkipTurns,
) -> Result<Reader, ReadError> {
    loop {
        let turn = turns.clone().acquire_owned().await;
        let session = session.clone();
        let slice = blocking(move || {
            let _turn = turn; // held until the thread is free, also if this task is aborted
            // Another follower may have been here meanwhile.
            if let Some(point) = session.seen_points.last_before(after) {
                reader.jump_to(point, until_bytes)?;
            }
            let note = |point| session.seen_points.note(point);
            let is_complete = reader.skip_some(after, until_bytes, SLICE_BYTES, note)?;
            Ok((reader, is_complete))
        });
        let is_complete;
        (reader, is_complete) = slice.await.map_err(|error| ReadError::Io(path.clone(), error))??;
        if is_complete {
            return Ok(reader);
        }
    }
}
