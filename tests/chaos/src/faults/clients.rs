//! Faults of clients and of what lies between.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

use super::processes::{begun, counted, counter};
use crate::{
    Common, client,
    http::{Received, Stream, Whole, create, create_python, read_all, session},
    machine::{self, eventually},
    program::Program,
    proxy::Proxy,
    server::{Options, Server},
};

const MIB: u64 = 1024 * 1024;

pub async fn slow_reader(common: &Common) -> Result<String> {
    const BYTES: usize = 12 * 1024 * 1024;
    let server = Server::start(Options::new(common))?;
    let address = server.address().to_owned();
    let code =
        format!("import sys\nfor _ in range({}):\n    sys.stdout.write('x' * 4095 + '\\n')\n", BYTES / 4096);
    let id = create_python(&address, &code).await?;
    // Connected, and not read from until all is over.
    let mut slow = vec![];
    for _ in 0..20 {
        slow.push(Stream::connect(&address, &id, 0).await?);
    }
    let before = machine::memory_bytes(server.pid());
    let began = Instant::now();
    let whole = read_all(&address, &id).await?;
    let took = began.elapsed();
    let grown = machine::memory_bytes(server.pid()).saturating_sub(before);
    ensure!(whole.stdout.len() == BYTES && whole.exitstatus() == Some(0), "{} bytes", whole.stdout.len());
    ensure!(grown < 48 * MIB, "the server grew by {grown} bytes");
    for mut stream in slow {
        let mut late = Whole::default();
        loop {
            match stream.next().await {
                Received::Message(message) => late.take(&message)?,
                Received::Closed(1000) => break,
                other => bail!("a slow reader's stream ended with {other:?}"),
            }
        }
        ensure!(late.stdout.len() == BYTES, "a slow reader got {} bytes", late.stdout.len());
    }
    Ok(format!(
        "12 MiB read in {:.1} s beside 20 that did not read; each of them got all later; memory grew by {:.1} MiB",
        took.as_secs_f64(),
        grown as f64 / MIB as f64
    ))
}

pub async fn half_open(common: &Common) -> Result<String> {
    let server = Server::start(Options::new(common).with(&["--ping-interval-ms", "200"]))?;
    let address = server.address().to_owned();
    let code = "echo up; read -r line; echo \"$line\"";
    let id = create(&address, &json!({"runtime": "bash", "code": code})).await?;
    begun(&address, &id).await?;
    // A client whose machine vanished: its connection stays, and nothing answers on it. Never polled, it answers no ping.
    let vanished = Stream::connect(&address, &id, 0).await?;
    // One that only listens, but is there: it answers pings.
    let mut listening = Stream::connect(&address, &id, 0).await?;
    let listener = tokio::spawn(async move {
        let mut whole = Whole::default();
        while let Received::Message(message) = listening.next().await {
            whole.take(&message)?;
        }
        anyhow::Ok(whole)
    });
    let began = Instant::now();
    let connections = || machine::connections(&address);
    eventually("both connections", || (connections() == 2).then_some(())).await?;
    eventually("the vanished client's connection closed", || (connections() == 1).then_some(())).await?;
    let took = began.elapsed();
    let mut speaker = Stream::connect(&address, &id, 0).await?;
    speaker.send(&json!({"msgtype": "input", "data": "still here\n"})).await;
    let whole = listener.await??;
    ensure!(whole.stdout == "up\nstill here\n" && whole.exitstatus() == Some(0), "{whole:?}");
    drop(vanished);
    Ok(format!(
        "closed after {:.1} s at pings every 0.2 s; one that only listens was kept",
        took.as_secs_f64()
    ))
}

pub async fn thousand_watchers(common: &Common) -> Result<String> {
    const WATCHERS: usize = 1000;
    const LINES: usize = 300;
    let server = Server::start(Options::new(common))?;
    let address = server.address().to_owned();
    // It begins when all are there.
    let code = format!("input()\n{}", counter(LINES));
    let id = create_python(&address, &code).await?;
    let before = machine::memory_bytes(server.pid());
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS {
        let mut stream = Stream::connect(&address, &id, 0).await?;
        watchers.spawn(async move {
            let mut whole = Whole::default();
            loop {
                match stream.next().await {
                    Received::Message(message) => whole.take(&message)?,
                    Received::Closed(1000) => return Ok(whole),
                    other => bail!("a watcher's stream ended with {other:?}"),
                }
            }
        });
    }
    let mut speaker = Stream::connect(&address, &id, 0).await?;
    speaker.send(&json!({"msgtype": "input", "data": "\n"})).await;
    let began = Instant::now();
    let mut got_all = 0;
    let grown = std::sync::atomic::AtomicU64::new(0);
    while let Some(whole) = watchers.join_next().await {
        let memory = machine::memory_bytes(server.pid()).saturating_sub(before);
        grown.fetch_max(memory, std::sync::atomic::Ordering::Relaxed);
        got_all += usize::from(whole??.stdout == counted(LINES));
    }
    ensure!(got_all == WATCHERS, "{got_all} of {WATCHERS} got everything");
    Ok(format!(
        "{WATCHERS} of {WATCHERS} got all {LINES} lines; {:.1} s for a program of {:.1} s; {:.0} KiB of the server's memory each",
        began.elapsed().as_secs_f64(),
        LINES as f64 / 100.0,
        grown.into_inner() as f64 / 1024.0 / WATCHERS as f64
    ))
}

pub async fn redelivery(common: &Common) -> Result<String> {
    const INPUTS: u64 = 200;
    let mut server = Server::start(Options::new(common))?;
    let proxy = Proxy::start(server.address(), 40).await?;
    let program = Program { index: 0, lines: 200, pause_ms: 15, exitstatus: 0 };
    let id = client::create(server.address(), &program, "redelivery").await?;
    let (address, follow_id) = (proxy.address().to_owned(), id.clone());
    let following =
        tokio::spawn(
            async move { client::follow(&address, &follow_id, INPUTS, Duration::from_secs(3)).await },
        );
    let mut kills = 0;
    while !following.is_finished() && kills < 6 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        server.kill();
        server.start_again()?;
        kills += 1;
    }
    let seen = following.await??;
    let got = &seen.whole.messages[0]["got"];
    ensure!(*got == json!((0..INPUTS).collect::<Vec<_>>()), "the program got {got}");
    let outcome = &session(server.address(), &id).await?["outcome"];
    ensure!(outcome == "exited", "{outcome}");
    Ok(format!(
        "{INPUTS} inputs sent {} times over {} connections, {} cuts and {kills} kills: each once, in order",
        seen.inputs_sent - 1,
        seen.connections,
        proxy.cuts()
    ))
}
