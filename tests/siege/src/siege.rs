//! Runs the rows. In each, phases without and with the attack alternate on one server, so that
//! other load on the machine affects both. After each attack the server must be as before.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::time::{sleep, timeout};

use crate::{
    attacker::{AttackerProcess, BROKEN},
    cgroup::Group,
    machine::{self, MemoryWatch},
    neighbour::{Figures, Kind, Neighbour, Operation},
    rows::{Row, Size},
    server::{Server, ServerOptions},
    stats::Samples,
};

const MIB: u64 = 1024 * 1024;

/// How long the attack works before the neighbour is measured.
const RAMP: Duration = Duration::from_secs(1);
/// How soon after an attack all must be as before.
pub const RECOVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a row may take before it is given up.
const ROW_TIMEOUT: Duration = Duration::from_secs(300);
/// The server's memory at which an attack is ended, so that the machine survives.
const MEMORY_STOP_BYTES: u64 = 3072 * MIB;
/// The byte budget of the servers under test (`held_bytes_max`): that of a machine with 2 GiB.
pub const BUDGET_BYTES: u64 = 128 * MIB;
/// Bytes that the server may hold beyond its byte budget.
const MEMORY_ALLOWANCE_BYTES: u64 = 64 * MIB;

/// The largest allowed ratios of a time with the attack to the same without.
pub const P50_RATIO_MAX: f64 = 1.3;
pub const P99_RATIO_MAX: f64 = 2.0;

/// The measurements of a run.
pub struct SiegeOptions {
    pub binary: PathBuf,
    pub seed: u64,
    pub size: Size,
}

impl SiegeOptions {
    /// The number of phases with the attack.
    fn rounds(&self) -> usize {
        self.size.pick(3, 1) as usize
    }

    /// How long the neighbour is measured in each phase. The p99 of a full run is the ninth worst
    /// sample of 900 or more; that of fewer samples differs by half from run to run.
    fn phase(&self) -> Duration {
        Duration::from_millis(self.size.pick(12_000, 1500))
    }
}

/// The server's state, as it can be seen from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub memory_bytes: u64,
    pub threads: u64,
    pub descriptors: u64,
    /// Sessions that wait or run.
    pub sessions: u64,
    /// CPU time per second, in milliseconds.
    pub cpu_ms_per_s: u64,
}

impl State {
    /// Looks at the server. This takes half a second, in which its CPU time is counted.
    async fn of(server: &Server) -> Self {
        const SAMPLE: Duration = Duration::from_millis(500);
        let pid = server.pid();
        let began_ms = machine::cpu_ms(pid);
        sleep(SAMPLE).await;
        let cpu_ms_per_s = (machine::cpu_ms(pid) - began_ms) * 1000 / SAMPLE.as_millis() as u64;
        let waiting = server.metric("livecode_sessions_waiting").await;
        let running = server.metric("livecode_sessions_running").await;
        Self {
            memory_bytes: machine::memory_bytes(pid),
            threads: machine::threads(pid),
            descriptors: machine::descriptors(pid),
            // A server that does not answer is not as before.
            sessions: waiting.zip(running).map_or(u64::MAX, |(waiting, running)| (waiting + running) as u64),
            cpu_ms_per_s,
        }
    }

    /// The values that are higher than before, in words. Empty if all is as before. The allowances
    /// are what an allocator, a pool of threads and warm sandboxes keep for a while.
    fn growth_since(&self, before: &Self) -> Vec<String> {
        let mut growth = vec![];
        let mut check = |what: &str, now: u64, before: u64, allowance: u64, unit: u64| {
            if now > before.saturating_add(allowance) {
                growth.push(format!("{what} {} after {}", now / unit, before / unit));
            }
        };
        check("memory in MiB", self.memory_bytes, before.memory_bytes, 32 * MIB, MIB);
        check("threads", self.threads, before.threads, 8, 1);
        check("descriptors", self.descriptors, before.descriptors, 32, 1);
        check("sessions", self.sessions, before.sessions, 0, 1);
        check("CPU ms/s", self.cpu_ms_per_s, before.cpu_ms_per_s, 200, 1);
        growth
    }
}

