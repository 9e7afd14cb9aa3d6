//! `livecode runtimes`.

use std::io::Write as _;

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
            println!("{}", serde_json::to_string_pretty(&runtimes)?);
            return Ok(());
        }
        let rows = runtimes.into_iter().map(|runtime| {
            let names = std::iter::once(runtime.name).chain(runtime.aliases).collect::<Vec<_>>().join(", ");
            [names, runtime.title, runtime.file, runtime.needs.unwrap_or_else(|| "ready".into())]
        });
        print_table(["NAME", "TITLE", "FILE", "STATE"], rows);
        Ok(())
    }
}

/// Prints rows under headings, each column as wide as it must be.
pub fn print_table<const N: usize>(headings: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let rows: Vec<[String; N]> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let widths: Vec<usize> =
        (0..N).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut out = std::io::stdout().lock();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        if writeln!(out, "{}", cells.join("  ").trim_end()).is_err() {
            return; // nobody reads on
        }
    }
}
