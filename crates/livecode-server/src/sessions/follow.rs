//! A reader of one session's journal, from any number on, to its end.

use std::{path::PathBuf, sync::Arc};

use livecode_journal::{Entry, Kind, ReadError, Reader};
use livecode_protocol::control::Ending;
use tokio::sync::watch;

use super::session::{Ended, Progress, Session};

/// Bytes of entries given out at once.
const BATCH_BYTES: usize = 128 * 1024;

/// What a follower sees.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// An entry.
    Entry(Entry),
    /// Numbers that are not in the journal.
    Gap {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

/// A journal could not be read on.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FollowError(#[from] ReadError);

/// Follows one session. It holds no more of it in memory than it gives out at once.
pub struct Follower {
    path: PathBuf,
    progress: watch::Receiver<Progress>,
    reader: Option<Reader>,
    /// Number of the last entry given out, or passed over.
    after: u64,
    is_done: bool,
}

impl Follower {
    pub(super) fn new(session: &Arc<Session>, path: PathBuf, after: u64) -> Self {
        Self { path, progress: session.watch(), reader: None, after, is_done: false }
    }

    /// The next items, in order; `None` after the closing entry. Nothing is lost where the future is dropped.
    ///
    /// # Errors
    /// Where the journal cannot be read, or is damaged.
    pub async fn next(&mut self) -> Result<Option<Vec<Item>>, FollowError> {
        while !self.is_done {
            let progress = *self.progress.borrow_and_update();
            if progress.ended.is_some() {
                // There is nothing beyond the closing entry: whoever asks for that gets the closing entry.
                self.after = self.after.min(progress.entries.saturating_sub(1));
            }
            let items = match (self.read(&progress), progress.ended) {
                // Deleted, before this reader had opened it: what can still be said is how it ended.
                (Err(FollowError(ReadError::Io(_, error))), Some(ended))
                    if error.kind() == std::io::ErrorKind::NotFound =>
                {
                    vec![self.closing(progress.entries, ended)]
                }
                (read, _) => read?,
            };
            if !items.is_empty() {
                self.is_done = progress.ended.is_some() && self.after >= progress.entries;
                return Ok(Some(items));
            }
            if progress.ended.is_some() || self.progress.changed().await.is_err() {
                self.is_done = true;
            }
        }
        Ok(None)
    }

    /// The closing entry, made up from what is known of it.
    fn closing(&mut self, seq: u64, ended: Ended) -> Item {
        self.after = seq;
        let Ended { exitstatus, outcome, ended_us, usage } = ended;
        let ending = Ending { exitstatus, outcome, started_us: 0, ended_us, usage };
        let data = serde_json::to_vec(&ending).unwrap_or_default();
        Item::Entry(Entry { seq, time_us: ended_us, kind: Kind::Exit, data })
    }

    /// Reads what is there. The page cache has it as a rule, so this does not wait; the batch bounds it.
    fn read(&mut self, progress: &Progress) -> Result<Vec<Item>, FollowError> {
        // The header alone holds no entry.
        if progress.bytes <= livecode_journal::HEADER_BYTES {
            return Ok(vec![]);
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(Reader::open(&self.path)?),
        };
        reader.skip_to(self.after, progress.bytes)?;
        let mut items = vec![];
        for entry in reader.read(progress.bytes, BATCH_BYTES)? {
            if entry.seq > self.after + 1 {
                items.push(Item::Gap { from: self.after + 1, to: entry.seq - 1 });
            }
            self.after = entry.seq;
            items.push(Item::Entry(entry));
        }
        Ok(items)
    }
}
