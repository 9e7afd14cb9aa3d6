//! Deliveries to the program: input, events and signals.

use std::time::Instant;

use livecode_protocol::{
    DeliveryRefused, ErrorCode,
    control::Delivery,
    stream::{QUEUE_FULL, Signal},
};
use serde_json::Value;

use crate::{
    io::{input::DeliveryCheck, outputs::Readable},
    session::{cases::Cases, supervisor::Supervisor},
};

/// Signals that wait for the program to start. When more come, they are refused.
const MAX_EARLY_SIGNALS: usize = 64;

impl Supervisor<'_> {
    /// Delivers input, an event or a signal to the program. A delivery with an id that was
    /// delivered before is not repeated.
    ///
    /// # Errors
    /// Why nothing was delivered, for the client.
    pub(super) fn deliver(&mut self, id: Option<Value>, item: Delivery) -> Result<(), DeliveryRefused> {
        if let Some(id) = &id {
            match self.delivery_ids.check(id, &item) {
                DeliveryCheck::New => {}
                DeliveryCheck::Duplicate => return Ok(()),
                DeliveryCheck::Conflict => {
                    let error = "another message was delivered under this id";
                    return Err(DeliveryRefused::new(ErrorCode::DeliveryIdConflict, error));
                }
            }
        }
        match &item {
            Delivery::Input { data, eof } => {
                let bytes = data
                    .clone()
                    .into_bytes()
                    .map_err(|error| DeliveryRefused::new(ErrorCode::InvalidMessage, error.to_string()))?;
                self.stdin.push(&bytes, *eof)?;
                if *eof || !bytes.is_empty() {
                    self.input_wait.end();
                }
                self.echo.add(&bytes);
            }
            // A program could tell by what it takes what it has read.
            Delivery::Event { .. } if self.cases.as_ref().is_some_and(Cases::refuse_events) => {
                let error = "the session has hidden cases or a checker, whose programs get no events";
                return Err(DeliveryRefused::new(ErrorCode::InputClosed, error));
            }
            Delivery::Event { line } => {
                self.events.push(format!("{line}\n").as_bytes(), false)?;
            }
            Delivery::Signal { signal } => self.deliver_signal(*signal)?,
        }
        self.idle_timer.record_activity();
        self.outputs.refill_throttle(); // the client waits for the program's reply
        if let Some(id) = &id {
            self.delivery_ids.remember(id, &item);
        }
        Ok(())
    }

    /// Writes the input that was taken to the journal, if the session keeps it, before the program
    /// can read it. Output from before the input comes first: so `ready` is read here, with all
    /// other channels. Returns the channels that are still to be read.
    pub(super) fn journal_echo(&mut self, ready: Readable, now: Instant) -> Readable {
        // Until the first step starts, the journal stays empty.
        if !self.echo.has_pending() || self.started_us.is_none() {
            return ready;
        }
        let readable = Readable { notifications: ready.notifications, ..Readable::ALL };
        self.read_outputs(readable, now);
        let messages = self.echo.take_messages();
        self.append_messages(messages);
        Readable::default()
    }

    /// Sends a signal to the program. A signal that comes before the program starts waits for
    /// that.
    fn deliver_signal(&mut self, signal: Signal) -> Result<(), DeliveryRefused> {
        match self.step_index {
            // The program of the case has ended, and the checker is not the client's.
            _ if self.cases.as_ref().is_some_and(Cases::is_checking) => {}
            Some(index) if index == self.program_index() => self.sandbox.signal(signal.number()),
            None if self.termination.status.is_some() && self.cases.is_none() => {
                return Err(DeliveryRefused::new(ErrorCode::ProgramEnded, "the program has ended"));
            }
            _ if self.early_signals.len() >= MAX_EARLY_SIGNALS => {
                let error = format!(
                    "the queue is full: {MAX_EARLY_SIGNALS} signals wait for the program; {QUEUE_FULL}"
                );
                return Err(DeliveryRefused::new(ErrorCode::QueueFull, error));
            }
            _ => self.early_signals.push(signal),
        }
        if let Some(cases) = &mut self.cases {
            cases.is_signalled = true;
        }
        Ok(())
    }
}
