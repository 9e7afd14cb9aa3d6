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

/// A skip under way. It goes on while its follower is not polled, and ends at the next slice when
/// it is dropped.
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

#[cfg(test)]
mod tests {
    use livecode_journal::{Kind, Writer};
    use serde_json::json;

    use super::*;
    use crate::{auth::Guest, sessions::progress::SessionProgress};

    fn session() -> Arc<Session> {
        let record = json!({
            "id": "00112233445566778899aabbccddeeff", "owner": Guest::of_token("somebody").owner(), "runtime": "bash", "created_us": 1,
            "ephemeral": false, "slot": 1,
        });
        let record = serde_json::from_value(record).unwrap();
        Arc::new(Session::new(&record, "bash".into(), SessionProgress::default(), None, Arc::default()))
    }

    #[tokio::test]
    async fn a_skip_ends_with_its_follower_and_others_go_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut writer = Writer::create(&path).unwrap();
        for seq in 0..10 * SLICE_BYTES / (1 << 20) {
            writer.push(Kind::Stdout, seq, &[0; 1 << 20]);
            let _ = writer.flush();
        }
        let until_bytes = writer.written_bytes();
        let (session, turns) = (session(), SkipTurns::default());
        let start = || {
            let reader = Reader::open(&path).unwrap();
            Skip::start(reader, session.clone(), path.clone(), u64::MAX, until_bytes, turns.clone())
        };
        let farthest = || session.seen_points.last_before(u64::MAX).map_or(0, |point| point.offset);

        let mut skip = start();
        tokio::select! {
            biased;
            _ = skip.finished() => panic!("the skip took no time"),
            () = tokio::task::yield_now() => {}
        }
        drop(skip);
        // All turns are free once the slice that was being read has ended.
        drop(turns.0.acquire_many(MAX_READING_SKIPS as u32).await);
        tokio::task::yield_now().await;
        assert_eq!(turns.0.available_permits(), MAX_READING_SKIPS);
        assert!(farthest() <= 2 * SLICE_BYTES, "the skip went on to byte {}", farthest());

        let mut reader = start().finished().await.unwrap();
        assert_eq!(reader.remaining_bytes(until_bytes), 0);
        assert!(farthest() > until_bytes - SLICE_BYTES, "later skips begin at byte {}", farthest());
        assert!(reader.read(until_bytes, 1).unwrap().is_empty());
    }
}
