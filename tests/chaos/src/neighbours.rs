//! How long a small program takes beside those that want all there is.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Common,
    http::{create, delete, read_all, session},
    server::{Options as ServerOptions, Server},
};

/// Rounds without the bombs and with them, in turns: what else the machine does falls on both.
const ROUNDS: usize = 5;
/// What may be lost to the bombs, as ratios.
const P50_MAX: f64 = 1.3;
const P99_MAX: f64 = 2.0;

#[derive(Args)]
pub struct Options {
    /// How often the small program is run without the bombs, and how often with them.
    #[arg(long, default_value_t = 300)]
    times: usize,
    /// Only the bombs whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

/// Programs that want all there is, at a quarter of a core each. Each is started again when it is stopped.
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

pub async fn run(common: &Common, options: &Options) -> Result<()> {
    let server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    hellos(&address, 20).await?; // so that files and pages are warm
    let (mut without, mut with) = (vec![], vec![]);
    let times = options.times.div_ceil(ROUNDS);
    for _ in 0..ROUNDS {
        without.extend(hellos(&address, times).await?);
        let mut bombers = JoinSet::new();
        for (_, request) in bombs().into_iter().filter(|(name, _)| name.contains(&options.only)) {
            bombers.spawn(keep_up(address.clone(), request));
        }
        sleep(Duration::from_millis(500)).await; // until all four are at it
        with.extend(hellos(&address, times).await?);
        bombers.shutdown().await;
        clear(&address).await?;
    }
    let rows = [("p50", 0.5, P50_MAX), ("p99", 0.99, P99_MAX)];
    println!(
        "{} hello-world sessions each, in {ROUNDS} rounds; fork, memory, disk and output bomb at a quarter core each",
        with.len()
    );
    println!("{:<6} {:>12} {:>12} {:>8} {:>8}", "", "alone, ms", "beside, ms", "ratio", "at most");
    let mut is_kept = true;
    for (name, quantile, max) in rows {
        let (alone, beside) = (at(&mut without, quantile), at(&mut with, quantile));
        let ratio = beside / alone;
        is_kept &= ratio <= max;
        println!("{name:<6} {alone:>12.1} {beside:>12.1} {ratio:>8.2} {max:>8.1}");
    }
    ensure!(is_kept, "the bombs were felt more than that");
    Ok(())
}

/// How long each of so many small programs took, from the request to its end, in milliseconds.
async fn hellos(address: &str, times: usize) -> Result<Vec<f64>> {
    let mut took = vec![];
    for _ in 0..times {
        let began = Instant::now();
        let id = create(address, &json!({"runtime": "python", "code": "print('hello')"})).await?;
        let whole = read_all(address, &id).await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        ensure!(whole.stdout == "hello\n", "{whole:?}");
        delete(address, &id).await?.expect(204)?;
    }
    Ok(took)
}

/// Has the program run for ever, and starts it again whenever it is stopped.
async fn keep_up(address: String, request: Value) {
    while let Ok(id) = create(&address, &request).await {
        while session(&address, &id).await.is_ok_and(|session| session["state"] != "ended") {
            sleep(Duration::from_millis(50)).await;
        }
        let _ = delete(&address, &id).await;
    }
}

async fn clear(address: &str) -> Result<()> {
    let sessions = crate::http::get(address, "/sessions").await?.expect(200)?;
    for session in sessions.as_array().into_iter().flatten() {
        delete(address, session["id"].as_str().unwrap_or_default()).await?.expect(204)?;
    }
    Ok(())
}

fn at(values: &mut [f64], quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * quantile).round() as usize]
}
