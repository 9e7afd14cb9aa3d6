//! `livecode ls`.

use std::io::{self, Write as _};

use clap::Args;
use livecode_protocol::session::SessionState;

use super::table::{json_name, print_table};
use crate::{client::ServerClient, failure::CommandFailure};

/// Lists the sessions, the newest first.
#[derive(Args)]
pub struct LsCommand {
    #[command(flatten)]
    server: ServerClient,
    /// Print the sessions' documents as JSON.
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print only the sessions' ids, one on each line.
    #[arg(long, short)]
    quiet: bool,
}

impl LsCommand {
    pub fn run(self) -> Result<(), CommandFailure> {
        let sessions = self.server.sessions()?;
        if self.json {
            return Ok(writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&sessions)?)?);
        }
        if self.quiet {
            for session in sessions {
                writeln!(io::stdout(), "{}", session.id)?;
            }
            return Ok(());
        }
        let rows = sessions.into_iter().map(|session| {
            let state = match (session.state, session.outcome, session.exitstatus) {
                (SessionState::Ended, Some(outcome), Some(status)) => {
                    format!("{} {status}", json_name(&outcome))
                }
                (state, ..) => json_name(&state),
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
