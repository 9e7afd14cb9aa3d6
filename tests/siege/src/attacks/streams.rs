//! Attacks on streams.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, sleep},
};

use super::connections::{either, hold};
use crate::{
    attacker::{self, Attacker, repeat},
    client::{Caller, contains, frame, opcode},
    rows::Size,
    server::Server,
};

const MIB: u64 = 1024 * 1024;

/// Creates an ended session whose journal has about `bytes`, and returns its id and the number of
/// its last entry.
pub async fn make_journal(caller: &Caller, bytes: u64) -> Result<(String, u64)> {
    let blocks = bytes / 65536;
    let code = format!("import os\nblock = b'x' * 65536\nfor _ in range({blocks}): os.write(1, block)");
    let limits = json!({"output_bytes": 1_u64 << 30, "cpu_ms": 60_000});
    let id = caller.create(&json!({"runtime": "python", "code": code, "limits": limits})).await?;
    let document = caller.wait_for_end(&id).await?;
    ensure!(document["outcome"] == "exited", "the journal could not be made: {document}");
    // Beyond the last entry the answer is the closing entry, which has its number.
    let path = format!("/sessions/{id}/stream?after=1000000000");
    let request = caller.head("GET", &path, "accept: application/x-ndjson\r\n\r\n");
    let (status, body) = caller.connect().await?.exchange(request.as_bytes()).await?;
    ensure!(status == 200, "the stream answered {status}");
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let messages: Vec<Value> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let last = messages.iter().find_map(|message| message["seq"].as_u64());
    Ok((id, last.context("the closing entry has no number")?))
}

/// The first attacker, who makes what the attack needs.
fn stranger(server: &Server) -> Caller {
    attacker::owner(server.address())
}

/// Prepares a long journal.
pub async fn prepare_long_journal(server: &mut Server, size: Size) -> Result<Value> {
    let (id, last) = make_journal(&stranger(server), size.pick(256, 16) * MIB).await?;
    Ok(json!({"path": format!("/sessions/{id}/stream?after={}", last - 2)}))
}

/// Prepares a session with messages of 4 MiB.
pub async fn prepare_large_messages(server: &mut Server, _: Size) -> Result<Value> {
    let code = "import livecode\nfor _ in range(10): livecode.send('a', x='x' * (4 * 1024 * 1024 - 100))";
    let limits = json!({"output_bytes": 64 * MIB});
    let caller = stranger(server);
    let id = caller.create(&json!({"runtime": "python", "code": code, "limits": limits})).await?;
    caller.wait_for_end(&id).await?;
    Ok(json!({"path": format!("/sessions/{id}/stream")}))
}

/// Reads on from near the end, and pings the server all the while.
pub async fn skip_with_pings(attacker: Arc<Attacker>) {
    repeat(attacker, 8, |attacker, _| async move {
        let mut websocket = attacker.owner().websocket(attacker.prepared_text("path")).await?;
        let ping = frame(opcode::TEXT, br#"{"msgtype":"ping"}"#);
        let began = Instant::now();
        let (mut input, mut output) = websocket.stream.split();
        let read = async {
            tokio::io::copy(&mut input, &mut tokio::io::sink()).await?;
            Ok(())
        };
        let write = async {
            loop {
                output.write_all(&ping).await?;
                sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = either(read, write).await;
        attacker.count(if began.elapsed() < Duration::from_secs(1) { "short skips" } else { "long skips" });
        Ok(())
    })
    .await;
}

/// Requests server-sent events near the end, and again as soon as they begin.
pub async fn reconnect_events(attacker: Arc<Attacker>) {
    repeat(attacker, 16, |attacker, _| async move {
        let caller = attacker.owner();
        let mut connection = caller.connect().await?;
        let accept = "accept: text/event-stream\r\n\r\n";
        let request = caller.head("GET", attacker.prepared_text("path"), accept);
        connection.write(request.as_bytes()).await?;
        let head = connection.read_head().await?;
        attacker.count(head.status.to_string());
        sleep(Duration::from_millis(20)).await; // and leaves without the rest
        Ok(())
    })
    .await;
}

/// Asks for large messages and reads none of them.
pub async fn watch_without_reading(attacker: Arc<Attacker>) {
    repeat(attacker, 100, |attacker, worker| async move {
        let caller = attacker.owner();
        let path = attacker.prepared_text("path");
        let mut connection = if worker % 2 == 0 {
            caller.websocket_with(path, Some(4096)).await?
        } else {
            let mut connection = caller.connect_with(Some(4096)).await?;
            let accept = "accept: application/x-ndjson\r\n\r\n";
            connection.write(caller.head("GET", path, accept).as_bytes()).await?;
            let status = connection.read_head().await?.status;
            ensure!(status == 200, "the stream answered {status}");
            connection
        };
        attacker.count("watching");
        if worker % 2 == 0 {
            loop {
                connection.write(&frame(opcode::PONG, b"")).await?;
                sleep(Duration::from_millis(500)).await;
            }
        }
        hold().await
    })
    .await;
}

/// A thousand watchers read on near the end at once, and stay.
pub async fn watch_in_crowd(attacker: Arc<Attacker>) {
    repeat(attacker, 1000, |attacker, _| async move {
        first_message(&attacker.owner(), attacker.prepared_text("path")).await?;
        attacker.count("first messages");
        hold().await
    })
    .await;
}

/// Reads a websocket until the first message that is not the welcome, and returns how long that
/// took.
pub async fn first_message(caller: &Caller, path: &str) -> Result<Duration> {
    let began = Instant::now();
    let mut websocket = caller.websocket(path).await?;
    loop {
        let (kind, payload) = websocket.read_frame().await?;
        if kind == opcode::TEXT && !contains(payload, br#""msgtype":"welcome""#) {
            return Ok(began.elapsed());
        }
        ensure!(kind != opcode::CLOSE, "the stream was closed without a message");
    }
}
