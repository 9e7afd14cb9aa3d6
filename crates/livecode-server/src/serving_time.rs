//! How the time for which the server's threads work is divided among payers.
//!
//! The work for a connection is done in slices of time: the polls of its task. While several
//! payers use the server, the slices for guests take at most a part of the processors' time
//! (`guest_serving_percent`), so that programs and the local user have the rest. When guests ask
//! for more, their slices are put in order by start-time fair queueing (Goyal, Vin and Cheng
//! 1996). A payer that uses less than its fair share does not wait; the others wait for each
//! other.
//!
//! The local user never waits, and a payer that is alone may use all processors.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{Notify, oneshot};

use crate::{auth::Payer, config::Config};

/// Time that guests may use at once after the server was idle, in nanoseconds of one processor.
const BURST_NS: i64 = 20_000_000;
/// How far a payer may be ahead of its fair share without waiting, in nanoseconds. It covers what
/// a few requests at once take.
const AHEAD_NS: u64 = 10_000_000;
/// The expected duration of a connection's first slice, in nanoseconds. For later slices, the
/// duration of the last slice is expected.
const FIRST_SLICE_NS: i64 = 50_000;
/// How long a payer counts as one that uses the server after its last slice.
const ACTIVE_TIME: Duration = Duration::from_secs(1);
/// Waiting slices of closed connections are looked for only when more slices than this wait.
const WAITING_MIN: usize = 64;
/// The longest pause between two slices that are let begin while slices wait, even if guests have
/// used more than their part.
const MAX_RELEASE_PAUSE: Duration = Duration::from_millis(20);
/// The pause between two looks at waiting slices. It is the resolution of the runtime's timer.
const RELEASE_INTERVAL: Duration = Duration::from_millis(1);

/// Decides which slice of whose connection is done next.
#[derive(Debug)]
pub(crate) struct ServingTime {
    schedule: Mutex<Schedule>,
    /// Is notified when a slice begins to wait.
    waits: Notify,
}

#[derive(Debug)]
struct Schedule {
    /// Nanoseconds that guests may use in a second while several payers use the server.
    guest_ns_per_second: f64,
    /// Nanoseconds that guests may use now. It is negative after they have used more.
    credit_ns: i64,
    credited: Instant,
    /// The start tag of the latest slice that did not begin before its turn.
    virtual_ns: u64,
    accounts: HashMap<Payer, Account>,
    /// Waiting slices, ordered by start tag and then by arrival.
    waiting: BinaryHeap<Reverse<WaitingSlice>>,
    /// Number of slices that have waited.
    arrivals: u64,
    /// The number of waiting slices at which those of closed connections are removed.
    waiting_max: usize,
    pruned: Instant,
    /// When a waiting slice was last let begin.
    released: Instant,
}

#[derive(Debug)]
struct Account {
    /// The finish tag of the payer's latest slice: its start tag and the time that it took.
    finish_ns: u64,
    used: Instant,
    /// The number of the payer's slices that wait.
    waiting: usize,
}

#[derive(Debug)]
struct WaitingSlice {
    payer: Payer,
    start_ns: u64,
    arrival: u64,
    expected_ns: i64,
    turn: oneshot::Sender<()>,
}

impl PartialEq for WaitingSlice {
    fn eq(&self, other: &Self) -> bool {
        self.arrival == other.arrival
    }
}

impl Eq for WaitingSlice {}

impl PartialOrd for WaitingSlice {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WaitingSlice {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.start_ns, self.arrival).cmp(&(other.start_ns, other.arrival))
    }
}

impl Schedule {
    fn new(guest_ns_per_second: f64, now: Instant) -> Self {
        Self {
            guest_ns_per_second,
            credit_ns: BURST_NS,
            credited: now,
            virtual_ns: 0,
            accounts: HashMap::new(),
            waiting: BinaryHeap::new(),
            arrivals: 0,
            waiting_max: WAITING_MIN,
            pruned: now,
            released: now,
        }
    }

