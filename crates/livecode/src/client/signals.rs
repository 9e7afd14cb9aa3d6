//! The signals that this process receives.

use std::{io, time::Instant};

use livecode_protocol::stream::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

use super::escalation::{SignalAction, SignalEscalation};

/// Exit code of the command if Ctrl-C ends it: 128 plus SIGINT.
const EXIT_INTERRUPTED: u8 = 130;
/// Exit code of the command if SIGTERM ends it: 128 plus SIGTERM.
const EXIT_TERMINATED: u8 = 143;

/// A signal that this process has received.
#[derive(Clone, Copy)]
pub struct ReceivedSignal {
    /// The signal that the program gets if it is passed on.
    pub signal: Signal,
    /// The exit code of the command if the signal ends it.
    pub exit_code: u8,
}

/// Receives SIGINT and SIGTERM, and decides what repeated signals mean.
pub struct SignalListener {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    escalation: SignalEscalation,
}

impl SignalListener {
    /// Installs the handlers.
    ///
    /// # Errors
    /// If a handler cannot be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            escalation: SignalEscalation::default(),
        })
    }

    /// Waits for the next signal. The future can be dropped without losing one.
    pub async fn next(&mut self) -> ReceivedSignal {
        tokio::select! {
            _ = self.interrupt.recv() => {
                ReceivedSignal { signal: Signal::Interrupt, exit_code: EXIT_INTERRUPTED }
            }
            _ = self.terminate.recv() => {
                ReceivedSignal { signal: Signal::Terminate, exit_code: EXIT_TERMINATED }
            }
        }
    }

    /// What a signal that was received just now makes the command do, if the command owns the
    /// program.
    pub fn escalate(&mut self, received: ReceivedSignal) -> SignalAction {
        self.escalation.next_action(received.signal, Instant::now())
    }
}
