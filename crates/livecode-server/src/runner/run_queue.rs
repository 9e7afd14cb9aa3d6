//! The queue in which new sessions wait for a permit to run.
//!
//! Payers have their turns one after the other, and the owners of one payer likewise, so that a
//! session of somebody who has none yet does not wait for all those of somebody who has thousands.
//! The sessions of one owner keep their order. The queue is bounded, for each payer and in all; a
//! session that would have to wait beyond the bound is refused before anything of it is written.

use std::{
    cell::Cell,
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use livecode_protocol::SessionId;
use tokio::sync::{Notify, oneshot, watch};

use super::{
    start_pace::StartPace,
    turns::{Queue as _, Turns},
};
use crate::auth::{Allowance, Owner, Payer, PortionLimits, Portions};

/// The limits of a run queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunQueueLimits {
    /// Sessions that run at once, those included that start.
    pub running: PortionLimits,
    /// Sessions that wait.
    pub queued: PortionLimits,
    /// Sessions of guests that start at once. A start costs mostly CPU time: more of them at once
    /// than there are processors only delay each other, and everybody else's.
    pub starting: u64,
    /// Sessions of one payer that start in a second, while others use the server.
    pub starts_per_second: u64,
}

/// How many sessions of one payer may run and wait when one more of them is created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunBounds {
    /// The session waits while the payer runs so many.
    pub running_max: u64,
    /// The session is refused if it would have to wait and so many of the payer wait.
    pub queued_max: u64,
}

impl RunBounds {
    /// The bounds of an allowance.
    pub fn of(allowance: &Allowance) -> Self {
        Self {
            running_max: allowance.sessions_running_max.unwrap_or(u64::MAX),
            queued_max: allowance.sessions_queued_max.unwrap_or(u64::MAX),
        }
    }
}

/// How long the run queue is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLength {
    /// Sessions that wait.
    pub waiting: u64,
    /// Sessions that may wait.
    pub max: u64,
    /// Whether a guest that has no session yet would neither run nor wait.
    pub is_full: bool,
}

/// The queue of sessions that wait to run has no place left for a payer, or in all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many sessions wait to run, of yours or in all")]
pub struct RunQueueFull;

/// Permits to run, and the queue of sessions that wait for one.
pub(crate) struct RunQueue {
    state: Mutex<RunQueueState>,
    /// Notified when a session waits only because its payer has started many.
    has_pause: Notify,
    /// Changes when a session enters or leaves the queue.
    changes: watch::Sender<()>,
}

struct RunQueueState {
    running: Portions,
    queued: Portions,
    /// Guests' sessions that have a permit and have not started.
    starting: Portions,
    pace: StartPace,
    /// When the first of the payers may start again that have started many.
    pause_end: Option<Instant>,
    turns: Turns<Payer, Turns<Owner, VecDeque<Waiter>>>,
}

/// A session that waits.
struct Waiter {
    id: SessionId,
    payer: Payer,
    /// It waits while its payer runs so many sessions.
    running_max: u64,
    /// Receives the permit.
    granted: oneshot::Sender<()>,
}

/// A session's place in the queue and, once that is granted, its permit to run. Dropping it frees
/// either.
pub(crate) struct RunTurn {
    queue: Arc<RunQueue>,
    id: SessionId,
    payer: Payer,
    owner: Owner,
    /// `None` once the permit was granted.
    granted: Option<oneshot::Receiver<()>>,
    /// Whether the session, if it has a permit, counts among those that start.
    is_starting: bool,
}

impl RunQueue {
    pub fn new(limits: RunQueueLimits) -> Arc<Self> {
        let RunQueueLimits { running, queued, starting, starts_per_second } = limits;
        let starting = PortionLimits { total: starting, per_address: u64::MAX, reserved: 0 };
        let state = RunQueueState {
            running: Portions::new(running),
            queued: Portions::new(queued),
            starting: Portions::new(starting),
            pace: StartPace::new(starts_per_second),
            pause_end: None,
            turns: Turns::default(),
        };
        Arc::new(Self { state: Mutex::new(state), has_pause: Notify::new(), changes: watch::Sender::new(()) })
    }