    /// Begins a slice that is expected to take `expected_ns`. Returns `None` if it may be done
    /// now, and otherwise what tells when it may.
    fn begin(&mut self, payer: Payer, expected_ns: i64, now: Instant) -> Option<oneshot::Receiver<()>> {
        self.update(now);
        let virtual_ns = self.virtual_ns;
        let account =
            self.accounts.entry(payer).or_insert(Account { finish_ns: virtual_ns, used: now, waiting: 0 });
        account.used = now;
        let is_near_share = account.finish_ns <= virtual_ns + AHEAD_NS;
        let start_ns = account.finish_ns.max(virtual_ns);
        account.finish_ns = start_ns.saturating_add_signed(expected_ns);
        let must_wait =
            payer != Payer::Local && !is_near_share && (self.credit_ns < 0 || !self.waiting.is_empty());
        if !must_wait {
            if self.credit_ns >= 0 && self.waiting.is_empty() {
                self.virtual_ns = self.virtual_ns.max(start_ns);
            }
            self.spend(payer, expected_ns);
            return None;
        }
        account.waiting += 1;
        let (turn, receiver) = oneshot::channel();
        self.arrivals += 1;
        let slice = WaitingSlice { payer, start_ns, arrival: self.arrivals, expected_ns, turn };
        self.waiting.push(Reverse(slice));
        if self.waiting.len() > self.waiting_max {
            self.remove_closed();
        }
        Some(receiver)
    }

    /// Removes the slices of connections that were closed while they waited.
    fn remove_closed(&mut self) {
        let accounts = &mut self.accounts;
        self.waiting.retain(|Reverse(slice)| {
            let is_closed = slice.turn.is_closed();
            if is_closed && let Some(account) = accounts.get_mut(&slice.payer) {
                account.waiting -= 1;
            }
            !is_closed
        });
        self.waiting_max = WAITING_MIN.max(2 * self.waiting.len());
    }

    /// Corrects the books after a slice. A request may have shown only in the slice for which
    /// payer it was done.
    fn settle(&mut self, expected: Payer, actual: Payer, expected_ns: i64, taken_ns: i64) {
        if expected == actual {
            return self.charge(expected, taken_ns - expected_ns);
        }
        self.charge(expected, -expected_ns);
        self.charge(actual, taken_ns);
    }

    /// Charges a payer for time. A negative time is given back.
    fn charge(&mut self, payer: Payer, time_ns: i64) {
        self.spend(payer, time_ns);
        let new = Account { finish_ns: self.virtual_ns, used: self.credited, waiting: 0 };
        let account = self.accounts.entry(payer).or_insert(new);
        account.finish_ns = account.finish_ns.saturating_add_signed(time_ns);
    }

    /// Takes time from the guests' credit. Debt is bounded: payers that are near their share use
    /// time without waiting, and however many they are, the others must go on.
    fn spend(&mut self, payer: Payer, time_ns: i64) {
        if payer != Payer::Local {
            self.credit_ns = self.credit_ns.saturating_sub(time_ns).max(-BURST_NS);
        }
    }

    /// Lets waiting slices begin, as many as there is time for. Returns whether others still wait.
    fn release(&mut self, now: Instant) -> bool {
        self.update(now);
        let mut is_overdue = now.saturating_duration_since(self.released) >= MAX_RELEASE_PAUSE;
        while (self.credit_ns >= 0 || is_overdue)
            && let Some(Reverse(slice)) = self.waiting.pop()
        {
            self.released = now;
            // A payer whose slice begins without credit is still ahead of its share, so that its
            // next slice waits, too.
            let ahead_ns = if self.credit_ns < 0 { AHEAD_NS } else { 0 };
            self.virtual_ns = self.virtual_ns.max(slice.start_ns.saturating_sub(ahead_ns));
            if let Some(account) = self.accounts.get_mut(&slice.payer) {
                account.waiting -= 1;
                account.used = now;
            }
            // The connection may have been closed.
            if slice.turn.send(()).is_ok() {
                is_overdue = false;
                self.spend(slice.payer, slice.expected_ns);
            }
        }
        !self.waiting.is_empty()
    }

