//! One connection to a supervisor.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
};

use livecode_protocol::{
    DeliveryRefused, ErrorCode,
    control::{self, SupervisorNotice, SupervisorRequest},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

use crate::runner::driver::ended_progress;
use crate::sessions::{
    session::{PendingDelivery, Session, SessionProgress},
    store::Store,
};

/// Bytes that wait for a supervisor to read; while more wait, no delivery is taken from the queue.
const MAX_UNSENT_BYTES: usize = 256 * 1024;

/// What is to be delivered to a session, whichever connection it takes.
pub(crate) struct DeliveryQueue {
    new: mpsc::Receiver<PendingDelivery>,
    /// What the last connection broke before an answer to: the supervisor knows by its id whether it has it.
    retry: VecDeque<PendingDelivery>,
}

impl DeliveryQueue {
    pub fn new(new: mpsc::Receiver<PendingDelivery>) -> Self {
        Self { new, retry: VecDeque::new() }
    }

    /// The next delivery, the ones to be sent retry first.
    async fn next(&mut self) -> Option<PendingDelivery> {
        match self.retry.pop_front() {
            Some(sent) => Some(sent),
            None => self.new.recv().await,
        }
    }
}

/// A connection and what is under way on it.
pub(crate) struct SupervisorClient<'q> {
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
    unsent: Vec<u8>,
    /// By the tag each was sent under; tags grow, so this is also the order.
    unanswered: BTreeMap<u64, PendingDelivery>,
    next_tag: u64,
    is_answered: bool,
    queue: &'q mut DeliveryQueue,
}

enum Next {
    Line(usize),
    Sent(usize),
    Delivery(PendingDelivery),
    Cancel,
}

impl<'q> SupervisorClient<'q> {
    pub fn new(stream: UnixStream, queue: &'q mut DeliveryQueue) -> Self {
        let (from, to) = stream.into_split();
        let from = BufReader::new(from);
        Self { from, to, unsent: vec![], unanswered: BTreeMap::new(), next_tag: 0, is_answered: false, queue }
    }

    /// Whether the supervisor ever said anything that makes sense.
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// Talks until the supervisor closes the connection.
    ///
    /// # Errors
    /// Where the connection breaks, or the supervisor speaks no version that we do.
    pub async fn run(&mut self, session: &Session, store: &Store) -> io::Result<()> {
        let mut line = vec![];
        let mut asked_to_end = false;
        self.send(&SupervisorRequest::Hello { version: control::VERSION })?;
        loop {
            let may_take = self.unsent.len() < MAX_UNSENT_BYTES;
            let room = (control::MAX_LINE_BYTES + 1).saturating_sub(line.len()) as u64;
            let mut from = (&mut self.from).take(room);
            let next = tokio::select! {
                read = from.read_until(b'\n', &mut line) => Next::Line(read?),
                sent = self.to.write(&self.unsent), if !self.unsent.is_empty() => Next::Sent(sent?),
                Some(delivery) = self.queue.next(), if may_take => Next::Delivery(delivery),
                () = session.cancelled(), if !asked_to_end => Next::Cancel,
            };
            match next {
                Next::Line(0) => return Ok(()),
                Next::Line(_) => {
                    let notice = serde_json::from_slice(&line)?;
                    line.clear();
                    self.hear(notice, session, store)?;
                    self.is_answered = true;
                }
                Next::Sent(length) => drop(self.unsent.drain(..length)),
                Next::Delivery(sent) => {
                    self.next_tag += 1;
                    let (id, item) = (sent.id.clone(), sent.item.clone());
                    self.unanswered.insert(self.next_tag, sent);
                    self.send(&SupervisorRequest::Deliver { tag: self.next_tag, id, item })?;
                }
                Next::Cancel => {
                    asked_to_end = true;
                    self.send(&SupervisorRequest::Cancel)?;
                }
            }
        }
    }

    fn send(&mut self, request: &SupervisorRequest) -> io::Result<()> {
        serde_json::to_writer(&mut self.unsent, request)?;
        self.unsent.push(b'\n');
        Ok(())
    }

    fn hear(&mut self, notice: SupervisorNotice, session: &Session, store: &Store) -> io::Result<()> {
        match notice {
            SupervisorNotice::Hello { version, start, .. } => {
                let spoken = control::OLDEST_VERSION..=control::VERSION;
                if !spoken.contains(&version) {
                    let (oldest, newest) = (spoken.start(), spoken.end());
                    tracing::error!(id = %session.id, version, "its supervisor speaks no version from {oldest} to {newest}");
                    return Err(io::ErrorKind::Unsupported.into());
                }
                // Who talks to it before anything is known of it is who had it started.
                if session.progress() == SessionProgress::default() {
                    session.metrics.start_of(start);
                }
            }
            SupervisorNotice::Progress {
                entries,
                bytes,
                started_us,
                active_us,
                compiled,
                stored_bytes,
                ended: false,
            } => {
                count_stored(session, store, stored_bytes);
                let (ended, is_gone) = (None, false);
                session.set_progress(|progress| {
                    *progress =
                        SessionProgress { entries, bytes, started_us, active_us, compiled, ended, is_gone };
                });
            }
            // What cannot be read now is read when the connection ends.
            SupervisorNotice::Progress { started_us, stored_bytes, ended: true, .. } => {
                count_stored(session, store, stored_bytes);
                if let Ok(ended) = ended_progress(store, session.id) {
                    let started_us = ended.started_us.or(started_us);
                    // What belongs to it is gone when the connection ends, not yet.
                    session.set_progress(|progress| {
                        *progress = SessionProgress { started_us, is_gone: false, ..ended }
                    });
                }
            }
            SupervisorNotice::Delivered { tag } => self.answer(tag, Ok(())),
            SupervisorNotice::Refused { tag, error, code } => {
                let code = code.unwrap_or(ErrorCode::Refused);
                self.answer(tag, Err(DeliveryRefused { code, error }));
            }
        }
        Ok(())
    }

    fn answer(&mut self, tag: u64, result: Result<(), DeliveryRefused>) {
        if let Some(PendingDelivery { answer, .. }) = self.unanswered.remove(&tag) {
            let _ = answer.send(result); // a client that has gone needs no answer
        }
    }
}

/// The first notice that a program was compiled says how much room it takes from then on.
fn count_stored(session: &Session, store: &Store, stored_bytes: Option<u64>) {
    if let (Some(cache), Some(bytes), None) =
        (store.compile_cache(), stored_bytes, session.progress().compiled())
    {
        cache.stored(bytes);
    }
}

/// What was not answered is sent retry on the next connection if it has an id. Without one it could arrive twice.
impl Drop for SupervisorClient<'_> {
    fn drop(&mut self) {
        let unanswered = std::mem::take(&mut self.unanswered);
        let (retry, unknown): (Vec<_>, Vec<_>) = unanswered.into_values().partition(|sent| sent.id.is_some());
        for sent in retry.into_iter().rev() {
            self.queue.retry.push_front(sent);
        }
        for PendingDelivery { answer, .. } in unknown {
            let error =
                "the connection to the program broke, and without an id it is not known whether this arrived";
            let _ = answer.send(Err(DeliveryRefused::new(ErrorCode::DeliveryUnknown, error)));
        }
    }
}
