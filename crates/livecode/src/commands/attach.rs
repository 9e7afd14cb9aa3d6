//! `livecode attach`.

use std::process::ExitCode;

use clap::Args;
use livecode_protocol::SessionId;

use crate::{
    Failure,
    client::{Server, Viewer, Watching},
};

/// Shows a session from its beginning, and goes on with it. Ctrl-C leaves it; the program runs on.
#[derive(Args)]
pub struct Attach {
    #[command(flatten)]
    server: Server,
    /// Show only what follows the entry with this number.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    after: u64,
    /// Pass what is typed here on to the program.
    #[arg(long, short)]
    input: bool,
    /// Print the program's own messages too, as lines of JSON among its output.
    #[arg(long)]
    messages: bool,
    /// The session.
    id: SessionId,
}

impl Attach {
    pub fn run(self) -> Result<ExitCode, Failure> {
        let watching = Watching {
            with_input: self.input,
            with_messages: self.messages,
            owns_program: false,
            after: self.after,
        };
        Viewer::run(self.server, self.id, watching).map_err(|error| Failure { error, code: 125 })
    }
}
