//! Attacks with connections, heads and small messages.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::{
    attacker::{Attacker, repeat},
    client::{frame, opcode},
};

/// Holds connections on which nothing is sent.
pub async fn hold_idle(attacker: Arc<Attacker>) {
    repeat(attacker, 600, |attacker, _| async move {
        let mut connection = attacker.caller(0).connect().await?;
        attacker.count("connected");
        connection.drain().await;
        attacker.count("closed by the server");
        Ok(())
    })
    .await;
}

/// Holds websockets of `/livecode` that answer pings and never send a program.
pub async fn hold_websockets(attacker: Arc<Attacker>) {
    repeat(attacker, 300, |attacker, _| async move {
        let mut websocket = attacker.caller(0).websocket("/livecode").await?;
        attacker.count("connected");
        loop {
            let (kind, payload) = websocket.read_frame().await?;
            if kind == opcode::PING {
                let pong = frame(opcode::PONG, payload);
                websocket.write(&pong).await?;
            }
        }
    })
    .await;
}

/// Sends the head of a request byte by byte.
pub async fn send_slow_heads(attacker: Arc<Attacker>) {
    repeat(attacker, 300, |attacker, _| async move {
        let mut connection = attacker.caller(0).connect().await?;
        attacker.count("connected");
        let head = attacker.caller(0).head("GET", "/healthz", "");
        for byte in head.as_bytes().iter().chain(b"x: ").chain([b'y'; 1000].iter()) {
            connection.write(&[*byte]).await?;
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    })
    .await;
}

/// Opens connections, sends half a head, and resets them.
pub async fn reconnect(attacker: Arc<Attacker>) {
    repeat(attacker, 16, |attacker, _| async move {
        let mut connection = attacker.caller(0).connect().await?;
        connection.write(b"GET /healthz HTTP/1.1\r\n").await?;
        connection.stream.set_zero_linger()?;
        attacker.count("reset");
        Ok(())
    })
    .await;
}

/// Sends small requests in batches, and reads the answers.
pub async fn flood_requests(attacker: Arc<Attacker>) {
    repeat(attacker, 8, |attacker, _| async move {
        let caller = attacker.caller(0);
        let mut connection = caller.connect().await?;
        let path = "/sessions/00000000000000000000000000000000";
        let batch =
            [caller.request("GET", path, &[]), caller.request("POST", "/sessions", b"{}")].concat().repeat(8);
        let (mut input, mut output) = connection.stream.split();
        let read = async {
            tokio::io::copy(&mut input, &mut tokio::io::sink()).await?;
            Ok(())
        };
        let write = async {
            loop {
                output.write_all(&batch).await?;
                attacker.count("batches of 16");
            }
        };
        either(read, write).await
    })
    .await;
}

/// Sends requests whose answers are large, and reads none of them.
pub async fn leave_answers_unread(attacker: Arc<Attacker>) {
    repeat(attacker, 200, |attacker, _| async move {
        let caller = attacker.caller(0);
        let mut connection = caller.connect_with(Some(4096)).await?;
        attacker.count("connected");
        let batch = caller.request("GET", "/openapi.json", &[]).repeat(16);
        loop {
            connection.write(&batch).await?; // waits once the server takes no more
        }
    })
    .await;
}

/// Sends messages as fast as it can, on websockets that the server has closed, too.
pub async fn flood_messages(attacker: Arc<Attacker>) {
    repeat(attacker, 8, |attacker, _| async move {
        let mut websocket = attacker.caller(0).websocket("/livecode").await?;
        attacker.count("connected");
        let batch = frame(opcode::TEXT, br#"{"msgtype":"ping"}"#).repeat(500);
        let (mut input, mut output) = websocket.stream.split();
        let read = async {
            let _ = tokio::io::copy(&mut input, &mut tokio::io::sink()).await;
            hold().await // the flood goes on after the server's close frame
        };
        let write = async {
            loop {
                output.write_all(&batch).await?;
                attacker.count("batches of 500");
            }
        };
        either(read, write).await
    })
    .await;
}

/// Runs two futures at once until one of them ends.
pub async fn either(
    one: impl Future<Output = Result<()>>,
    other: impl Future<Output = Result<()>>,
) -> Result<()> {
    tokio::select! {
        end = one => end,
        end = other => end,
    }
}

/// Waits for ever.
pub async fn hold() -> Result<()> {
    std::future::pending().await
}
