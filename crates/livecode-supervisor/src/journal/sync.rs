//! Syncs the journal to the disk without blocking the loop that reads the pipes.
//!
//! The page cache outlives every process, so only a power failure can lose data that is not
//! synced. No message is delayed for a sync: a separate thread starts a sync 50 ms after the first
//! write that is not on the disk yet, or as soon as the sync before it has ended. A session that
//! ends before its first sync is due never starts that thread.

use std::{
    fs::File,
    io,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// Time between a write and the start of its sync. The sync itself takes a few milliseconds more.
const SYNC_DELAY: Duration = Duration::from_millis(50);

/// Syncs one journal.
pub(crate) struct Syncer {
    file: File,
    /// The time of the first write that is not covered by a sync.
    dirty_since: Option<Instant>,
    /// The channel to the thread that syncs, once that thread has been started.
    requests: Option<SyncSender<()>>,
    /// Whether that thread may be started.
    may_use_thread: bool,
}

impl Syncer {
    pub fn new(file: &File) -> io::Result<Self> {
        Ok(Self { file: file.try_clone()?, dirty_since: None, requests: None, may_use_thread: true })
    }

    /// Ends the thread, if there is one, and lets none be started: the caller is blocked by each
    /// sync from now on.
    pub fn use_no_thread(&mut self) {
        self.may_use_thread = false;
        self.requests = None;
    }

    /// Records that the file was written to.
    pub fn mark_dirty(&mut self) {
        self.dirty_since.get_or_insert_with(Instant::now);
    }

    /// The time at which [`Self::sync_if_due`] must be called next.
    pub fn due(&self) -> Option<Instant> {
        self.dirty_since.map(|since| since + SYNC_DELAY)
    }

    /// Starts a sync on the thread if one is due.
    pub fn sync_if_due(&mut self, now: Instant) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.dirty_since = None;
        if self.requests.is_none() && self.may_use_thread {
            self.requests = self.start_thread().ok();
        }
        match &self.requests {
            // If the channel is full, a sync has not started yet, and it will cover this write
            // too.
            Some(requests) => drop(requests.try_send(())),
            None => drop(self.file.sync_data()), // there is no thread: block instead
        }
    }

    fn start_thread(&self) -> io::Result<SyncSender<()>> {
        let file = self.file.try_clone()?;
        let (sender, receiver) = sync_channel(1);
        let body = move || receiver.iter().for_each(|()| drop(file.sync_data()));
        thread::Builder::new().name("sync".into()).stack_size(64 * 1024).spawn(body)?;
        Ok(sender)
    }

    /// Releases the reserve of the journal and syncs the file. This blocks, so it is called only
    /// when the session is over and nobody waits.
    pub fn finish(self) {
        let _ = livecode_journal::release_reserve(&self.file);
        let _ = self.file.sync_data();
    }
}