    /// Adds the credit of the time that has passed, and forgets payers that do not use the server.
    fn update(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.credited);
        self.credited = now;
        let credit_ns = (passed.as_secs_f64() * self.guest_ns_per_second) as i64;
        self.credit_ns = self.credit_ns.saturating_add(credit_ns).min(BURST_NS);
        if self.accounts.len() < 2 {
            self.credit_ns = BURST_NS;
        }
        if now.saturating_duration_since(self.pruned) >= ACTIVE_TIME / 4 {
            self.pruned = now;
            self.accounts.retain(|_, account| {
                account.waiting > 0 || now.saturating_duration_since(account.used) < ACTIVE_TIME
            });
        }
    }
}

impl ServingTime {
    /// The time of a server that nobody has used yet. To be called on the async runtime, on which
    /// a task lets waiting slices begin.
    pub fn new(config: &Config) -> Arc<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let guest_ns_per_second = processors as f64 * config.guest_serving_percent as f64 * 1e7;
        let serving_time = Arc::new(Self {
            schedule: Mutex::new(Schedule::new(guest_ns_per_second, Instant::now())),
            waits: Notify::new(),
        });
        tokio::spawn(release_slices(serving_time.clone()));
        serving_time
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the work of a connection slice by slice, each when it is its payer's turn. `payer`
    /// is asked before and after each slice.
    pub async fn serve<F: Future>(self: Arc<Self>, payer: impl Fn() -> Payer, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut expected_ns = FIRST_SLICE_NS;
        loop {
            let served = Served { serving_time: self.clone(), payer: payer() };
            let turn = self.schedule().begin(served.payer, expected_ns, Instant::now());
            if let Some(turn) = turn {
                self.waits.notify_one();
                // An error means that the server stops.
                let _ = turn.await;
            }
            let slice = std::future::poll_fn(|context| {
                let begin_ns = thread_time_ns();
                let polled = SERVED.sync_scope(served.clone(), || work.as_mut().poll(context));
                Poll::Ready((polled, thread_time_ns() - begin_ns))
            });
            let (polled, taken_ns) = slice.await;
            self.schedule().settle(served.payer, payer(), expected_ns, taken_ns);
            expected_ns = taken_ns;
            match polled {
                Poll::Ready(output) => return output,
                Poll::Pending => woken().await,
            }
        }
    }
}

/// The time for which a processor has worked for this thread, in nanoseconds.
fn thread_time_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Waits until the task is woken. The work has registered the task's waker before.
async fn woken() {
    let mut is_woken = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut is_woken, true) {
        false => Poll::Pending,
        true => Poll::Ready(()),
    })
    .await;
}

/// Lets waiting slices begin when their time has come.
async fn release_slices(serving_time: Arc<ServingTime>) {
    loop {
        serving_time.waits.notified().await;
        while serving_time.schedule().release(Instant::now()) {
            tokio::time::sleep(RELEASE_INTERVAL).await;
        }
    }
}

/// For whom the current slice is done.
#[derive(Clone)]
struct Served {
    serving_time: Arc<ServingTime>,
    payer: Payer,
}

tokio::task_local! {
    static SERVED: Served;
}

