//! A reader of one session's journal, from any number on to its end.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use livecode_journal::{Entry, Kind, LargeMessage, ReadError, Reader};
use tokio::sync::watch;

use crate::metrics::GaugeGuard;
use crate::sessions::{
    exhausted::is_exhausted,
    progress::{SessionEnd, SessionProgress},
    session::Session,
    skip::{Skip, SkipTurns},
};

/// Bytes of entries that are returned at once. A client that does not read holds so many bytes.
const BATCH_BYTES: usize = 64 * 1024;
/// The longest message that is returned as an entry. Longer ones stay in the journal, and are sent
/// from there in pieces.
const MAX_WHOLE_MESSAGE_BYTES: usize = 64 * 1024;
/// Bytes that may be skipped on the calling thread. It is about as long as reading them; the index
/// of a journal makes nearly all skips shorter. The others take their [turns](SkipTurns) on
/// threads for blocking work.
const MAX_INLINE_SKIP_BYTES: u64 = 512 * 1024;
/// Pause before the next attempt when there are no descriptors left to open a journal.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The items that a follower returns at once.
pub enum Batch {
    /// Some items in their order.
    Items(Vec<Item>),
    /// One entry: a message that is too large to be in memory for each client.
    LargeMessage(LargeMessage),
}

/// One thing that a client is told.
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

impl Batch {
    fn has_closing_entry(&self) -> bool {
        match self {
            Self::Items(items) => {
                matches!(items.last(), Some(Item::Entry(entry)) if entry.kind == Kind::Exit)
            }
            Self::LargeMessage(_) => false,
        }
    }
}

/// A journal could not be read further.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FollowError(#[from] ReadError);

/// A reader of one session. It holds at most one batch of entries in memory.
pub struct Follower {
    session: Arc<Session>,
    path: PathBuf,
    progress: watch::Receiver<SessionProgress>,
    /// `None` until there is an entry to read, and while a skip is under way.
    reader: Option<Reader>,
    /// The skip that has the reader. It is here, and not in the future of [`Self::next`], so that
    /// it goes on when a client's ping drops that future.
    skip: Option<Skip>,
    turns: SkipTurns,
    /// Number of the last entry that was returned or skipped.
    after: u64,
    /// A message that was read, whose gap before it was returned first.
    message_after_gap: Option<LargeMessage>,
    is_done: bool,
    _counted: GaugeGuard,
}

impl Follower {
    /// A follower that begins after the entry with number `after`. `path` is the session's
    /// journal. A long skip takes its `turns` with those of other followers.
    pub(crate) fn new(session: &Arc<Session>, path: PathBuf, after: u64, turns: SkipTurns) -> Self {
        Self {
            session: session.clone(),
            path,
            progress: session.watch(),
            reader: None,
            skip: None,
            turns,
            after,
            message_after_gap: None,
            is_done: false,
            _counted: GaugeGuard::new(&session.metrics.followers),
        }
    }

