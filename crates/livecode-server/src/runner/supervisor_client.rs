//! One connection to a supervisor.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
};

use livecode_protocol::{
    DeliveryRefused, ErrorCode,
    control::{self, CpuWeight, StartKind, SupervisorNotice, SupervisorRequest},
    stream::QUEUE_FULL,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

use crate::runner::{cpu_weights::WeighedSession, start_attempts::StartFailure};
use crate::sessions::{
    SessionProgress,
    ended::ended_progress,
    session::{PendingDelivery, Session},
    store::Store,
};

/// The first version of supervisors that know weights.
const WEIGHING_VERSION: u32 = 3;
/// Bytes that are not yet written to the supervisor's socket. While more wait, no delivery is
/// taken from the queue.
const MAX_UNSENT_BYTES: usize = 256 * 1024;

/// What is to be delivered to a session. The queue outlives each connection.
pub(crate) struct DeliveryQueue {
    incoming: mpsc::Receiver<PendingDelivery>,
    /// Deliveries that the last connection did not answer. Each has an id, by which the supervisor
    /// knows whether it has the delivery already.
    retries: VecDeque<PendingDelivery>,
}

impl DeliveryQueue {
    pub fn new(incoming: mpsc::Receiver<PendingDelivery>) -> Self {
        Self { incoming, retries: VecDeque::new() }
    }

    /// The next delivery, retries first.
    async fn next(&mut self) -> Option<PendingDelivery> {
        match self.retries.pop_front() {
            Some(delivery) => Some(delivery),
            None => self.incoming.recv().await,
        }
    }
}

/// The server's end of one connection to a supervisor.
pub(crate) struct SupervisorClient<'q> {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    /// Encoded requests that are not written yet.
    unsent: Vec<u8>,
    /// Deliveries by tag. Tags increase, so this is also the order in which they were sent.
    unanswered: BTreeMap<u64, PendingDelivery>,
    next_tag: u64,
    end: ConnectionEnd,
    /// Whether the first step has started. Before that, nothing is taken from the queue: if the
    /// start fails, another supervisor has to deliver it.
    has_started: bool,
    /// How much was prepared before this session, until its start is counted.
    uncounted_start: Option<StartKind>,
    queue: &'q mut DeliveryQueue,
    /// The session as one that has a weight.
    weighed: &'q mut WeighedSession,
    /// The weight that the supervisor has; `None` if an earlier connection may have set it.
    weight: Option<CpuWeight>,
    /// Whether the supervisor knows weights.
    is_weighable: bool,
}

/// The facts that are known after the end of a connection.
#[derive(Default)]
pub(super) struct ConnectionEnd {
    /// Whether the supervisor has sent at least one valid notice.
    pub has_received_notice: bool,
    /// Why the supervisor has not started the program, if it said so.
    pub start_failure: Option<StartFailure>,
}

/// What happens next on the connection.
enum Event {
    /// So many bytes were added to the line that is being read; 0 at the connection's end.
    Read(usize),
    /// So many bytes of `unsent` were written.
    Written(usize),
    /// A delivery came from the queue.
    Delivery(PendingDelivery),
    /// The session was cancelled.
    Cancelled,
    /// The weight of the session may have changed.
    Weighed,
}

impl<'q> SupervisorClient<'q> {
    pub fn new(stream: UnixStream, queue: &'q mut DeliveryQueue, weighed: &'q mut WeighedSession) -> Self {
        let (reader, writer) = stream.into_split();
        let reader = BufReader::new(reader);
        Self {
            reader,
            writer,
            unsent: vec![],
            unanswered: BTreeMap::new(),
            next_tag: 0,
            end: ConnectionEnd::default(),
            has_started: false,
            uncounted_start: None,
            queue,
            weighed,
            weight: None,
            is_weighable: false,
        }
    }

    /// The facts that are known after [`Self::run`].
    pub(super) fn end(&mut self) -> ConnectionEnd {
        std::mem::take(&mut self.end)
    }

    /// Exchanges messages with the supervisor until it closes the connection.
    ///
    /// # Errors
    /// If the connection breaks, a notice is not valid, or the supervisor's version is not
    /// supported.
    pub async fn run(&mut self, session: &Session, store: &Store) -> io::Result<()> {
        let mut line = vec![];
        let mut cancel_sent = false;
        self.send(&SupervisorRequest::Hello { version: control::VERSION })?;
        loop {
            let may_take = self.has_started && self.unsent.len() < MAX_UNSENT_BYTES;
            let room = (control::MAX_LINE_BYTES + 1).saturating_sub(line.len()) as u64;
            let mut reader = (&mut self.reader).take(room);
            let event = tokio::select! {
                read = reader.read_until(b'\n', &mut line) => Event::Read(read?),
                written = self.writer.write(&self.unsent), if !self.unsent.is_empty() => {
                    Event::Written(written?)
                }
                Some(delivery) = self.queue.next(), if may_take => Event::Delivery(delivery),
                () = session.cancelled(), if !cancel_sent => Event::Cancelled,
                () = self.weighed.changed(), if self.is_weighable => Event::Weighed,
            };
            match event {
                Event::Read(0) => return Ok(()),
                Event::Read(_) => {
                    let notice = serde_json::from_slice(&line)?;
                    line.clear();
                    self.handle_notice(notice, session, store)?;
                    self.end.has_received_notice = true;
                }
                Event::Written(length) => drop(self.unsent.drain(..length)),
                Event::Delivery(delivery) => {
                    self.next_tag += 1;
                    let (id, item) = (delivery.id.clone(), delivery.item.clone());
                    self.unanswered.insert(self.next_tag, delivery);
                    self.send(&SupervisorRequest::Deliver { tag: self.next_tag, id, item })?;
                }
                Event::Cancelled => {
                    cancel_sent = true;
                    self.send(&SupervisorRequest::Cancel)?;
                }
                Event::Weighed => self.send_weight()?,
            }
        }
    }

