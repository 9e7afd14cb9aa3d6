//! What the server counts, for `/metrics`. Each figure is counted where it comes about; nothing walks through the sessions.

use std::time::Duration;

use livecode_protocol::{
    control::StartKind,
    session::{Compiled, Outcome},
};
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

/// Upper bounds of how long a start takes, in seconds.
const START_SECONDS: [f64; 13] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
/// Upper bounds of how long a program runs, in seconds.
const RUN_SECONDS: [f64; 12] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3600.0];

/// The reason a client that sends too many messages is closed for.
pub(crate) const MESSAGE_RATE: &str = "message_rate";

/// Why a request is refused, by the status it is answered with.
const REASONS: [(u16, &str); 13] = [
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
const OTHER: &str = "other";

const STARTS: [(StartKind, &str); 3] =
    [(StartKind::Cold, "cold"), (StartKind::Sandbox, "sandbox"), (StartKind::Interpreter, "interpreter")];

const OUTCOMES: [(Outcome, &str); 8] = [
    (Outcome::Exited, "exited"),
    (Outcome::Signalled, "signalled"),
    (Outcome::Timeout, "timeout"),
    (Outcome::Cpu, "cpu"),
    (Outcome::Memory, "memory"),
    (Outcome::Output, "output"),
    (Outcome::Cancelled, "cancelled"),
    (Outcome::Lost, "lost"),
];

const COMPILED: [(Compiled, &str); 2] = [(Compiled::Fresh, "compiler"), (Compiled::Cached, "cache")];

/// All figures of one server.
pub struct Metrics {
    registry: Registry,
    /// Sessions made.
    pub(crate) created: IntCounter,
    ended: IntCounterVec,
    starts: IntCounterVec,
    /// Sessions that wait for their turn to run.
    pub(crate) waiting: IntGauge,
    /// Sessions that have had their turn and have not ended.
    pub(crate) running: IntGauge,
    /// Sessions that can be found, ended ones included.
    pub(crate) kept: IntGauge,
    start: Histogram,
    first_entry: Histogram,
    run: Histogram,
    /// Readers that follow a session.
    pub(crate) watchers: IntGauge,
    sent_bytes: IntCounter,
    sent_messages: IntCounter,
    refused: IntCounterVec,
    compiled: IntCounterVec,
    /// How much room what was compiled takes.
    pub(crate) compile_cache_bytes: IntGauge,
    /// What was compiled and had to make room.
    pub(crate) compile_cache_evicted: IntCounter,
    /// Bytes that journals have grown by.
    pub(crate) journal_bytes: IntCounter,
    /// Spawners started in place of one that had died.
    pub(crate) spawner_restarts: IntCounter,
}

/// Counts in a gauge while it is held.
pub(crate) struct GaugeGuard(IntGauge);

impl GaugeGuard {
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
        let registry = Registry::new();
        let build = IntGaugeVec::new(
            Opts::new("livecode_build_info", "Always 1; the label says which version runs."),
            &["version"],
        );
        keep(&registry, build).with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let counter = |name, help| keep(&registry, IntCounter::new(name, help));
        let gauge = |name, help| keep(&registry, IntGauge::new(name, help));
        let labelled = |name: &str, help: &str, label: &str| {
            keep(&registry, IntCounterVec::new(Opts::new(name, help), &[label]))
        };
        let histogram = |name: &str, help: &str, bounds: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
            keep(&registry, Histogram::with_opts(options))
        };
        let metrics = Self {
            created: counter("livecode_sessions_created_total", "Sessions made."),
            ended: labelled(
                "livecode_sessions_ended_total",
                "Sessions that ended, by how they did.",
                "outcome",
            ),
            waiting: gauge("livecode_sessions_waiting", "Sessions that wait for their turn to run."),
            running: gauge("livecode_sessions_running", "Sessions that run."),
            kept: gauge("livecode_sessions_kept", "Sessions that can be found, ended ones included."),
            start: histogram(
                "livecode_session_start_seconds",
                "From the request for a session until its first step has started.",
                &START_SECONDS,
            ),
            first_entry: histogram(
                "livecode_session_first_entry_seconds",
                "From the request for a session until the server knows of its first entry.",
                &START_SECONDS,
            ),
            run: histogram(
                "livecode_session_run_seconds",
                "From the start of a session's first step to its end.",
                &RUN_SECONDS,
            ),
            watchers: gauge("livecode_watchers", "Readers that follow a session."),
            sent_bytes: counter(
                "livecode_stream_sent_bytes_total",
                "Bytes of messages and output sent to those who follow sessions.",
            ),
            sent_messages: counter(
                "livecode_stream_sent_messages_total",
                "Entries sent to those who follow sessions.",
            ),
            starts: labelled(
                "livecode_session_starts_total",
                "Sessions started, by how much was ready: the sandbox, or the interpreter in it, too.",
                "ready",
            ),
            refused: labelled(
                "livecode_requests_refused_total",
                "Requests answered with an error, and websockets closed for what they sent, by the reason.",
                "reason",
            ),
            compiled: labelled(
                "livecode_programs_compiled_total",
                "Programs that were to be compiled and could run, by whether the compiler ran.",
                "from",
            ),
            compile_cache_bytes: gauge(
                "livecode_compile_cache_bytes",
                "Room that what was compiled before takes on the disk.",
            ),
            compile_cache_evicted: counter(
                "livecode_compile_cache_evicted_total",
                "Programs compiled before that had to make room for others.",
            ),
            journal_bytes: counter(
                "livecode_journal_written_bytes_total",
                "Bytes that the journals of sessions have grown by.",
            ),
            spawner_restarts: counter(
                "livecode_spawner_restarts_total",
                "Spawners started in place of one that had died.",
            ),
            registry,
        };
        // A rate is known only of what was 0 before.
        for (_, outcome) in OUTCOMES {
            metrics.ended.with_label_values(&[outcome]);
        }
        for (_, start) in STARTS {
            metrics.starts.with_label_values(&[start]);
        }
        for (_, from) in COMPILED {
            metrics.compiled.with_label_values(&[from]);
        }
        for reason in REASONS.iter().map(|(_, reason)| *reason).chain([MESSAGE_RATE, OTHER]) {
            metrics.refused.with_label_values(&[reason]);
        }
        metrics
    }
}

