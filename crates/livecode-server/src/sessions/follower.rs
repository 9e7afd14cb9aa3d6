//! A reader of one session's journal, from any number on to its end.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use livecode_journal::{Entry, Kind, ReadError, Reader};
use livecode_protocol::control::ClosingEntry;
use tokio::sync::watch;

use crate::metrics::GaugeGuard;
use crate::sessions::{
    blocking::blocking,
    exhausted::is_exhausted,
    progress::{SessionEnd, SessionProgress},
    session::Session,
};

/// Bytes of entries that are returned at once.
const BATCH_BYTES: usize = 128 * 1024;
/// Bytes that may be skipped on the calling thread. More are skipped on a thread for blocking
/// work.
const MAX_INLINE_SKIP_BYTES: u64 = 1024 * 1024;
/// Pause before the next attempt when there are no descriptors left to open a journal.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// What a follower returns.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// An entry of the journal.
    Entry(Entry),
    /// Numbers that are missing in the journal.
    Gap {
        /// The first missing number.
        from: u64,
        /// The last missing number.
        to: u64,
    },
}

/// A journal could not be read further.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FollowError(#[from] ReadError);

/// A reader of one session. It holds at most one batch of entries in memory.
pub struct Follower {
    path: PathBuf,
    progress: watch::Receiver<SessionProgress>,
    /// `None` until there is an entry to read.
    reader: Option<Reader>,
    /// Number of the last entry that was returned or skipped.
    after: u64,
    is_done: bool,
    _counted: GaugeGuard,
}

impl Follower {
    /// A follower that begins after the entry with number `after`. `path` is the session's
    /// journal.
    pub(crate) fn new(session: &Arc<Session>, path: PathBuf, after: u64) -> Self {
        Self {
            path,
            progress: session.watch(),
            reader: None,
            after,
            is_done: false,
            _counted: GaugeGuard::new(&session.metrics.followers),
        }
    }

    /// The next items, in order; `None` after the closing entry. No item is lost if the future is
    /// dropped.
    ///
    /// # Errors
    /// If the journal cannot be read, or is damaged.
    pub async fn next(&mut self) -> Result<Option<Vec<Item>>, FollowError> {
        while !self.is_done {
            let progress = *self.progress.borrow_and_update();
            if progress.ended.is_some() {
                // A client may ask for entries beyond the closing entry. It receives the closing
                // entry.
                self.after = self.after.min(progress.entries.saturating_sub(1));
            }
            let items = match (self.read_available(&progress).await, progress.ended) {
                (Err(FollowError(ReadError::Io(_, error))), _) if is_exhausted(&error) => {
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    continue;
                }
                // The session was deleted before this reader opened the journal. Its end is still
                // known.
                (Err(FollowError(ReadError::Io(_, error))), Some(ended))
                    if error.kind() == io::ErrorKind::NotFound =>
                {
                    self.synthesize_closing_entry(progress.entries, ended)
                }
                // The damaged part is reported as a gap. The session's end is still known.
                (Err(FollowError(error @ ReadError::Corrupt { .. })), Some(ended)) => {
                    tracing::error!(%error, "a journal is damaged; the rest is reported as a gap");
                    self.synthesize_closing_entry(progress.entries, ended)
                }
                (read, Some(ended)) => match read? {
                    // Everything is read and the closing entry was not among it: the journal could
                    // not be closed.
                    items if items.is_empty() => self.synthesize_closing_entry(progress.entries, ended),
                    items => items,
                },
                (read, None) => read?,
            };
            if !items.is_empty() {
                // The closing entry may be in the file before `progress` reports the end.
                self.is_done = matches!(items.last(), Some(Item::Entry(entry)) if entry.kind == Kind::Exit);
                return Ok(Some(items));
            }
            // Most followers wait most of the time, so a waiting follower must not hold a buffer.
            if let Some(reader) = &mut self.reader {
                reader.release_buffer();
            }
            if progress.ended.is_some() || self.progress.changed().await.is_err() {
                self.is_done = true;
            }
        }
        Ok(None)
    }

    /// A receiver of the followed session's progress.
    pub fn watch(&self) -> watch::Receiver<SessionProgress> {
        self.progress.clone()
    }

    /// A closing entry with number `seq`, made from what is known in memory, preceded by a gap if
    /// entries before it are missing. Empty if the closing entry was returned already.
    fn synthesize_closing_entry(&mut self, seq: u64, ended: SessionEnd) -> Vec<Item> {
        let after = std::mem::replace(&mut self.after, seq);
        if after >= seq {
            return vec![];
        }
        let SessionEnd { exitstatus, outcome, ended_us, usage, compiled } = ended;
        let closing_entry = ClosingEntry { exitstatus, outcome, started_us: 0, ended_us, usage, compiled };
        let data = serde_json::to_vec(&closing_entry).unwrap_or_default();
        let entry = Item::Entry(Entry { seq, time_us: ended_us, kind: Kind::Exit, data: data.into() });
        let gap = (after + 1 < seq).then_some(Item::Gap { from: after + 1, to: seq - 1 });
        gap.into_iter().chain([entry]).collect()
    }

    /// Reads up to one batch of the entries that `progress` says are there. The data is usually in
    /// the page cache, so the read does not block.
    async fn read_available(&mut self, progress: &SessionProgress) -> Result<Vec<Item>, FollowError> {
        // A header without entries.
        if progress.bytes <= livecode_journal::HEADER_BYTES {
            return Ok(vec![]);
        }
        let (mut reader, is_new) = match self.reader.take() {
            Some(reader) => (reader, false),
            None => (Reader::open(&self.path)?, true),
        };
        // Trimming replaces the journal by a new file. A reader of the old file reads that to its
        // end, and a newly opened file may have been trimmed after `progress` was read. Therefore
        // a closed file's own length counts, not the length in `progress`.
        let own_bytes = if is_new || progress.ended.is_some() { reader.closed_bytes()? } else { None };
        let until_bytes = own_bytes.unwrap_or(progress.bytes);
        let after = self.after;
        // A reader that continues late in a long journal skips most of it, which takes too long
        // for a thread that serves other clients.
        if reader.last_seq() < after && reader.remaining_bytes(until_bytes) > MAX_INLINE_SKIP_BYTES {
            let skip = blocking(move || reader.skip_to(after, until_bytes).map(|()| reader)).await;
            reader = skip.map_err(|error| ReadError::Io(self.path.clone(), error))??;
        }
        let reader = self.reader.insert(reader);
        reader.skip_to(after, until_bytes)?;
        let mut items = vec![];
        for entry in reader.read(until_bytes, BATCH_BYTES)? {
            if entry.seq > self.after + 1 {
                items.push(Item::Gap { from: self.after + 1, to: entry.seq - 1 });
            }
            self.after = entry.seq;
            items.push(Item::Entry(entry));
        }
        Ok(items)
    }
}
