//! `livecode runtimes`.

use std::io::{self, Write as _};

use clap::Args;

use super::table::print_table;
use crate::{client::ServerClient, failure::CommandFailure};

/// Lists the runtimes, whether the server's machine can run each, and what a missing one needs.
#[derive(Args)]
pub struct RuntimesCommand {
    #[command(flatten)]
    server: ServerClient,
    /// Print the runtimes' documents as JSON.
    #[arg(long)]
    json: bool,
}

impl RuntimesCommand {
    pub fn run(self) -> Result<(), CommandFailure> {
        let runtimes = self.server.runtimes()?;
        if self.json {
            return Ok(writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&runtimes)?)?);
        }
        let rows = runtimes.into_iter().map(|runtime| {
            let names = std::iter::once(runtime.name).chain(runtime.aliases).collect::<Vec<_>>().join(", ");
            [names, runtime.title, runtime.file, runtime.needs.unwrap_or_else(|| "ready".into())]
        });
        Ok(print_table(["NAME", "TITLE", "FILE", "STATE"], rows)?)
    }
}