    /// The next items, in order; `None` after the closing entry. No item is lost if the future is
    /// dropped, and no work is done twice.
    ///
    /// # Errors
    /// If the journal cannot be read, or is damaged.
    pub async fn next(&mut self) -> Result<Option<Batch>, FollowError> {
        while !self.is_done {
            let progress = *self.progress.borrow_and_update();
            if progress.ended.is_some() {
                // A client may ask for entries beyond the closing entry. It receives the closing
                // entry.
                self.after = self.after.min(progress.entries.saturating_sub(1));
            }
            let batch = match (self.read_available(&progress).await, progress.ended) {
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
                    None => self.synthesize_closing_entry(progress.entries, ended),
                    batch => batch,
                },
                (read, None) => read?,
            };
            if let Some(batch) = batch {
                // The closing entry may be in the file before `progress` reports the end.
                self.is_done = batch.has_closing_entry();
                return Ok(Some(batch));
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

    /// Number of the last entry that was returned or skipped.
    pub fn position(&self) -> u64 {
        self.after
    }

    /// A receiver of the followed session's progress.
    pub fn watch(&self) -> watch::Receiver<SessionProgress> {
        self.progress.clone()
    }

    /// A closing entry with number `seq`, made from what is known in memory, preceded by a gap if
    /// entries before it are missing. `None` if the closing entry was returned already.
    fn synthesize_closing_entry(&mut self, seq: u64, ended: SessionEnd) -> Option<Batch> {
        let after = std::mem::replace(&mut self.after, seq);
        if after >= seq {
            return None;
        }
        let data = serde_json::to_vec(&ended.closing_entry()).unwrap_or_default();
        let entry = Item::Entry(Entry { seq, time_us: ended.ended_us, kind: Kind::Exit, data: data.into() });
        let gap = (after + 1 < seq).then_some(Item::Gap { from: after + 1, to: seq - 1 });
        Some(Batch::Items(gap.into_iter().chain([entry]).collect()))
    }

    /// Reads up to one batch of the entries that `progress` says are there. The data is usually in
    /// the page cache, so the read does not block.
    async fn read_available(&mut self, progress: &SessionProgress) -> Result<Option<Batch>, FollowError> {
        if let Some(message) = self.message_after_gap.take() {
            self.after = message.seq;
            return Ok(Some(Batch::LargeMessage(message)));
        }
        // A header without entries.
        if progress.bytes <= livecode_journal::HEADER_BYTES {
            return Ok(None);
        }
        loop {
            if let Some(skip) = &mut self.skip {
                let finished = skip.finished().await;
                self.skip = None;
                self.reader = Some(finished?);
            }
            let (mut reader, is_new) = match self.reader.take() {
                Some(reader) => (reader, false),
                None => (Reader::open(&self.path)?, true),
            };
            // Trimming replaces the journal by a new file. A reader of the old file reads that to
            // its end, and a newly opened file may have been trimmed after `progress` was read.
            // Therefore a closed file's own length counts, not the length in `progress`.
            let own_bytes = if is_new || progress.ended.is_some() { reader.closed_bytes()? } else { None };
            let until_bytes = own_bytes.unwrap_or(progress.bytes);
            if reader.last_seq() < self.after {
                if is_new {
                    reader.jump_near(self.after, until_bytes)?;
                    if let Some(point) = self.session.seen_points.last_before(self.after) {
                        reader.jump_to(point, until_bytes)?;
                    }
                }
                if !reader.skip_some(self.after, until_bytes, MAX_INLINE_SKIP_BYTES, |_| {})? {
                    let (session, path) = (self.session.clone(), self.path.clone());
                    let turns = self.turns.clone();
                    self.skip = Some(Skip::start(reader, session, path, self.after, until_bytes, turns));
                    continue;
                }
            }
            self.reader = Some(reader);
            return self.read_batch(until_bytes);
        }
    }

    fn read_batch(&mut self, until_bytes: u64) -> Result<Option<Batch>, FollowError> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let entries = reader.read_small(until_bytes, BATCH_BYTES, MAX_WHOLE_MESSAGE_BYTES)?;
        if entries.is_empty() {
            let Some(message) = reader.large_message(until_bytes, MAX_WHOLE_MESSAGE_BYTES)? else {
                return Ok(None);
            };
            let from = std::mem::replace(&mut self.after, message.seq - 1) + 1;
            if from < message.seq {
                let gap = Item::Gap { from, to: message.seq - 1 };
                self.message_after_gap = Some(message);
                return Ok(Some(Batch::Items(vec![gap])));
            }
            self.after = message.seq;
            return Ok(Some(Batch::LargeMessage(message)));
        }
        let mut items = vec![];
        for entry in entries {
            if entry.seq > self.after + 1 {
                items.push(Item::Gap { from: self.after + 1, to: entry.seq - 1 });
            }
            self.after = entry.seq;
            items.push(Item::Entry(entry));
        }
        Ok(Some(Batch::Items(items)))
    }
}