/// The result of one row.
pub struct RowResult {
    pub name: &'static str,
    pub what: &'static str,
    /// Whether the ratios of times are judged.
    judges_times: bool,
    /// The largest allowed ratio of the p99 of the first output.
    first_output_p99_max: f64,
    /// The phases without the attack; one more than those with it.
    pub without: Vec<Figures>,
    pub with: Vec<Figures>,
    pub losses: BTreeMap<String, u64>,
    pub peak_bytes: u64,
    /// How long it took until all was as before, at most; `None` if it was not in time.
    pub recovery: Option<Duration>,
    /// The values that were not as before in time.
    pub growth: Vec<String>,
    /// The attackers' own report of what they did.
    pub done: BTreeMap<String, u64>,
    /// Why the row could not be measured to its end.
    pub failure: Option<String>,
}

impl RowResult {
    fn new(row: &Row) -> Self {
        Self {
            name: row.name,
            what: row.what,
            judges_times: row.judges_times,
            first_output_p99_max: row.first_output_p99_max,
            without: vec![],
            with: vec![],
            losses: BTreeMap::new(),
            peak_bytes: 0,
            recovery: Some(Duration::ZERO),
            growth: vec![],
            done: BTreeMap::new(),
            failure: None,
        }
    }

    /// The ratio of the quantile of all samples with the attack to that of all without.
    pub fn ratio(&self, operation: Operation, quantile: f64) -> f64 {
        let of = |phases: &[Figures]| all(phases, operation).percentile(quantile);
        of(&self.with) / of(&self.without)
    }

    /// The bounds that are broken, in words. A short run does not judge times.
    pub fn broken(&self, is_short: bool) -> Vec<String> {
        let mut broken: Vec<String> = self.failure.iter().cloned().collect();
        if !is_short && self.judges_times && self.failure.is_none() {
            for operation in Operation::ALL {
                let p99_max = match operation {
                    Operation::FirstOutput => self.first_output_p99_max,
                    _ => P99_RATIO_MAX,
                };
                for (name, quantile, max) in [("p50", 0.5, P50_RATIO_MAX), ("p99", 0.99, p99_max)] {
                    let ratio = self.ratio(operation, quantile);
                    if exceeds(ratio, max) {
                        broken.push(format!("{} {name} {ratio:.2}x (at most {max}x)", operation.name()));
                    }
                    if let [first, .., last] = &self.without[..] {
                        let now = last.of(operation).percentile(quantile);
                        let ratio = now / first.of(operation).percentile(quantile);
                        if exceeds(ratio, max) {
                            broken.push(format!("{} {name} {ratio:.2}x after the attacks", operation.name()));
                        }
                    }
                }
            }
        }
        broken.extend(self.losses.iter().map(|(what, count)| format!("lost {count}: {what}")));
        if self.peak_bytes > BUDGET_BYTES + MEMORY_ALLOWANCE_BYTES {
            broken.push(format!(
                "memory {} MiB (at most {} + {} MiB)",
                self.peak_bytes / MIB,
                BUDGET_BYTES / MIB,
                MEMORY_ALLOWANCE_BYTES / MIB
            ));
        }
        if self.recovery.is_none() {
            broken.push(format!("after {} s: {}", RECOVERY_TIMEOUT.as_secs(), self.growth.join(", ")));
        }
        broken
    }
}

/// The samples of all these phases.
pub fn all(phases: &[Figures], operation: Operation) -> Samples {
    phases.iter().map(|phase| phase.of(operation)).collect()
}

/// Whether the attackers have done nothing but what was refused. Then nothing was measured.
fn is_refused(done: &BTreeMap<String, u64>) -> bool {
    done.len() == 1 && done.contains_key(BROKEN)
}

/// Whether a ratio is beyond its bound. Without any sample it is not a number, and beyond it, too.
fn exceeds(ratio: f64, max: f64) -> bool {
    ratio.is_nan() || ratio > max
}

