//! Faults of clients and of their connections.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

use super::processes::{await_first_output, counter_code, counter_output};
use crate::{
    client,
    http::{Received, Stream, Transcript, create, create_python, read_all, session},
    machine::{self, eventually},
    options::CommonOptions,
    program::Program,
    proxy::Proxy,
    server::{Server, ServerOptions},
};

const MIB: u64 = 1024 * 1024;

/// Twenty clients stop reading a stream of 12 MiB, while another client reads all of it.
pub async fn slow_reader(common: &CommonOptions) -> Result<String> {
    const BYTES: usize = 12 * 1024 * 1024;
    let server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    let code =
        format!("import sys\nfor _ in range({}):\n    sys.stdout.write('x' * 4095 + '\\n')\n", BYTES / 4096);
    let id = create_python(&address, &code).await?;
    // These streams are read only after the program has ended.
    let mut slow = vec![];
    for _ in 0..20 {
        slow.push(Stream::connect(&address, &id, 0).await?);
    }
    let before = machine::memory_bytes(server.pid());
    let began = Instant::now();
    let transcript = read_all(&address, &id).await?;
    let took = began.elapsed();
    let grown = machine::memory_bytes(server.pid()).saturating_sub(before);
    ensure!(
        transcript.stdout.len() == BYTES && transcript.exitstatus() == Some(0),
        "{} bytes",
        transcript.stdout.len()
    );
    ensure!(grown < 48 * MIB, "the server grew by {grown} bytes");
    for mut stream in slow {
        let mut late = Transcript::default();
        loop {
            match stream.next().await {
                Received::Message(message) => late.add(&message)?,
                Received::Closed(1000) => break,
                other => bail!("a slow client's stream ended with {other:?}"),
            }
        }
        ensure!(late.stdout.len() == BYTES, "a slow client received {} bytes", late.stdout.len());
    }
    Ok(format!(
        "12 MiB read in {:.1} s beside 20 clients that did not read; each of these got all later; memory grew by {:.1} MiB",
        took.as_secs_f64(),
        grown as f64 / MIB as f64
    ))
}

/// A client vanishes without closing its connection.
pub async fn half_open(common: &CommonOptions) -> Result<String> {
    let server = Server::start(ServerOptions::new(common).with(&["--ping-interval-ms", "200"]))?;
    let address = server.address().to_owned();
    let code = "echo up; read -r line; echo \"$line\"";
    let id = create(&address, &json!({"runtime": "bash", "code": code})).await?;
    await_first_output(&address, &id).await?;
    // This client's machine has vanished: its connection stays open, but answers nothing. The
    // stream is never polled, so it answers no ping.
    let vanished = Stream::connect(&address, &id, 0).await?;
    // This client sends nothing, but it is alive and answers pings.
    let mut silent = Stream::connect(&address, &id, 0).await?;
    let silent_client = tokio::spawn(async move {
        let mut transcript = Transcript::default();
        while let Received::Message(message) = silent.next().await {
            transcript.add(&message)?;
        }
        anyhow::Ok(transcript)
    });
    let began = Instant::now();
    let count = || machine::count_connections(&address);
    eventually("both connections", || (count() == 2).then_some(())).await?;
    eventually("the vanished client's connection closed", || (count() == 1).then_some(())).await?;
    let took = began.elapsed();
    let mut sender = Stream::connect(&address, &id, 0).await?;
    sender.send(&json!({"msgtype": "input", "data": "still here\n"})).await;
    let transcript = silent_client.await??;
    ensure!(transcript.stdout == "up\nstill here\n" && transcript.exitstatus() == Some(0), "{transcript:?}");
    drop(vanished);
    Ok(format!(
        "closed after {:.1} s at pings every 0.2 s; a client that only answers pings was kept",
        took.as_secs_f64()
    ))
}

/// A thousand clients follow one session.
pub async fn thousand_followers(common: &CommonOptions) -> Result<String> {
    const FOLLOWERS: usize = 1000;
    const LINES: usize = 300;
    let server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    // The program starts to print once all clients are connected.
    let code = format!("input()\n{}", counter_code(LINES));
    let id = create_python(&address, &code).await?;
    let before = machine::memory_bytes(server.pid());
    let mut followers = JoinSet::new();
    for _ in 0..FOLLOWERS {
        let mut stream = Stream::connect(&address, &id, 0).await?;
        followers.spawn(async move {
            let mut transcript = Transcript::default();
            loop {
                match stream.next().await {
                    Received::Message(message) => transcript.add(&message)?,
                    Received::Closed(1000) => return Ok(transcript),
                    other => bail!("a follower's stream ended with {other:?}"),
                }
            }
        });
    }
    let mut sender = Stream::connect(&address, &id, 0).await?;
    sender.send(&json!({"msgtype": "input", "data": "\n"})).await;
    let began = Instant::now();
    let mut complete = 0;
    let grown = std::sync::atomic::AtomicU64::new(0);
    while let Some(transcript) = followers.join_next().await {
        let memory = machine::memory_bytes(server.pid()).saturating_sub(before);
        grown.fetch_max(memory, std::sync::atomic::Ordering::Relaxed);
        complete += usize::from(transcript??.stdout == counter_output(LINES));
    }
    ensure!(complete == FOLLOWERS, "only {complete} of {FOLLOWERS} received everything");
    Ok(format!(
        "{FOLLOWERS} of {FOLLOWERS} received all {LINES} lines in {:.1} s from a program of {:.1} s; {:.0} KiB of the server's memory each",
        began.elapsed().as_secs_f64(),
        LINES as f64 / 100.0,
        grown.into_inner() as f64 / 1024.0 / FOLLOWERS as f64
    ))
}

/// A client redelivers inputs over cut connections and restarted servers.
pub async fn redelivery(common: &CommonOptions) -> Result<String> {
    const INPUTS: u64 = 200;
    let mut server = Server::start(ServerOptions::new(common))?;
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
        server.restart()?;
        kills += 1;
    }
    let report = following.await??;
    let got = &report.transcript.messages[0]["got"];
    ensure!(*got == json!((0..INPUTS).collect::<Vec<_>>()), "the program received {got}");
    let outcome = &session(server.address(), &id).await?["outcome"];
    ensure!(outcome == "exited", "{outcome}");
    Ok(format!(
        "{INPUTS} inputs sent {} times over {} connections, {} cuts and {kills} kills; each delivered once, in order",
        report.inputs_sent - 1,
        report.connections,
        proxy.cuts()
    ))
}
