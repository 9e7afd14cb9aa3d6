//! `livecode runtimes`.

use std::io::{self, Write as _};

use clap::Args;

use crate::{Failure, client::Server};

/// Lists the languages, whether the server's machine has them, and what a missing one needs.
#[derive(Args)]
pub struct Runtimes {
    #[command(flatten)]
    server: Server,
    /// Print the documents as JSON.
    #[arg(long)]
    json: bool,
}

impl Runtimes {
    pub fn run(self) -> Result<(), Failure> {
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

/// Prints rows under headings, each column as wide as it must be.
pub fn print_table<const N: usize>(
    headings: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> io::Result<()> {
    let rows: Vec<[String; N]> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let widths: Vec<usize> =
        (0..N).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut out = io::stdout().lock();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}
