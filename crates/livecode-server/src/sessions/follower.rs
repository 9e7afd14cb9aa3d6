//! A reader of one session's journal, from any number on, to its end.

use std::{path::PathBuf, sync::Arc, time::Duration};

use livecode_journal::{Entry, Kind, ReadError, Reader};
use livecode_protocol::control::ClosingEntry;
use tokio::sync::watch;

use crate::sessions::{
    session::{Session, SessionEnd, SessionProgress},
    store::is_exhausted,
};
use crate::{metrics::GaugeGuard, runner::driver::blocking};

/// Bytes of entries given out at once.
const BATCH_BYTES: usize = 128 * 1024;

/// Bytes passed over on the spot; more are passed over elsewhere.
const MAX_SKIP_BYTES: u64 = 1024 * 1024;
/// How long nothing is read where there are no descriptors left to open a journal.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

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
    progress: watch::Receiver<SessionProgress>,
    reader: Option<Reader>,
    /// Number of the last entry given out, or passed over.
    after: u64,
    is_done: bool,
    _counted: GaugeGuard,
}

impl Follower {
    pub(super) fn new(session: &Arc<Session>, path: PathBuf, after: u64) -> Self {
        Self {
            path,
            progress: session.watch(),
            reader: None,
            after,
            is_done: false,
            _counted: GaugeGuard::new(&session.metrics.watchers),
        }
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
            let items = match (self.read(&progress).await, progress.ended) {
                (Err(FollowError(ReadError::Io(_, error))), _) if is_exhausted(&error) => {
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    continue;
                }
                // Deleted, before this reader had opened it: what can still be said is how it ended.
                (Err(FollowError(ReadError::Io(_, error))), Some(ended))
                    if error.kind() == std::io::ErrorKind::NotFound =>
                {
                    self.closing(progress.entries, ended)
                }
                // What is damaged is told as a gap; how it ended is known all the same.
                (Err(FollowError(error @ ReadError::Corrupt { .. })), Some(ended)) => {
                    tracing::error!(%error, "a journal is damaged; what follows is told as a gap");
                    self.closing(progress.entries, ended)
                }
                (read, Some(ended)) => match read? {
                    // Nothing more can be read, and the end was not among it: its journal could not be closed.
                    items if items.is_empty() => self.closing(progress.entries, ended),
                    items => items,
                },
                (read, None) => read?,
            };
            if !items.is_empty() {
                // The file may be closed before that is known here.
                self.is_done = matches!(items.last(), Some(Item::Entry(entry)) if entry.kind == Kind::Exit);
                return Ok(Some(items));
            }
            // Most followers of most sessions wait most of the time: a thousand of them must not hold a buffer each.
            if let Some(reader) = &mut self.reader {
                reader.release_buffer();
            }
            if progress.ended.is_some() || self.progress.changed().await.is_err() {
                self.is_done = true;
            }
        }
        Ok(None)
    }

    /// How far the session is that is followed.
    pub fn watch(&self) -> watch::Receiver<SessionProgress> {
        self.progress.clone()
    }

    /// The closing entry, made up from what is known of it, unless it was given out; what is not there before it is a gap.
    fn closing(&mut self, seq: u64, ended: SessionEnd) -> Vec<Item> {
        let after = std::mem::replace(&mut self.after, seq);
        if after >= seq {
            return vec![];
        }
        let SessionEnd { exitstatus, outcome, ended_us, usage, compiled } = ended;
        let ending = ClosingEntry { exitstatus, outcome, started_us: 0, ended_us, usage, compiled };
        let data = serde_json::to_vec(&ending).unwrap_or_default();
        let closing = Item::Entry(Entry { seq, time_us: ended_us, kind: Kind::Exit, data: data.into() });
        let gap = (after + 1 < seq).then_some(Item::Gap { from: after + 1, to: seq - 1 });
        gap.into_iter().chain([closing]).collect()
    }

    /// Reads what is there. The page cache has it as a rule, so this does not wait; the batch bounds it.
    async fn read(&mut self, progress: &SessionProgress) -> Result<Vec<Item>, FollowError> {
        // The header alone holds no entry.
        if progress.bytes <= livecode_journal::HEADER_BYTES {
            return Ok(vec![]);
        }
        let (mut reader, is_new) = match self.reader.take() {
            Some(reader) => (reader, false),
            None => (Reader::open(&self.path)?, true),
        };
        // A journal that is trimmed is another file. Who reads the old one reads that to its end, and what is opened may
        // have been trimmed since `progress`: so a closed file itself says how long it is.
        let own_bytes = if is_new || progress.ended.is_some() { reader.closed_bytes()? } else { None };
        let until_bytes = own_bytes.unwrap_or(progress.bytes);
        let after = self.after;
        // Who comes back late to a long journal passes over most of it, and not on a thread that serves others.
        if reader.last_seq() < after && reader.remaining_bytes(until_bytes) > MAX_SKIP_BYTES {
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
