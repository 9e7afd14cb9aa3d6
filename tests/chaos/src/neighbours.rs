//! The time of a small program beside programs that use up everything they can get.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    http::{create, delete, read_all, session},
    options::CommonOptions,
    server::{Server, ServerOptions},
};

/// The number of rounds. Each round measures without the bombs and then with them, so that other
/// load on the machine affects both.
const ROUNDS: usize = 5;
/// The largest allowed ratio of the median with the bombs to the median without them.
const P50_MAX: f64 = 1.3;
/// The same for the 99th percentile.
const P99_MAX: f64 = 2.0;

#[derive(Args)]
pub struct Options {
    /// How often the small program runs without the bombs, and how often with them.
    #[arg(long, default_value_t = 300)]
    times: usize,
    /// Runs only the bombs whose names contain this text.
    #[arg(long, default_value = "")]
    only: String,
}

/// Programs that use up one resource each, with a quarter of a core each, by name.
fn bombs() -> [(&'static str, Value); 4] {
    let bomb = |code: &str| {
        let limits = json!({"cpu_millicores": 250, "cpu_ms": 60_000, "output_bytes": 256 << 20});
        json!({"runtime": "python", "code": code, "limits": limits})
    };
    [
        ("fork bomb", bomb("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass")),
        ("memory bomb", bomb("held = []\nwhile True: held.append(b'x' * (1 << 20))")),
        (
            "disk bomb",
            bomb(
                "import os\nwhile True:\n    try:\n        with open('filler', 'wb') as f:\n            while True: f.write(b'x' * (1 << 20))\n    except OSError: os.unlink('filler')",
            ),
        ),
        ("output flood", bomb("import os\nwhile True: os.write(1, b'x' * 4095 + b'\\n')")),
    ]
}

/// Prints the times of the small program with and without the bombs. Exceeded ratios are an error.
pub async fn run(common: &CommonOptions, options: &Options) -> Result<()> {
    let server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    run_hellos(&address, 20).await?; // warms up caches
    let (mut without, mut with) = (vec![], vec![]);
    let times = options.times.div_ceil(ROUNDS);
    for _ in 0..ROUNDS {
        without.extend(run_hellos(&address, times).await?);
        let mut bomb_tasks = JoinSet::new();
        for (_, request) in bombs().into_iter().filter(|(name, _)| name.contains(&options.only)) {
            bomb_tasks.spawn(keep_running(address.clone(), request));
        }
        sleep(Duration::from_millis(500)).await; // until all bombs run
        with.extend(run_hellos(&address, times).await?);
        bomb_tasks.shutdown().await;
        delete_all(&address).await?;
    }
    let rows = [("p50", 0.5, P50_MAX), ("p99", 0.99, P99_MAX)];
    println!(
        "{} hello-world sessions each in {ROUNDS} rounds; fork, memory, disk and output bombs with a quarter core each",
        with.len()
    );
    println!("{:<6} {:>12} {:>12} {:>8} {:>8}", "", "alone, ms", "beside, ms", "ratio", "at most");
    let mut is_met = true;
    for (name, quantile, max) in rows {
        let (alone, beside) = (quantile_of(&mut without, quantile), quantile_of(&mut with, quantile));
        let ratio = beside / alone;
        is_met &= ratio <= max;
        println!("{name:<6} {alone:>12.1} {beside:>12.1} {ratio:>8.2} {max:>8.1}");
    }
    ensure!(is_met, "the bombs slowed the small programs down by more than the allowed ratio");
    Ok(())
}

/// Runs the small program `times` times. Returns the time of each from the request to its end, in
/// milliseconds.
async fn run_hellos(address: &str, times: usize) -> Result<Vec<f64>> {
    let mut took = vec![];
    for _ in 0..times {
        let began = Instant::now();
        let id = create(address, &json!({"runtime": "python", "code": "print('hello')"})).await?;
        let transcript = read_all(address, &id).await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        ensure!(transcript.stdout == "hello\n", "{transcript:?}");
        delete(address, &id).await?.expect(204)?;
    }
    Ok(took)
}

/// Runs a program, and starts it again whenever it has ended. Never returns while the server
/// answers.
async fn keep_running(address: String, request: Value) {
    while let Ok(id) = create(&address, &request).await {
        while session(&address, &id).await.is_ok_and(|session| session["state"] != "ended") {
            sleep(Duration::from_millis(50)).await;
        }
        let _ = delete(&address, &id).await;
    }
}

/// Deletes all sessions.
async fn delete_all(address: &str) -> Result<()> {
    let sessions = crate::http::get(address, "/sessions").await?.expect(200)?;
    for session in sessions.as_array().into_iter().flatten() {
        delete(address, session["id"].as_str().unwrap_or_default()).await?.expect(204)?;
    }
    Ok(())
}

/// The value at a quantile, from 0 to 1.
fn quantile_of(values: &mut [f64], quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * quantile).round() as usize]
}