    /// Grants the permits that wait for the end of a pause. This never returns.
    pub async fn end_pauses(&self) {
        loop {
            // A notification that comes before this is stored.
            let pause_end = self.state().pause_end;
            tokio::select! {
                () = self.has_pause.notified() => {}
                () = sleep_until(pause_end) => {
                    let has_granted = self.grant(&mut self.state());
                    if has_granted {
                        self.changes.send_replace(());
                    }
                }
            }
        }
    }

    /// Grants permits to all waiting sessions that may have one now. Returns whether there was one.
    fn grant(&self, state: &mut RunQueueState) -> bool {
        let (waiting, pause_end) = (state.queued.total_held(), state.pause_end);
        state.grant(Instant::now());
        if state.pause_end != pause_end {
            self.has_pause.notify_one();
        }
        state.queued.total_held() < waiting
    }

    /// Queues a session, which gets its permit at once if there is one for its payer.
    ///
    /// # Errors
    /// The session would have to wait, and there is no place for it.
    pub fn enter(
        self: &Arc<Self>,
        id: SessionId,
        payer: Payer,
        owner: &Owner,
        bounds: RunBounds,
    ) -> Result<RunTurn, RunQueueFull> {
        // The lock is held until the session is accepted or refused: sessions that are refused
        // must not hold places for a moment, since together they could hold the last ones.
        let mut state = self.state();
        let has_place = state.queued.may_take_below(&payer, bounds.queued_max);
        let granted = self.push(&mut state, id, payer, owner, bounds);
        if !has_place && state.remove(id, &payer, owner) {
            return Err(RunQueueFull);
        }
        state.pace.note_creation(&payer, Instant::now());
        drop(state);
        self.changes.send_replace(());
        Ok(self.turn(id, payer, owner, Some(granted)))
    }

    /// Queues a session that an earlier server has accepted, beyond the bound if need be.
    pub fn reenter(
        self: &Arc<Self>,
        id: SessionId,
        payer: Payer,
        owner: &Owner,
        bounds: RunBounds,
    ) -> RunTurn {
        let granted = self.push(&mut self.state(), id, payer, owner, bounds);
        self.changes.send_replace(());
        self.turn(id, payer, owner, Some(granted))
    }

    /// Adds a session to the queue, and grants all permits that there are. The receiver tells when
    /// the session has its own.
    fn push(
        &self,
        state: &mut RunQueueState,
        id: SessionId,
        payer: Payer,
        owner: &Owner,
        bounds: RunBounds,
    ) -> oneshot::Receiver<()> {
        let (granted, receiver) = oneshot::channel();
        state.queued.take(&payer);
        let waiter = Waiter { id, payer, running_max: bounds.running_max, granted };
        state.turns.push(&payer, |owners| owners.push(owner, |waiters| waiters.push_back(waiter)));
        self.grant(state);
        receiver
    }

    /// A permit for a session that runs already. It counts, even beyond the limit.
    pub fn permit_of_running(self: &Arc<Self>, id: SessionId, payer: Payer, owner: &Owner) -> RunTurn {
        self.state().running.take(&payer);
        self.turn(id, payer, owner, None)
    }

    fn turn(
        self: &Arc<Self>,
        id: SessionId,
        payer: Payer,
        owner: &Owner,
        granted: Option<oneshot::Receiver<()>>,
    ) -> RunTurn {
        let is_starting = granted.is_some();
        RunTurn { queue: self.clone(), id, payer, owner: owner.clone(), granted, is_starting }
    }

