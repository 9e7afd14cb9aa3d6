//! Attacks the real binary as strangers would, and measures what a well-behaved user notices of
//! it.
//!
//! | module | content |
//! | --- | --- |
//! | `rows` | the rows: which attack, with which settings |
//! | `attacks` | the attacks, a file for each way in |
//! | `attacker`, `cgroup` | the process of the attackers, and the half core that it may use |
//! | `neighbour` | the well-behaved user: what is measured, and what counts as a loss |
//! | `siege`, `report` | the phases of a row and its bounds; the table |
//! | `figures` | figures beside the rows: skips in long journals, supervisors with files |
//! | `costs` | what each thing that the server holds costs |
//! | `client`, `server`, `machine` | HTTP and websockets; the server under test; /proc |
//! | `stats` | percentiles |

mod attacker;
mod attacks;
mod cgroup;
mod client;
mod costs;
mod figures;
mod machine;
mod neighbour;
mod report;
mod rows;
mod server;
mod siege;
mod stats;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

use crate::{
    cgroup::Group,
    rows::{ROWS, SHORT, Size},
    siege::SiegeOptions,
};

/// The niceness of the threads in which the neighbour works. It stands for a user with a machine
/// of their own, whose clients do not wait for a core.
const NEIGHBOUR_NICENESS: i32 = -10;

/// Attacks a LiveCode server as strangers would, and measures what its other users notice.
#[derive(Parser)]
struct Command {
    /// The binary under test.
    #[arg(long, global = true, default_value = "target/release/livecode")]
    binary: PathBuf,
    /// The seed of all random numbers. Each run prints its seed, so that it can be repeated.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs only these rows or figures.
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    only: Vec<String>,
    /// Runs a few rows, once each, and judges losses, memory and recovery, but no times.
    #[arg(long, global = true)]
    short: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// Prints what each thing that the server holds costs.
    Costs,
    /// Prints the names of the rows and what the strangers do in each.
    Rows,
    /// Attacks: the bench runs itself so, in a cgroup.
    #[command(hide = true)]
    Attack { row: String, server: SocketAddr, seed: u64, prepared: String },
}

fn main() -> ExitCode {
    let command = Command::parse();
    raise_descriptor_limit();
    let result = match &command.part {
        Some(Part::Attack { row, server, seed, prepared }) => {
            attacker::run(row, *server, *seed, prepared).map(|()| true)
        }
        Some(Part::Rows) => {
            ROWS.iter().for_each(|row| println!("{:<20} {}", row.name, row.what));
            Ok(true)
        }
        Some(Part::Costs) => block_on(costs::measure(&command)),
        None => block_on(measure(&command)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the bench. The servers and attackers are started by this thread, which has the usual
/// niceness; the neighbour works in the others.
fn block_on(work: impl Future<Output = Result<bool>>) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(|| {
            // Without root the neighbour competes with the attackers for the cores.
            let _ = rustix::process::setpriority_process(None, NEIGHBOUR_NICENESS);
        })
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        // The value that is dropped here stops its server and attackers and removes its cgroups.
        tokio::select! {
            result = work => result,
            _ = terminate.recv() => bail!("terminated"),
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    })
}

/// Runs the selected rows and figures. Returns whether all are within their bounds.
async fn measure(command: &Command) -> Result<bool> {
    let is_selected = |name: &str| match &command.only[..] {
        [] => !command.short || SHORT.contains(&name),
        only => only.iter().any(|only| only == name),
    };
    let names: Vec<&str> = ROWS.iter().map(|row| row.name).chain(figures::NAMES).collect();
    if let Some(unknown) = command.only.iter().find(|only| !names.contains(&only.as_str())) {
        bail!("there is no row {unknown:?}; the rows are {}", names.join(", "));
    }
    let binary = command.binary.canonicalize().with_context(|| {
        format!(
            "there is no {}; `make build` builds it, and --binary names another",
            command.binary.display()
        )
    })?;
    let seed = command.seed.unwrap_or_else(|| fastrand::u64(..));
    let options = SiegeOptions { binary, seed, size: Size { is_short: command.short } };
    let cgroup = Group::of_half_a_core()?;
    println!("seed {seed}");
    println!("p50 / p99 with the attack, as multiples of those without it\n");
    println!("{}", report::head());
    let mut details = vec![];
    let mut is_within = true;
    for row in ROWS.iter().filter(|row| is_selected(row.name)) {
        let result = siege::measure(row, &options, &cgroup).await;
        let broken = result.broken(command.short);
        is_within &= broken.is_empty();
        println!("{}", report::row(&result, &broken));
        details.push(report::details(&result, &broken));
    }
    println!("\n{}", details.concat());
    for name in figures::NAMES.into_iter().filter(|name| is_selected(name)) {
        is_within &= figures::measure(name, &options, &cgroup).await?;
    }
    if !is_within {
        println!("some bounds are broken, with seed {seed}");
    }
    Ok(is_within)
}

/// Raises the limit of descriptors to its maximum: an attacker needs one for each connection.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
