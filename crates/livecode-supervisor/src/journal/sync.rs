//! The journal to the disk, off the loop that reads the pipes.
//!
//! The page cache outlives any process; only a power cut can lose what was not synced. A message is never held up for
//! it: a thread syncs within 100 ms of the first byte that is not on the disk yet. A session that ends before then
//! never starts the thread.

use std::{
    fs::File,
    io,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// How long what was written may wait for its sync to begin. The sync itself takes a few milliseconds more.
const DELAY: Duration = Duration::from_millis(50);

pub(crate) struct Syncer {
    file: File,
    dirty_since: Option<Instant>,
    thread: Option<SyncSender<()>>,
}

impl Syncer {
    pub fn new(file: &File) -> io::Result<Self> {
        Ok(Self { file: file.try_clone()?, dirty_since: None, thread: None })
    }

    /// Something was written.
    pub fn mark(&mut self) {
        self.dirty_since.get_or_insert_with(Instant::now);
    }

    /// When [`Self::run`] is due.
    pub fn due(&self) -> Option<Instant> {
        self.dirty_since.map(|since| since + DELAY)
    }

    /// Has what is due synced.
    pub fn run(&mut self, now: Instant) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.dirty_since = None;
        if self.thread.is_none() {
            self.thread = self.start_thread().ok();
        }
        match &self.thread {
            // Full means that a sync is waiting to begin, which will cover this too.
            Some(thread) => drop(thread.try_send(())),
            None => drop(self.file.sync_data()), // no thread to be had: better late than never
        }
    }

    fn start_thread(&self) -> io::Result<SyncSender<()>> {
        let file = self.file.try_clone()?;
        let (sender, receiver) = sync_channel(1);
        let body = move || receiver.iter().for_each(|()| drop(file.sync_data()));
        thread::Builder::new().name("sync".into()).stack_size(64 * 1024).spawn(body)?;
        Ok(sender)
    }

    /// Gives back what is set aside, and syncs at once what is left; the session is over and nobody waits.
    pub fn finish(self) {
        let _ = livecode_journal::release_reserve(&self.file);
        let _ = self.file.sync_data();
    }
}
