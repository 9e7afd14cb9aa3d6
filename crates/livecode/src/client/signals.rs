//! The signals that this process receives.

use std::{io, time::Instant};

use livecode_protocol::stream::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

use super::escalation::{SignalAction, SignalEscalation};

/// The base of the exit code of a command that a signal ends; the signal's number is added.
const EXIT_SIGNAL_BASE: u8 = 128;

/// A signal that this process has received.
#[derive(Clone, Copy)]
pub struct ReceivedSignal {
    /// The signal that the program gets if it is passed on; `None` for SIGHUP, which says that
    /// the terminal is gone. The session stays then.
    pub signal: Option<Signal>,
    /// The exit code of the command if the signal ends it.
    pub exit_code: u8,
}

/// Receives SIGINT, SIGTERM and SIGHUP, and decides what repeated signals mean.
pub struct SignalListener {
    interrupt: Listener,
    terminate: Listener,
    hangup: Listener,
    escalation: SignalEscalation,
}

/// Receives one signal; `None` if the signal stays ignored.
struct Listener(Option<unix::Signal>);

impl Listener {
    fn new(kind: SignalKind) -> io::Result<Self> {
        signal(kind).map(|signal| Self(Some(signal)))
    }

    /// The signal stays ignored if this process was started so, as nohup(1) does.
    fn new_unless_ignored(kind: SignalKind) -> io::Result<Self> {
        let is_ignored = ignored_signals() & (1 << (kind.as_raw_value() - 1)) != 0;
        if is_ignored { Ok(Self(None)) } else { Self::new(kind) }
    }

    async fn recv(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

impl SignalListener {
    /// Installs the handlers.
    ///
    /// # Errors
    /// If a handler cannot be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: Listener::new(SignalKind::interrupt())?,
            terminate: Listener::new(SignalKind::terminate())?,
            hangup: Listener::new_unless_ignored(SignalKind::hangup())?,
            escalation: SignalEscalation::default(),
        })
    }

    /// Waits for the next signal. The future can be dropped without losing one.
    pub async fn next(&mut self) -> ReceivedSignal {
        let (signal, kind) = tokio::select! {
            () = self.interrupt.recv() => (Some(Signal::Interrupt), SignalKind::interrupt()),
            () = self.terminate.recv() => (Some(Signal::Terminate), SignalKind::terminate()),
            () = self.hangup.recv() => (None, SignalKind::hangup()),
        };
        let number = u8::try_from(kind.as_raw_value()).unwrap_or_default();
        ReceivedSignal { signal, exit_code: EXIT_SIGNAL_BASE + number }
    }

    /// What a signal that was received just now makes the command do, if the command owns the
    /// program.
    pub fn escalate(&mut self, received: ReceivedSignal) -> SignalAction {
        match received.signal {
            Some(signal) => self.escalation.next_action(signal, Instant::now()),
            None => SignalAction::Detach,
        }
    }
}

/// The set of ignored signals (`SigIgn` in proc(5)): bit n stands for signal n + 1. Empty if /proc
/// cannot be read.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or_default()
}
