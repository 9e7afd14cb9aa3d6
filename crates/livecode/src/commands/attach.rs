//! `livecode attach`.

use std::process::ExitCode;

use clap::Args;
use livecode_protocol::SessionId;

use crate::{
    client::{ServerClient, StreamViewer, ViewOptions},
    failure::{CommandFailure, EXIT_NOT_RUN},
};

/// Shows a session's output from the beginning and follows it until the program ends.
///
/// Ctrl-C ends this command; the program runs on.
#[derive(Args)]
pub struct AttachCommand {
    #[command(flatten)]
    server: ServerClient,
    /// Show only the entries after the one with this number.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    after: u64,
    /// Send standard input to the program.
    #[arg(long, short)]
    input: bool,
    /// Also print the program's own messages, each as a line of JSON between its output.
    #[arg(long)]
    messages: bool,
    /// Id of the session.
    id: SessionId,
}

impl AttachCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        let options = ViewOptions {
            with_input: self.input,
            with_messages: self.messages,
            owns_program: false,
            after: self.after,
        };
        StreamViewer::run(self.server, self.id, options)
            .map_err(|error| CommandFailure { error, exit_code: EXIT_NOT_RUN })
    }
}