/// Wraps work that another thread does for the current slice, so that its payer is charged.
pub(crate) fn charged<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let served = SERVED.try_with(Clone::clone).ok();
    move || {
        let begin_ns = thread_time_ns();
        let result = work();
        if let Some(Served { serving_time, payer }) = served {
            serving_time.schedule().charge(payer, thread_time_ns() - begin_ns);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE_NS: i64 = 500_000;

    fn address(number: u8) -> Payer {
        Payer::Address(std::net::IpAddr::from([192, 0, 2, number]))
    }

    /// Payers that each have some connections, which always have work.
    struct Load {
        schedule: Schedule,
        now: Instant,
        /// For each connection its payer, and its turn if it waits.
        connections: Vec<(Payer, Option<oneshot::Receiver<()>>)>,
    }

    impl Load {
        fn new(guest_ns_per_second: f64, counts: &[(Payer, usize)]) -> Self {
            let now = Instant::now();
            let connections = counts.iter().flat_map(|(payer, count)| vec![*payer; *count]);
            Self {
                schedule: Schedule::new(guest_ns_per_second, now),
                now,
                connections: connections.map(|payer| (payer, None)).collect(),
            }
        }

        /// Lets a tenth of a millisecond pass in each round, in which a connection does at most
        /// one slice. Returns the number of slices that each payer has done.
        fn run(&mut self, rounds: u32) -> HashMap<Payer, u32> {
            let mut done = HashMap::new();
            for _ in 0..rounds {
                self.now += Duration::from_micros(100);
                self.schedule.release(self.now);
                for (payer, turn) in &mut self.connections {
                    let may_begin = match turn {
                        Some(receiver) => receiver.try_recv().is_ok(),
                        None => {
                            *turn = self.schedule.begin(*payer, SLICE_NS, self.now);
                            turn.is_none()
                        }
                    };
                    if may_begin {
                        *turn = None;
                        *done.entry(*payer).or_default() += 1;
                    }
                }
            }
            done
        }
    }

    #[test]
    fn guests_share_their_part_however_many_connections_they_have() {
        let mut load = Load::new(1e9, &[(address(1), 1), (address(2), 10), (address(3), 100)]);
        let done = load.run(100_000);
        let total: u32 = done.values().sum();
        // Ten seconds with room for 2,000 slices each, and what may be used ahead.
        assert!((20_000..20_200).contains(&total), "{done:?}");
        assert!(done.values().all(|slices| (6_500..6_900).contains(slices)), "{done:?}");
    }

    #[test]
    fn a_payer_below_its_share_never_waits() {
        let mut load = Load::new(1e9, &[(address(1), 50)]);
        for round in 0..2_000 {
            load.run(100);
            // Two slices in ten milliseconds are a fifth of what guests may use.
            for _ in 0..2 {
                let turn = load.schedule.begin(address(2), SLICE_NS, load.now);
                assert!(turn.is_none(), "in round {round}");
            }
        }
    }

    #[test]
    fn many_payers_that_use_little_do_not_stop_others() {
        let mut counts = vec![(address(1), 2)];
        counts.extend((2..250).map(|number| (address(number), 1)));
        let mut load = Load::new(1e8, &counts);
        for _ in 0..3 {
            let done = load.run(100_000);
            assert!(done.contains_key(&address(1)), "{done:?}");
        }
    }

    #[test]
    fn a_request_is_charged_to_the_payer_that_it_shows() {
        let mut schedule = Schedule::new(1e9, Instant::now());
        let now = schedule.credited;
        assert!(schedule.begin(Payer::Local, SLICE_NS, now).is_none());
        schedule.settle(Payer::Local, address(1), SLICE_NS, 100 * SLICE_NS);
        assert!(schedule.begin(address(1), SLICE_NS, now).is_some(), "it is 50 ms ahead");
        assert!(schedule.begin(Payer::Local, SLICE_NS, now).is_none());
    }

    #[test]
    fn the_local_user_and_a_payer_that_is_alone_never_wait() {
        let mut load = Load::new(1e6, &[(address(1), 3)]);
        assert_eq!(load.run(1_000)[&address(1)], 3_000);
        let mut load = Load::new(1e6, &[(Payer::Local, 3), (address(1), 3)]);
        let done = load.run(10_000);
        assert_eq!(done[&Payer::Local], 30_000);
        // One slice in 20 ms, and what may be used ahead.
        assert!(done[&address(1)] < 120, "{done:?}");
        // The guest is alone again a second after the local user's last slice.
        load.connections.retain(|(payer, _)| *payer != Payer::Local);
        load.run(20_000);
        assert_eq!(load.run(1_000)[&address(1)], 3_000);
    }

    #[test]
    fn a_closed_connection_that_waits_costs_nothing() {
        let mut load = Load::new(1e9, &[(address(1), 1), (address(2), 1)]);
        load.run(1_000);
        for _ in 0..1_000 {
            drop(load.schedule.begin(address(3), SLICE_NS, load.now));
        }
        let done = load.run(10_000);
        assert!(done[&address(1)] + done[&address(2)] >= 1_900, "{done:?}");
        assert!(load.schedule.waiting.len() <= WAITING_MIN);
    }
}
