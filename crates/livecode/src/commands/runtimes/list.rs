//! `livecode runtimes` without a further word.

use std::io::{self, Write as _};

use clap::Args;

use crate::{client::ServerClient, commands::tables::print_table, failure::CommandFailure};

/// Flags of the list of runtimes.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    server: ServerClient,
    /// Print the runtimes' documents as JSON.
    #[arg(long)]
    json: bool,
}

impl List {
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