/// Measures one row.
pub async fn measure(row: &Row, options: &SiegeOptions, cgroup: &Group) -> RowResult {
    let mut result = RowResult::new(row);
    let settings = row.settings.iter().chain([&("HELD_BYTES_MAX", BUDGET_BYTES)]);
    let settings = settings.map(|(name, value)| (*name, value.to_string())).collect();
    let server_options = ServerOptions {
        binary: options.binary.clone(),
        settings,
        disk_bytes: row.disk_bytes,
        memory_bytes: row.memory_bytes,
        has_users: row.neighbour == Kind::Users,
    };
    let mut server = match Server::start(&server_options) {
        Ok(server) => server,
        Err(error) => {
            result.failure = Some(format!("{error:#}"));
            return result;
        }
    };
    let measured = timeout(ROW_TIMEOUT, measure_on(&mut server, row, options, cgroup, &mut result)).await;
    result.failure = match measured {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(_) => Some(format!("it did not end within {} s", ROW_TIMEOUT.as_secs())),
    };
    server.stop().await;
    result
}

async fn measure_on(
    server: &mut Server,
    row: &Row,
    options: &SiegeOptions,
    cgroup: &Group,
    result: &mut RowResult,
) -> Result<()> {
    let prepared = (row.prepare)(server, options.size).await.context("prepare the attack")?;
    let neighbour = Neighbour::start(server, row.neighbour).await.context("start the neighbour")?;
    neighbour.work(Duration::from_secs(1)).await; // warms up caches and pools
    let memory = MemoryWatch::start(server.pid());
    result.without.push(neighbour.work(options.phase()).await);
    let before = State::of(server).await;
    for round in 0..options.rounds() {
        let seed = options.seed.wrapping_add(round as u64);
        let attack = AttackerProcess::start(cgroup, row.name, server.address(), seed, &prepared)?;
        sleep(RAMP).await;
        let guard = end_with_memory(attack, &memory, options.phase());
        let (figures, done) = tokio::join!(neighbour.work(options.phase()), guard);
        result.with.push(figures);
        ensure!(!is_refused(&done), "all that the attackers tried was refused");
        for (what, count) in done {
            *result.done.entry(what).or_default() += count;
        }
        recover(server, &before, result).await;
        result.without.push(neighbour.work(options.phase()).await);
    }
    result.peak_bytes = memory.peak_bytes();
    result.losses = neighbour.finish().await;
    Ok(())
}

/// Ends the attack after `duration`, or earlier if the server's memory endangers the machine.
/// Returns what the attacker did.
async fn end_with_memory(
    attack: AttackerProcess,
    memory: &MemoryWatch,
    duration: Duration,
) -> BTreeMap<String, u64> {
    let deadline = Instant::now() + duration;
    while Instant::now() < deadline && memory.peak_bytes() < MEMORY_STOP_BYTES {
        sleep(Duration::from_millis(20)).await;
    }
    attack.stop()
}

/// Waits until all is as before, and records how long that took.
async fn recover(server: &Server, before: &State, result: &mut RowResult) {
    let began = Instant::now();
    loop {
        let growth = State::of(server).await.growth_since(before);
        if growth.is_empty() {
            result.recovery = result.recovery.map(|longest| longest.max(began.elapsed()));
            return;
        }
        if began.elapsed() > RECOVERY_TIMEOUT {
            result.recovery = None;
            result.growth = growth;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::find;

    fn result() -> RowResult {
        RowResult::new(find("lists").expect("a row"))
    }

    #[test]
    fn each_bound_can_be_broken() {
        assert!(result().broken(true).is_empty());
        assert!(!result().broken(false).is_empty(), "without samples nothing is met");
        let losses = BTreeMap::from([("echo: closed".to_owned(), 2)]);
        assert_eq!(RowResult { losses, ..result() }.broken(true), ["lost 2: echo: closed"]);
        let peak_bytes = BUDGET_BYTES + MEMORY_ALLOWANCE_BYTES + 1;
        assert_eq!(RowResult { peak_bytes, ..result() }.broken(true).len(), 1);
        assert_eq!(RowResult { recovery: None, ..result() }.broken(true).len(), 1);
    }

    #[test]
    fn growth_is_told() {
        let before = State { threads: 10, sessions: 2, ..State::default() };
        assert!(before.growth_since(&before).is_empty());
        let more = State { threads: 100, ..before };
        assert_eq!(more.growth_since(&before), ["threads 100 after 10"]);
        let more = State { sessions: 3, ..before };
        assert_eq!(more.growth_since(&before), ["sessions 3 after 2"]);
    }
}
