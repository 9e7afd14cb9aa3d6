//! The options that every subcommand has.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Clone)]
pub struct CommonOptions {
    /// The binary under test.
    #[arg(long, global = true, default_value = "target/release/livecode")]
    pub binary: PathBuf,
    /// An older binary. The new server must work with its sessions and supervisors. The option can
    /// be given several times.
    #[arg(long, global = true)]
    pub older_binary: Vec<PathBuf>,
    /// The seed of all random numbers. Each run prints its seed, so that it can be repeated.
    #[arg(long, global = true)]
    pub seed: Option<u64>,
}
