//! `livecode ls`.

use std::io::{self, Write as _};

use clap::Args;
use livecode_protocol::session::SessionState;

use crate::{Failure, client::Server, commands::runtimes::print_table};

/// Lists sessions, the newest first.
#[derive(Args)]
pub struct Ls {
    #[command(flatten)]
    server: Server,
    /// Print the documents as JSON.
    #[arg(long)]
    json: bool,
}

impl Ls {
    pub fn run(self) -> Result<(), Failure> {
        let sessions = self.server.sessions()?;
        if self.json {
            return Ok(writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&sessions)?)?);
        }
        let rows = sessions.into_iter().map(|session| {
            let state = match (session.state, session.outcome, session.exitstatus) {
                (SessionState::Ended, Some(outcome), Some(status)) => format!("{} {status}", word(&outcome)),
                (state, ..) => word(&state),
            };
            [
                session.id.to_string(),
                session.runtime,
                state,
                format!("{:.1}", session.elapsed),
                session.created,
            ]
        });
        Ok(print_table(["ID", "RUNTIME", "STATE", "SECONDS", "CREATED"], rows)?)
    }
}

/// The word that the protocol has for a value.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
