//! `livecode quota`.

use std::io::{self, Write as _};

use clap::Args;
use livecode_protocol::quota::QuotaDocument;

use super::table::{json_name, print_table};
use crate::{
    client::{ServerClient, print_status},
    failure::CommandFailure,
};

/// Shows what you may hold, ask for and keep on the server, and what is left of it.
///
/// The numbers have the unit that the name of the quota says. When all of a quota is left again is
/// shown where time decides; `-` means that it is the end of sessions.
#[derive(Args)]
pub struct QuotaCommand {
    #[command(flatten)]
    server: ServerClient,
    /// Print the quotas as JSON.
    #[arg(long)]
    json: bool,
}

impl QuotaCommand {
    pub fn run(self) -> Result<(), CommandFailure> {
        let document: QuotaDocument = self.server.get_json("/quota")?;
        if self.json {
            return Ok(writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&document)?)?);
        }
        if document.quotas.is_empty() {
            print_status(format_args!("you have no quotas (your role is {})", document.role));
            return Ok(());
        }
        print_status(format_args!("your role is {}", document.role));
        let rows = document.quotas.into_iter().map(|quota| {
            let numbers = [quota.limit, quota.used, quota.left].map(|number| number.to_string());
            let [limit, used, left] = numbers;
            let refilled = quota.refilled.unwrap_or_else(|| "-".to_owned());
            [json_name(&quota.quota), json_name(&quota.scope), limit, used, left, refilled]
        });
        Ok(print_table(["QUOTA", "OF", "LIMIT", "USED", "LEFT", "REFILLED"], rows)?)
    }
}
