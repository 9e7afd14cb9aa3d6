//! `livecode attach`.

use std::{process::ExitCode, time::Duration};

use clap::Args;

use crate::{
    client::{ServerClient, SessionRef, StreamViewer, ViewOptions, silence_notes},
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
    /// How long the server may be out of reach before this command gives up, in milliseconds;
    /// without a limit by default.
    #[arg(long, value_name = "MS")]
    reconnect_timeout: Option<u64>,
    /// Print no notes about the connection.
    #[arg(long, short)]
    quiet: bool,
    /// Id of the session, or its first digits if no other id begins with them.
    id: SessionRef,
}

impl AttachCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        if self.quiet {
            silence_notes();
        }
        let not_run = |error| CommandFailure { error, exit_code: EXIT_NOT_RUN };
        let id = self.server.find_id(&self.id).map_err(not_run)?;
        let options = ViewOptions {
            with_input: self.input,
            with_messages: self.messages,
            owns_program: false,
            after: self.after,
            only_input: false,
            reconnect_timeout: self.reconnect_timeout.map(Duration::from_millis),
        };
        StreamViewer::run(self.server, id, options).map_err(not_run)
    }
}