/// Adds a figure. What the names above are does not depend on anything from outside.
fn keep<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let metric = made.expect("the names and labels are well-formed");
    registry.register(Box::new(metric.clone())).expect("no name is used twice");
    metric
}

impl Metrics {
    /// A session was started of which so much was ready.
    pub(crate) fn start_of(&self, start: StartKind) {
        if let Some((_, label)) = STARTS.iter().find(|(one, _)| *one == start) {
            self.starts.with_label_values(&[label]).inc();
        }
    }

    /// What `/metrics` says, and its media type.
    pub(crate) fn render(&self) -> (String, String) {
        let encoder = TextEncoder::new();
        let mut text = vec![];
        // Into memory, of what is well-formed: it does not fail.
        let _ = encoder.encode(&self.registry.gather(), &mut text);
        (encoder.format_type().to_owned(), String::from_utf8_lossy(&text).into_owned())
    }

    /// A session's first step started, so long after it was asked for.
    pub(crate) fn started(&self, after: Duration) {
        self.start.observe(after.as_secs_f64());
    }

    /// A session's first entry became known, so long after it was asked for.
    pub(crate) fn has_entry(&self, after: Duration) {
        self.first_entry.observe(after.as_secs_f64());
    }

    /// A session ended; `ran` where it ever started.
    pub(crate) fn ended(&self, outcome: Outcome, ran: Option<Duration>) {
        let name = OUTCOMES.iter().find(|(known, _)| *known == outcome).map_or(OTHER, |(_, name)| name);
        self.ended.with_label_values(&[name]).inc();
        if let Some(ran) = ran {
            self.run.observe(ran.as_secs_f64());
        }
    }

    /// A program was to be compiled, and can run.
    pub(crate) fn compiled(&self, compiled: Compiled) {
        let from = COMPILED.iter().find(|(known, _)| *known == compiled).map_or(OTHER, |(_, from)| from);
        self.compiled.with_label_values(&[from]).inc();
    }

    /// So much was sent to somebody who follows a session.
    pub(crate) fn sent(&self, messages: usize, bytes: usize) {
        self.sent_messages.inc_by(messages as u64);
        self.sent_bytes.inc_by(bytes as u64);
    }

    /// Somebody was refused something.
    pub(crate) fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// A request was answered with this status, which may be an error.
    pub(crate) fn answered(&self, status: u16) {
        if status >= 400 {
            let reason = REASONS.iter().find(|(known, _)| *known == status);
            self.refused(reason.map_or(OTHER, |(_, reason)| reason));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_said() {
        let metrics = Metrics::default();
        let held = GaugeGuard::new(&metrics.running);
        metrics.ended(Outcome::Timeout, Some(Duration::from_millis(15)));
        metrics.ended(Outcome::Cancelled, None);
        metrics.answered(429);
        metrics.answered(418);
        metrics.answered(201);
        metrics.sent(2, 100);
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
            "livecode_stream_sent_bytes_total 100",
        ] {
            assert!(text.lines().any(|said| said == line), "{line} is not in\n{text}");
        }
        drop(held);
        assert!(metrics.render().1.contains("\nlivecode_sessions_running 0\n"));
    }
}
