//! `livecode config`.

use std::io::{self, Write as _};

use clap::Args;
use livecode_server::config::Config;

use crate::failure::CommandFailure;

/// Prints a configuration file for `livecode serve` with every setting in it, as a comment.
#[derive(Args)]
pub struct ConfigCommand {}

impl ConfigCommand {
    pub fn run(self) -> Result<(), CommandFailure> {
        Ok(io::stdout().write_all(Config::example().as_bytes())?)
    }
}
