//! Which kept input a terminal is to show: what others have typed, and what was typed before. A
//! terminal shows by itself what is typed on it.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal as _},
};

use serde_json::Value;

/// Inputs of this command that are remembered until they come back. The oldest are forgotten.
const MAX_OWN_INPUTS: usize = 1000;

/// Decides which `echo` messages are shown.
pub struct TypedInput {
    /// Whether the output goes to a terminal. Otherwise no input is shown, as a program that writes
    /// to a pipe does not write what it reads.
    is_on_terminal: bool,
    /// Whether what this command sends is typed on a terminal, which has shown it.
    is_own_shown: bool,
    /// Inputs that this command has sent and that have not come back. Those that the program does
    /// not let be kept never do.
    own: VecDeque<String>,
}

impl TypedInput {
    pub fn new() -> Self {
        Self::of(io::stdout().is_terminal(), io::stdin().is_terminal())
    }

    fn of(is_on_terminal: bool, is_own_shown: bool) -> Self {
        Self { is_on_terminal, is_own_shown, own: VecDeque::new() }
    }

    /// Remembers an `input` message of this command.
    pub fn remember(&mut self, message: &Value) {
        let data = message["data"].as_str().unwrap_or_default();
        if self.is_on_terminal && self.is_own_shown && !data.is_empty() {
            if self.own.len() == MAX_OWN_INPUTS {
                self.own.pop_front();
            }
            self.own.push_back(data.to_owned());
        }
    }

    /// Whether an `echo` message is to be shown.
    pub fn is_to_be_shown(&mut self, message: &Value) -> bool {
        let data = message["data"].as_str().unwrap_or_default();
        match self.own.iter().position(|own| own == data) {
            Some(at) => {
                self.own.drain(..=at);
                false
            }
            None => self.is_on_terminal,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_terminal_shows_what_was_not_typed_on_it() {
        let mut typed = TypedInput::of(true, true);
        assert!(typed.is_to_be_shown(&json!({"msgtype": "echo", "data": "a\n"})), "from before");
        for data in ["secret\n", "b\n"] {
            typed.remember(&json!({"msgtype": "input", "data": data}));
        }
        assert!(!typed.is_to_be_shown(&json!({"msgtype": "echo", "data": "b\n"})), "typed here");
        assert!(typed.is_to_be_shown(&json!({"msgtype": "echo", "data": "b\n"})), "typed elsewhere");
    }

    #[test]
    fn a_pipe_gets_no_input() {
        let mut typed = TypedInput::of(false, false);
        assert!(!typed.is_to_be_shown(&json!({"msgtype": "echo", "data": "a\n"})));
        let mut typed = TypedInput::of(true, false);
        typed.remember(&json!({"msgtype": "input", "data": "a\n"}));
        assert!(typed.is_to_be_shown(&json!({"msgtype": "echo", "data": "a\n"})), "no terminal shows it");
    }
}