    /// The place of a session in the queue, from 1, if every payer has its turn; `None` if the
    /// session does not wait.
    pub fn position(&self, id: SessionId, payer: &Payer, owner: &Owner) -> Option<u64> {
        let state = self.state();
        let owners = state.turns.get(payer)?;
        let index = owners.get(owner)?.iter().position(|waiter| waiter.id == id)?;
        Some(state.turns.count_before(payer, owners.count_before(owner, index)) as u64 + 1)
    }

    /// Tells when a session has entered or left the queue.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// How many sessions of a payer run, and how many wait.
    pub fn held(&self, payer: &Payer) -> (u64, u64) {
        let state = self.state();
        (state.running.held(payer), state.queued.held(payer))
    }

    /// How long the queue is now.
    pub fn length(&self) -> QueueLength {
        let state = self.state();
        QueueLength {
            waiting: state.queued.total_held(),
            max: state.queued.total_max(),
            is_full: !state.queued.may_guests_take() && !state.running.may_guests_take(),
        }
    }

    fn state(&self) -> MutexGuard<'_, RunQueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunQueueState {
    fn grant(&mut self, now: Instant) {
        let pause_end = Cell::new(None::<Instant>);
        loop {
            let Self { running, queued, starting, pace, turns, .. } = self;
            let may_start = |payer: &Payer| {
                if *payer == Payer::Local {
                    return true;
                }
                let end = pace.pause_end(payer, now);
                pause_end.set(pause_end.get().into_iter().chain(end).min());
                end.is_none() && starting.may_take(payer)
            };
            // Without this question a full server would look at every payer that waits.
            let may_guests = running.may_guests_take() && starting.may_guests_take();
            let waiter = if may_guests {
                turns.pop_where(|payer, owners| {
                    let running_max = owners.next().map_or(0, |waiter| waiter.running_max);
                    running.may_take_below(payer, running_max) && may_start(payer)
                })
            } else if running.may_take(&Payer::Local) {
                turns.remove(&Payer::Local, Turns::pop)
            } else {
                None
            };
            let Some(Waiter { payer, granted, .. }) = waiter else { break };
            queued.give_back(&payer);
            running.take(&payer);
            if payer != Payer::Local {
                starting.take(&payer);
                pace.take(&payer, now);
            }
            // The receiver exists: a turn that is dropped leaves the queue first.
            let _ = granted.send(());
        }
        self.pause_end = pause_end.get();
    }

    /// Takes a session that waits out of the queue. Returns whether it has waited.
    fn remove(&mut self, id: SessionId, payer: &Payer, owner: &Owner) -> bool {
        let waiter = self.turns.remove(payer, |owners| {
            owners.remove(owner, |waiters| {
                let index = waiters.iter().position(|waiter| waiter.id == id)?;
                waiters.remove(index)
            })
        });
        if waiter.is_some() {
            self.queued.give_back(payer);
        }
        waiter.is_some()
    }
}

/// Waits until a time, or for ever.
async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

impl RunTurn {
    /// Waits until the session may run.
    pub async fn granted(&mut self) {
        if let Some(granted) = &mut self.granted {
            // The sender is dropped unused only if the queue is gone, and the turn holds the
            // queue.
            let _ = granted.await;
            self.granted = None;
        }
    }

    /// Lets others start: this session has started. It keeps its permit.
    pub fn has_started(&mut self) {
        if std::mem::take(&mut self.is_starting) && self.payer != Payer::Local {
            let mut state = self.queue.state();
            state.starting.give_back(&self.payer);
            self.queue.grant(&mut state);
            drop(state);
            self.queue.changes.send_replace(());
        }
    }
}

impl Drop for RunTurn {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        if !state.remove(self.id, &self.payer, &self.owner) {
            state.running.give_back(&self.payer);
            if self.is_starting && self.payer != Payer::Local {
                state.starting.give_back(&self.payer);
            }
        }
        // Also if it has waited: a session behind it may have a higher bound.
        self.queue.grant(&mut state);
        drop(state);
        self.queue.changes.send_replace(());
    }
}

#[cfg(test)]
mod tests;
