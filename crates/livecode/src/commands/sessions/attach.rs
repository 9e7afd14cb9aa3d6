//! `livecode attach`.

use std::{process::ExitCode, str::FromStr, time::Duration};

use clap::Args;

use crate::{
    client::{ServerClient, SessionRef, ShareLink, StreamViewer, ViewOptions, silence_notes},
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
    /// Id of the session, or its first digits if no other id begins with them; or a link that
    /// somebody shares, in quotes. A link names its server, and needs no token.
    #[arg(value_name = "ID|LINK")]
    session: AttachTarget,
}

/// The session to attach to.
#[derive(Clone, Debug)]
enum AttachTarget {
    Session(SessionRef),
    Link(ShareLink),
}

impl FromStr for AttachTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.contains("://") {
            true => text.parse().map(Self::Link),
            false => text.parse().map(Self::Session),
        }
    }
}

impl AttachCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        if self.quiet {
            silence_notes();
        }
        let not_run = |error| CommandFailure { error, exit_code: EXIT_NOT_RUN };
        let (server, id) = match self.session {
            AttachTarget::Session(session) => {
                let id = self.server.find_id(&session).map_err(not_run)?;
                (self.server, id)
            }
            AttachTarget::Link(link) => {
                let server = self.server.at_share(link);
                let redeemed = server.redeem().and_then(|redeemed| redeemed.map_err(|refusal| refusal.error));
                let id = redeemed.map_err(not_run)?.session.id;
                (server, id)
            }
        };
        let options = ViewOptions {
            with_input: self.input,
            with_messages: self.messages,
            owns_program: false,
            after: self.after,
            only_input: false,
            reconnect_timeout: self.reconnect_timeout.map(Duration::from_millis),
        };
        StreamViewer::run(server, id, options).map_err(not_run)
    }
}