    /// Tells the supervisor the weight of the session, if it does not have that yet.
    fn send_weight(&mut self) -> io::Result<()> {
        let weight = self.weighed.weight();
        if self.weight.replace(weight) == Some(weight) {
            return Ok(());
        }
        self.send(&SupervisorRequest::SetCpuWeight(weight))
    }

    fn send(&mut self, request: &SupervisorRequest) -> io::Result<()> {
        serde_json::to_writer(&mut self.unsent, request)?;
        self.unsent.push(b'\n');
        Ok(())
    }

    fn handle_notice(
        &mut self,
        notice: SupervisorNotice,
        session: &Session,
        store: &Store,
    ) -> io::Result<()> {
        match notice {
            SupervisorNotice::Hello { version, start, .. } => {
                let supported = control::OLDEST_VERSION..=control::VERSION;
                if !supported.contains(&version) {
                    let (oldest, newest) = (supported.start(), supported.end());
                    tracing::error!(
                        id = %session.id.short(),
                        version,
                        "the supervisor's version is not one from {oldest} to {newest}"
                    );
                    return Err(io::ErrorKind::Unsupported.into());
                }
                // A session that was recovered or reconnected has progress already. So each start
                // is counted once, by the server that started the supervisor, and only if the
                // program has begun.
                if session.progress() == SessionProgress::default() {
                    self.uncounted_start = Some(start);
                    self.weight = Some(CpuWeight::default());
                }
                if version >= WEIGHING_VERSION {
                    self.is_weighable = true;
                    self.send_weight()?;
                }
            }
            SupervisorNotice::Progress {
                entries,
                bytes,
                started_us,
                active_us,
                compiled,
                stored_bytes,
                wait,
                ended: false,
            } => {
                count_stored(session, store, stored_bytes);
                self.note_start(started_us, session);
                let (ended, is_torn_down) = (None, false);
                session.set_progress(|progress| {
                    *progress = SessionProgress {
                        entries,
                        bytes,
                        started_us,
                        active_us,
                        compiled,
                        wait,
                        ended,
                        is_torn_down,
                    };
                });
            }
            SupervisorNotice::Progress { started_us, stored_bytes, ended: true, .. } => {
                count_stored(session, store, stored_bytes);
                self.note_start(started_us, session);
                // If the journal cannot be read now, the driver reads it after the connection's
                // end.
                if let Ok(ended) = ended_progress(store, session.id) {
                    let started_us = ended.started_us.or(started_us);
                    // The supervisor closes the connection once it has torn the sandbox down.
                    session.set_progress(|progress| {
                        *progress = SessionProgress { started_us, is_torn_down: false, ..ended };
                    });
                    // From now on the supervisor is never killed for this session, and may serve
                    // another.
                    self.send(&SupervisorRequest::Release)?;
                }
            }
            SupervisorNotice::StartFailed { error, is_transient } => {
                self.end.start_failure = Some(StartFailure { error, is_transient });
            }
            SupervisorNotice::Delivered { tag } => self.answer(tag, Ok(())),
            SupervisorNotice::Refused { tag, error, code } => {
                // An older supervisor sends no code, but clients decide by it.
                let is_queue_full = error.ends_with(QUEUE_FULL);
                let old = if is_queue_full { ErrorCode::QueueFull } else { ErrorCode::Refused };
                let code = code.unwrap_or(old);
                self.answer(tag, Err(DeliveryRefused { code, error }));
            }
        }
        Ok(())
    }

    /// Notes that the first step has started, if it has.
    fn note_start(&mut self, started_us: Option<u64>, session: &Session) {
        if started_us.is_some() {
            self.has_started = true;
            if let Some(start) = self.uncounted_start.take() {
                session.metrics.count_start(start);
            }
        }
    }

    fn answer(&mut self, tag: u64, result: Result<(), DeliveryRefused>) {
        if let Some(PendingDelivery { answer, .. }) = self.unanswered.remove(&tag) {
            let _ = answer.send(result); // a client that disconnected needs no answer
        }
    }
}

/// Counts the size of a new compile cache entry. The supervisor repeats the size in every notice
/// once the program is compiled, so it is counted at the first of them.
fn count_stored(session: &Session, store: &Store, stored_bytes: Option<u64>) {
    if let (Some(cache), Some(bytes), None) =
        (store.compile_cache(), stored_bytes, session.progress().compiled())
    {
        cache.count_stored(bytes);
    }
}

/// Puts unanswered deliveries with an id at the front of the retry queue. A delivery without an id
/// could arrive twice, so its client receives an error instead.
impl Drop for SupervisorClient<'_> {
    fn drop(&mut self) {
        let unanswered = std::mem::take(&mut self.unanswered);
        let (retries, unknown): (Vec<_>, Vec<_>) =
            unanswered.into_values().partition(|delivery| delivery.id.is_some());
        for delivery in retries.into_iter().rev() {
            self.queue.retries.push_front(delivery);
        }
        for PendingDelivery { answer, .. } in unknown {
            let error =
                "the connection to the program broke, and without an id it is not known whether this arrived";
            let _ = answer.send(Err(DeliveryRefused::new(ErrorCode::DeliveryUnknown, error)));
        }
    }
}
