//! Sessions that are created and ended for a long time. Nothing may grow.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Args;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    http::{Stream, create, delete, read_all},
    machine,
    options::CommonOptions,
    server::{Server, ServerOptions},
};

/// How many clients create sessions at once.
const CLIENTS: u32 = 4;
/// The interval between two samples of the machine's state.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
/// How long ended sessions are kept, in milliseconds. It is short, so that their number is soon
/// steady.
const KEEP_MS: &str = "5000";
/// How much a value may grow from the first to the last quarter, as a share of it.
/// [`Sample::values`] also allows an absolute growth, and the larger of both counts. Memory and
/// the number of ended sessions vary with the speed of the machine.
const TOLERATED_SHARE: f64 = 0.10;

#[derive(Args)]
pub struct Options {
    /// The duration in minutes.
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
}

/// The state of the server and the machine at one moment.
#[derive(Clone, Copy, Default)]
struct Sample {
    descriptors: f64,
    memory_bytes: f64,
    mounts: f64,
    cgroups: f64,
    processes: f64,
    files: f64,
}

impl Sample {
    fn collect(server: &Server) -> Self {
        let (pid, data) = (server.pid(), server.data());
        Self {
            descriptors: machine::count_descriptors(pid) as f64,
            memory_bytes: machine::memory_bytes(pid) as f64,
            mounts: machine::count_mounts() as f64,
            cgroups: machine::cgroups(data).len() as f64,
            processes: machine::count_processes(data) as f64,
            files: machine::count_files(data) as f64,
        }
    }

    /// The name of each value, the value, and its tolerated absolute growth.
    fn values(self) -> [(&'static str, f64, f64); 6] {
        // Counts may grow by what a few sessions more at that moment contribute.
        let per_client = f64::from(CLIENTS);
        [
            ("descriptors of the server", self.descriptors, 3.0 * per_client),
            ("memory of the server, bytes", self.memory_bytes, 2.0 * 1024.0 * 1024.0),
            ("mounts", self.mounts, 0.0),
            ("cgroups", self.cgroups, 4.0 * per_client),
            ("processes", self.processes, 4.0 * per_client),
            ("files", self.files, 64.0),
        ]
    }
}

/// The mean of each value.
fn mean(samples: &[Sample]) -> Sample {
    let count = samples.len() as f64;
    let mean = |part: fn(&Sample) -> f64| samples.iter().map(part).sum::<f64>() / count;
    Sample {
        descriptors: mean(|sample| sample.descriptors),
        memory_bytes: mean(|sample| sample.memory_bytes),
        mounts: mean(|sample| sample.mounts),
        cgroups: mean(|sample| sample.cgroups),
        processes: mean(|sample| sample.processes),
        files: mean(|sample| sample.files),
    }
}

/// Runs sessions for the given time, and prints the means of the first and the last quarter.
/// Growth beyond the tolerance is an error.
pub async fn run(common: &CommonOptions, options: &Options) -> Result<()> {
    let server = Server::start(ServerOptions::new(common).with(&["--keep-ms", KEEP_MS]))?;
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(options.minutes * 60.0);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(run_sessions(server.address().to_owned(), until));
    }
    let mut samples = vec![];
    let mut at = began + SAMPLE_INTERVAL * 2; // the first sessions have been removed by then
    while at < until {
        sleep_until(at).await;
        samples.push(Sample::collect(&server));
        at += SAMPLE_INTERVAL;
    }
    let counts = clients.join_all().await.into_iter().collect::<Result<Vec<u64>>>()?;
    let quarter = samples.len() / 4;
    ensure!(quarter > 0, "the run was too short for a comparison");
    let (first, last) = (mean(&samples[..quarter]), mean(&samples[samples.len() - quarter..]));
    println!("{} sessions in {:.1} minutes", counts.iter().sum::<u64>(), options.minutes);
    println!("{:<30} {:>14} {:>14}", "mean of", "first quarter", "last quarter");
    let mut grown = vec![];
    for ((name, first, tolerance), (_, last, _)) in first.values().into_iter().zip(last.values()) {
        println!("{name:<30} {first:>14.1} {last:>14.1}");
        if last > first + tolerance.max(first * TOLERATED_SHARE) {
            grown.push(name);
        }
    }
    if !grown.is_empty() {
        bail!("these values have grown: {}", grown.join(", "));
    }
    Ok(())
}

/// Creates one session after another until `until`, with different programs and clients. Returns
/// their number.
async fn run_sessions(address: String, until: Instant) -> Result<u64> {
    let mut count = 0;
    while Instant::now() < until {
        count += 1;
        let (runtime, code) = match fastrand::u8(..6) {
            0 => ("python", "print('x' * 100_000)"),
            1 => ("python", "raise SystemExit(3)"),
            2 => ("bash", "echo hello; sleep 0.2"),
            3 => ("bash", "for i in 1 2 3 4; do (setsid sleep 60 &); done; echo left"),
            4 => ("bash", "sleep 60"),
            _ => ("bash", "while read -r line; do echo \"$line\"; done"),
        };
        let id = create(&address, &json!({"runtime": runtime, "code": code, "timeout": 3000})).await?;
        match fastrand::u8(..4) {
            // Deletes the session while it runs.
            0 => drop(delete(&address, &id).await?.expect(204)?),
            // Does nothing with the session.
            1 => {}
            // Sends an input, reads one message and disconnects.
            2 => {
                let mut stream = Stream::connect(&address, &id, 0).await?;
                stream.send(&json!({"msgtype": "input", "data": "hello\n"})).await;
                stream.next().await;
            }
            _ => drop(read_all(&address, &id).await?),
        }
    }
    Ok(count)
}
