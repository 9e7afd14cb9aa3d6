//! Messages for the program that the server has not acknowledged yet.

use std::collections::VecDeque;

use anyhow::anyhow;
use livecode_protocol::{SessionId, stream::Signal};
use serde_json::{Value, json};

/// Keeps each message until the server acknowledges it, in the order of sending, so that a new
/// connection can send it again. The supervisor passes on only the first message with an id (it
/// remembers the last 4,096 ids), so a message that had arrived does not reach the program twice.
pub struct UnacknowledgedMessages {
    /// Distinguishes this client's message ids from those of other clients of the same session.
    id_prefix: String,
    last_id: u64,
    messages: VecDeque<Value>,
}

impl UnacknowledgedMessages {
    /// An empty list with a random prefix for message ids.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn new() -> anyhow::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| anyhow!("cannot generate a random id: {error}"))?;
        let id_prefix = SessionId::from_random(random).to_string();
        Ok(Self { id_prefix, last_id: 0, messages: VecDeque::new() })
    }

    /// Gives the message its id, keeps it, and returns it as it must be sent.
    pub fn add(&mut self, mut message: Value) -> &Value {
        self.last_id += 1;
        message["id"] = format!("{}-{}", self.id_prefix, self.last_id).into();
        self.messages.push_back(message);
        &self.messages[self.messages.len() - 1]
    }

    /// Whether a message was ever added.
    pub fn has_sent_any(&self) -> bool {
        self.last_id > 0
    }

    /// Whether the server has acknowledged every message.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// All messages in the order of sending.
    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.messages.iter()
    }

    /// The message with this id.
    pub fn find(&self, id: &Value) -> Option<&Value> {
        self.messages.iter().find(|message| message["id"] == *id)
    }

    /// The oldest `input` message.
    pub fn first_input(&self) -> Option<&Value> {
        self.messages.iter().find(|message| is_input(message))
    }

    /// Forgets the message with this id, which was acknowledged or finally refused.
    pub fn remove(&mut self, id: &Value) {
        self.messages.retain(|message| message["id"] != *id);
    }
}

/// Whether a message carries bytes for the program's standard input.
pub fn is_input(message: &Value) -> bool {
    message["msgtype"] == "input"
}

/// The message that sends the program a signal.
pub fn signal_message(signal: Signal) -> Value {
    json!({"msgtype": "signal", "signal": signal})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_kept_until_it_is_removed() {
        let mut messages = UnacknowledgedMessages::new().unwrap();
        let signal = messages.add(signal_message(Signal::Interrupt))["id"].clone();
        let input = messages.add(json!({"msgtype": "input", "data": "a"}))["id"].clone();
        assert_ne!(signal, input);
        assert_eq!(messages.first_input().map(|message| &message["id"]), Some(&input));
        messages.remove(&input);
        assert!(messages.first_input().is_none() && messages.find(&input).is_none());
        assert_eq!(messages.iter().map(|message| &message["id"]).collect::<Vec<_>>(), [&signal]);
    }
}
