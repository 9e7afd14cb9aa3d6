//! The metrics that `/metrics` serves to Prometheus. Each metric is updated where its event
//! happens, except `kept`, which a scrape sets from the registry's count. No scrape walks through
//! the sessions.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use livecode_protocol::{
    ErrorCode,
    control::StartKind,
    session::{Compiled, Outcome},
};
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

/// Upper bounds of the buckets for the time until a session starts, in seconds.
const START_BUCKETS_S: [f64; 13] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
/// Upper bounds of the buckets for the time that a session runs, in seconds.
const RUN_BUCKETS_S: [f64; 12] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3600.0];

/// The reason for closing the websocket of a client that sends too many messages.
pub(crate) const MESSAGE_RATE: &str = "message_rate";

/// The reason for refusing a connection of an address that has too many.
pub(crate) const CONNECTIONS: &str = "connections";

/// The `reason` label of a refused request, by the status of the response. The labels are older
/// than the error codes, and dashboards use them.
const REFUSAL_REASONS: [(u16, &str); 13] = [
    (400, "malformed"),
    (403, "forbidden"),
    (404, "not_found"),
    (405, "method"),
    (408, "slow_body"),
    (409, "in_progress"),
    (413, "too_large"),
    (415, "media_type"),
    (422, "invalid"),
    (426, "upgrade_required"),
    (429, "too_many_sessions"),
    (503, "unavailable"),
    (507, "no_room"),
];
/// The `reason` label of a refused request whose error has a label of its own.
const CODE_REASONS: [(ErrorCode, &str); 2] =
    [(ErrorCode::RunQueueFull, "queue_full"), (ErrorCode::TooManyConnections, CONNECTIONS)];
/// The `reason` label of a refused creation (`CreateError::code`).
const REFUSED_SESSION_CODES: [ErrorCode; 9] = [
    ErrorCode::TooManySessions,
    ErrorCode::ServerFull,
    ErrorCode::RunQueueFull,
    ErrorCode::IdempotencyKeyReused,
    ErrorCode::IdempotencyInProgress,
    ErrorCode::ServerStopping,
    ErrorCode::DiskFull,
    ErrorCode::OutOfResources,
    ErrorCode::Internal,
];
/// The label of a value that has none of its own.
const OTHER: &str = "other";

/// The `ready` label of a session start.
const START_KINDS: [(StartKind, &str); 3] =
    [(StartKind::Cold, "cold"), (StartKind::Sandbox, "sandbox"), (StartKind::Interpreter, "interpreter")];

/// The `outcome` label of an ended session.
const OUTCOMES: [(Outcome, &str); 9] = [
    (Outcome::Exited, "exited"),
    (Outcome::Signalled, "signalled"),
    (Outcome::CompileFailed, "compile_failed"),
    (Outcome::Timeout, "timeout"),
    (Outcome::Cpu, "cpu"),
    (Outcome::Memory, "memory"),
    (Outcome::Output, "output"),
    (Outcome::Cancelled, "cancelled"),
    (Outcome::Lost, "lost"),
];

/// The `from` label of a compiled program.
const COMPILED: [(Compiled, &str); 2] = [(Compiled::Fresh, "compiler"), (Compiled::Cached, "cache")];

