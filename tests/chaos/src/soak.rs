//! Sessions that come and go for long; nothing may grow.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Args;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    Common,
    http::{Stream, create, delete, read_all},
    machine,
    server::{Options as ServerOptions, Server},
};

/// How many clients come and go at once.
const CLIENTS: u32 = 4;
/// Between two looks at the machine.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Ended sessions are kept for this long, so that as many are there at the end as soon after the beginning.
const KEEP_MS: &str = "5000";
/// How much more of something there may be in the end: by the share, or by the number, whichever allows more. Memory and
/// ended sessions go up and down with the pace of the machine.
const TOLERATED_SHARE: f64 = 0.10;

#[derive(Args)]
pub struct Options {
    /// How long, in minutes.
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
}

/// What is there at one moment.
#[derive(Clone, Copy, Default)]
struct Look {
    descriptors: f64,
    memory_bytes: f64,
    mounts: f64,
    cgroups: f64,
    processes: f64,
    files: f64,
}

impl Look {
    fn take(server: &Server) -> Self {
        let (pid, data) = (server.pid(), server.data());
        Self {
            descriptors: machine::descriptors(pid) as f64,
            memory_bytes: machine::memory_bytes(pid) as f64,
            mounts: machine::mounts() as f64,
            cgroups: machine::cgroups(data).len() as f64,
            processes: machine::processes(data) as f64,
            files: machine::files(data) as f64,
        }
    }

    fn parts(self) -> [(&'static str, f64, f64); 6] {
        // Name, value, and by how much it may differ besides the share: what one session more or less at the moment makes.
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

fn mean(looks: &[Look]) -> Look {
    let count = looks.len() as f64;
    let mean = |part: fn(&Look) -> f64| looks.iter().map(part).sum::<f64>() / count;
    Look {
        descriptors: mean(|look| look.descriptors),
        memory_bytes: mean(|look| look.memory_bytes),
        mounts: mean(|look| look.mounts),
        cgroups: mean(|look| look.cgroups),
        processes: mean(|look| look.processes),
        files: mean(|look| look.files),
    }
}

pub async fn run(common: &Common, options: &Options) -> Result<()> {
    let server = Server::start(ServerOptions::new(common).with(&["--keep-ms", KEEP_MS]))?;
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(options.minutes * 60.0);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(come_and_go(server.address().to_owned(), until));
    }
    let mut looks = vec![];
    let mut at = began + LOOK_INTERVAL * 2; // when the first sessions have been forgotten
    while at < until {
        sleep_until(at).await;
        looks.push(Look::take(&server));
        at += LOOK_INTERVAL;
    }
    let counts = clients.join_all().await.into_iter().collect::<Result<Vec<u64>>>()?;
    // The first and the last five minutes of twenty.
    let quarter = looks.len() / 4;
    ensure!(quarter > 0, "that was too short to compare anything");
    let (first, last) = (mean(&looks[..quarter]), mean(&looks[looks.len() - quarter..]));
    println!("{} sessions in {:.1} minutes", counts.iter().sum::<u64>(), options.minutes);
    println!("{:<30} {:>14} {:>14}", "mean of", "first quarter", "last quarter");
    let mut grown = vec![];
    for ((name, first, room), (_, last, _)) in first.parts().into_iter().zip(last.parts()) {
        println!("{name:<30} {first:>14.1} {last:>14.1}");
        if last > first + room.max(first * TOLERATED_SHARE) {
            grown.push(name);
        }
    }
    if !grown.is_empty() {
        bail!("grown: {}", grown.join(", "));
    }
    Ok(())
}

/// One session after another, in all the ways that sessions go. Returns how many.
async fn come_and_go(address: String, until: Instant) -> Result<u64> {
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
            // Deleted in the middle.
            0 => drop(delete(&address, &id).await?.expect(204)?),
            // Left alone.
            1 => {}
            // Looked at for a moment, spoken to, and left.
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