/// All metrics of one server.
pub struct Metrics {
    registry: Registry,
    /// The names of the runtimes, which are the values of the label `runtime`.
    runtimes: RwLock<Vec<String>>,
    /// Sessions that were created.
    created: IntCounter,
    /// Sessions that were created, by runtime.
    created_by_runtime: IntCounterVec,
    /// Creations that were refused, by the code of the error.
    refused_sessions: IntCounterVec,
    /// Sessions that ended, by outcome.
    ended: IntCounterVec,
    /// Sessions that started, by what was ready for them.
    starts: IntCounterVec,
    /// Sessions that wait for a permit to run.
    pub(crate) waiting: IntGauge,
    /// Sessions that hold a permit and have not ended.
    running: IntGauge,
    /// The same, by runtime.
    running_by_runtime: IntGaugeVec,
    /// Sessions that can be found, ended ones included.
    pub(crate) kept: IntGauge,
    /// Time from the request for a session until its first step starts, in seconds.
    start_s: Histogram,
    /// Time from the request for a session until its first entry is known, in seconds.
    first_entry_s: Histogram,
    /// Time from the start of a session's first step to its end, in seconds.
    run_s: Histogram,
    /// Followers of sessions.
    pub(crate) followers: IntGauge,
    /// Bytes sent to followers.
    sent_bytes: IntCounter,
    /// Entries sent to followers.
    sent_messages: IntCounter,
    /// Requests that were refused, by reason.
    refused: IntCounterVec,
    /// Programs with compile steps that can run, by where the artefacts came from.
    compiled: IntCounterVec,
    /// Disk space of the compile cache.
    pub(crate) compile_cache_bytes: IntGauge,
    /// Entries evicted from the compile cache.
    pub(crate) compile_cache_evicted: IntCounter,
    /// Bytes written to journals.
    pub(crate) journal_bytes: IntCounter,
    /// Free space on the disk of the sessions; set by a scrape.
    pub(crate) disk_free_bytes: IntGauge,
    /// Bytes that are held for clients, by the byte budget.
    pub(crate) held_bytes: IntGauge,
    /// Requests and messages that did not fit into the byte budget.
    pub(crate) held_bytes_refused: IntCounter,
    /// Spawners started in place of a spawner that had died.
    pub(crate) spawner_restarts: IntCounter,
}

/// Counts as 1 in a gauge until it is dropped.
pub(crate) struct GaugeGuard(IntGauge);

impl GaugeGuard {
    /// Increments `gauge`.
    pub fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(vec![])
    }
}

impl Metrics {
    /// The metrics of a server that has the runtimes of these names.
    pub fn new(runtimes: Vec<String>) -> Self {
        let registry = Registry::new();
        let build = IntGaugeVec::new(
            Opts::new("livecode_build_info", "Always 1; the label is the version of the server."),
            &["version"],
        );
        register(&registry, build).with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let counter = |name, help| register(&registry, IntCounter::new(name, help));
        let gauge = |name, help| register(&registry, IntGauge::new(name, help));
        let labelled = |name: &str, help: &str, label: &str| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), &[label]))
        };
        let histogram = |name: &str, help: &str, bounds: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
            register(&registry, Histogram::with_opts(options))
        };
        let metrics = Self {
            created_by_runtime: labelled(
                "livecode_runtime_sessions_created_total",
                "Sessions created, by runtime.",
                "runtime",
            ),
            refused_sessions: labelled(
                "livecode_sessions_refused_total",
                "New sessions that were refused, by the code of the error.",
                "reason",
            ),
            created: counter("livecode_sessions_created_total", "Sessions created."),
            ended: labelled("livecode_sessions_ended_total", "Sessions that ended, by outcome.", "outcome"),
            waiting: gauge("livecode_sessions_waiting", "Sessions that wait for a permit to run."),
            running: gauge("livecode_sessions_running", "Sessions that run."),
            running_by_runtime: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new("livecode_runtime_sessions_running", "Sessions that run, by runtime."),
                    &["runtime"],
                ),
            ),
            kept: gauge("livecode_sessions_kept", "Sessions that can be found, ended ones included."),
            start_s: histogram(
                "livecode_session_start_seconds",
                "Time from the request for a session until its first step has started.",
                &START_BUCKETS_S,
            ),
            first_entry_s: histogram(
                "livecode_session_first_entry_seconds",
                "Time from the request for a session until the server knows of its first entry.",
                &START_BUCKETS_S,
            ),
            run_s: histogram(
                "livecode_session_run_seconds",
                "Time from the start of a session's first step to the end of the session.",
                &RUN_BUCKETS_S,
            ),
            followers: gauge(
                "livecode_watchers",
                "Followers of sessions, over websockets and plain HTTP, v0.1 included.",
            ),
            sent_bytes: counter(
                "livecode_stream_sent_bytes_total",
                "Bytes of messages and output sent to followers of sessions.",
            ),
            sent_messages: counter(
                "livecode_stream_sent_messages_total",
                "Entries sent to followers of sessions.",
            ),
            starts: labelled(
                "livecode_session_starts_total",
                "Sessions started, by what was ready for them: nothing, a sandbox, or an interpreter in it.",
                "ready",
            ),
            refused: labelled(
                "livecode_requests_refused_total",
                "Requests answered with an error, and websockets closed for sending too many messages, by reason.",
                "reason",
            ),
            compiled: labelled(
                "livecode_programs_compiled_total",
                "Programs with compile steps that could run, by the source of the result: compiler or cache.",
                "from",
            ),
            compile_cache_bytes: gauge("livecode_compile_cache_bytes", "Disk space of the compile cache."),
            compile_cache_evicted: counter(
                "livecode_compile_cache_evicted_total",
                "Entries evicted from the compile cache.",
            ),
            journal_bytes: counter(
                "livecode_journal_written_bytes_total",
                "Bytes written to the journals of sessions.",
            ),
            disk_free_bytes: gauge("livecode_disk_free_bytes", "Free space on the disk of the sessions."),
            held_bytes: gauge(
                "livecode_held_bytes",
                "Bytes of bodies and messages that the server holds in memory for its clients.",
            ),
            held_bytes_refused: counter(
                "livecode_held_bytes_refused_total",
                "Bodies, messages and answers that did not fit into the byte budget.",
            ),
            spawner_restarts: counter(
                "livecode_spawner_restarts_total",
                "Spawners started in place of a spawner that had died.",
            ),
            runtimes: RwLock::default(),
            registry,
        };
        // Every label value starts at 0, because Prometheus cannot compute the rate of a series
        // whose first sample is not 0.
        for (_, outcome) in OUTCOMES {
            metrics.ended.with_label_values(&[outcome]);
        }
        for (_, start) in START_KINDS {
            metrics.starts.with_label_values(&[start]);
        }
        for (_, from) in COMPILED {
            metrics.compiled.with_label_values(&[from]);
        }
        for code in REFUSED_SESSION_CODES {
            metrics.refused_sessions.with_label_values(&[code.as_str()]);
        }
        metrics.set_runtimes(runtimes);
        let by_code = CODE_REASONS.iter().map(|(_, reason)| *reason);
        let by_status = REFUSAL_REASONS.iter().map(|(_, reason)| *reason);
        for reason in by_status.chain(by_code).chain([MESSAGE_RATE, OTHER]) {
            metrics.refused.with_label_values(&[reason]);
        }
        metrics
    }
}

/// Registers a new metric.
///
/// # Panics
/// A name or label is malformed, or a name is used twice. The names are constants, so this depends
/// on no input.
fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("the names and labels are well-formed");
    registry.register(Box::new(metric.clone())).expect("no name is used twice");
    metric
}

impl Metrics {
    /// Encodes all metrics. Returns the media type and the text.
    pub(crate) fn render(&self) -> (String, String) {
        let encoder = TextEncoder::new();
        let mut text = vec![];
        // Encoding well-formed metrics into memory does not fail.
        let _ = encoder.encode(&self.registry.gather(), &mut text);
        (encoder.format_type().to_owned(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Replaces the names of the runtimes, after a reload. What was counted for others stays.
    pub(crate) fn set_runtimes(&self, names: Vec<String>) {
        for runtime in names.iter().map(String::as_str).chain([OTHER]) {
            self.created_by_runtime.with_label_values(&[runtime]);
            self.running_by_runtime.with_label_values(&[runtime]);
        }
        *self.runtimes.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// The label of a runtime. A session that an earlier server created may have a runtime that
    /// the catalogue has no more.
    fn runtime_label<'l>(&self, runtime: &'l str) -> &'l str {
        let runtimes = self.runtimes.read().unwrap_or_else(PoisonError::into_inner);
        if runtimes.iter().any(|known| known == runtime) { runtime } else { OTHER }
    }

    /// Counts a new session.
    pub(crate) fn count_created(&self, runtime: &str) {
        self.created.inc();
        self.created_by_runtime.with_label_values(&[self.runtime_label(runtime)]).inc();
    }

    /// Counts a new session that was refused.
    pub(crate) fn count_refused_session(&self, code: ErrorCode) {
        let label = if REFUSED_SESSION_CODES.contains(&code) { code.as_str() } else { OTHER };
        self.refused_sessions.with_label_values(&[label]).inc();
    }

    /// Whether no session runs or waits to run.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.get() == 0 && self.waiting.get() == 0
    }

    /// Counts a session as running until the result is dropped.
    pub(crate) fn running_session(&self, runtime: &str) -> [GaugeGuard; 2] {
        let by_runtime = self.running_by_runtime.with_label_values(&[self.runtime_label(runtime)]);
        [GaugeGuard::new(&self.running), GaugeGuard::new(&by_runtime)]
    }

    /// Counts the start of a session, by what was ready for it.
    pub(crate) fn count_start(&self, start: StartKind) {
        if let Some((_, label)) = START_KINDS.iter().find(|(known, _)| *known == start) {
            self.starts.with_label_values(&[label]).inc();
        }
    }

    /// Records the time from the request for a session until its first step started.
    pub(crate) fn observe_start(&self, after: Duration) {
        self.start_s.observe(after.as_secs_f64());
    }

    /// Records the time from the request for a session until its first entry was known.
    pub(crate) fn observe_first_entry(&self, after: Duration) {
        self.first_entry_s.observe(after.as_secs_f64());
    }

    /// Counts the end of a session. `ran` is how long it ran, if it ever started.
    pub(crate) fn count_end(&self, outcome: Outcome, ran: Option<Duration>) {
        let label = OUTCOMES.iter().find(|(known, _)| *known == outcome).map_or(OTHER, |(_, label)| label);
        self.ended.with_label_values(&[label]).inc();
        if let Some(ran) = ran {
            self.run_s.observe(ran.as_secs_f64());
        }
    }

    /// Counts a program with compile steps that can run, by where its artefacts came from.
    pub(crate) fn count_compiled(&self, compiled: Compiled) {
        let label = COMPILED.iter().find(|(known, _)| *known == compiled).map_or(OTHER, |(_, label)| label);
        self.compiled.with_label_values(&[label]).inc();
    }

    /// Counts what was sent to a follower.
    pub(crate) fn count_sent(&self, messages: usize, bytes: usize) {
        self.sent_messages.inc_by(messages as u64);
        self.sent_bytes.inc_by(bytes as u64);
    }

    /// Counts a refusal.
    pub(crate) fn count_refusal(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// Counts a response as a refusal if its status is an error; `code` is that of its problem
    /// document.
    pub(crate) fn count_response(&self, status: u16, code: Option<ErrorCode>) {
        if status >= 400 {
            let by_code = CODE_REASONS.iter().find(|(known, _)| Some(*known) == code);
            let by_status =
                || REFUSAL_REASONS.iter().find(|(known, _)| *known == status).map(|(_, reason)| reason);
            let reason = by_code.map(|(_, reason)| reason).or_else(by_status);
            self.count_refusal(reason.copied().unwrap_or(OTHER));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_events_are_rendered() {
        let metrics = Metrics::default();
        let guard = GaugeGuard::new(&metrics.running);
        metrics.count_end(Outcome::Timeout, Some(Duration::from_millis(15)));
        metrics.count_end(Outcome::Cancelled, None);
        metrics.count_response(429, None);
        metrics.count_response(418, None);
        metrics.count_response(503, Some(ErrorCode::RunQueueFull));
        metrics.count_response(201, None);
        metrics.count_sent(2, 100);
        let (media_type, text) = metrics.render();
        assert_eq!(media_type, "text/plain; version=0.0.4");
        for line in [
            "# TYPE livecode_sessions_running gauge",
            "livecode_sessions_running 1",
            "livecode_sessions_ended_total{outcome=\"timeout\"} 1",
            "livecode_sessions_ended_total{outcome=\"exited\"} 0",
            "livecode_session_run_seconds_bucket{le=\"0.01\"} 0",
            "livecode_session_run_seconds_bucket{le=\"0.02\"} 1",
            "livecode_session_run_seconds_count 1",
            "livecode_requests_refused_total{reason=\"too_many_sessions\"} 1",
            "livecode_requests_refused_total{reason=\"other\"} 1",
            "livecode_requests_refused_total{reason=\"queue_full\"} 1",
            "livecode_requests_refused_total{reason=\"unavailable\"} 0",
            "livecode_stream_sent_bytes_total 100",
        ] {
            assert!(text.lines().any(|rendered| rendered == line), "{line} is not in\n{text}");
        }
        drop(guard);
        assert!(metrics.render().1.contains("\nlivecode_sessions_running 0\n"));
    }
}
