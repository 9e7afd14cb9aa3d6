//! Attacks with large or unfinished bodies and messages.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use serde_json::json;
use tokio::time::sleep;

use super::connections::hold;
use crate::{
    attacker::{Attacker, repeat},
    client::{frame, frame_header, opcode, session_id},
};

const MIB: usize = 1024 * 1024;

/// Sends a body or message except for its last bytes, in parts of 64 KiB.
async fn send_part(connection: &mut crate::client::Connection, bytes: usize) -> Result<()> {
    let part = [b'x'; 64 * 1024];
    for _ in 0..bytes / part.len() {
        connection.write(&part).await?;
    }
    Ok(())
}

/// Sends the beginning of a message of 16 MiB, and answers pings in the midst of nothing.
pub async fn send_unfinished_messages(attacker: Arc<Attacker>) {
    repeat(attacker, 100, |attacker, _| async move {
        let mut websocket = attacker.caller(0).websocket("/livecode").await?;
        // The message comes in fragments, because a pong may stand between two of these.
        let mut header = frame_header(opcode::TEXT, 64 * 1024);
        header[0] = opcode::TEXT; // not the final fragment
        let part = [b'x'; 64 * 1024];
        for number in 0..255 {
            websocket.write(&header).await?;
            websocket.write(&part).await?;
            header[0] = 0; // a continuation, not the final one
            if number % 64 == 0 {
                websocket.write(&frame(opcode::PONG, b"")).await?;
            }
        }
        attacker.count("unfinished");
        loop {
            websocket.write(&frame(opcode::PONG, b"")).await?;
            sleep(Duration::from_millis(500)).await;
        }
    })
    .await;
}

/// Sends bodies of 16 MiB except for their ends.
pub async fn send_unfinished_bodies(attacker: Arc<Attacker>) {
    repeat(attacker, 100, |attacker, worker| async move {
        let caller = attacker.caller(worker as u8 % 4);
        let mut connection = caller.connect().await?;
        let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n", 16 * MIB);
        connection.write(caller.head("POST", "/sessions", &headers).as_bytes()).await?;
        send_part(&mut connection, 16 * MIB - 64 * 1024).await?;
        attacker.count("unfinished");
        hold().await
    })
    .await;
}

/// Sends bodies byte by byte.
pub async fn send_slow_bodies(attacker: Arc<Attacker>) {
    repeat(attacker, 500, |attacker, _| async move {
        let caller = attacker.caller(0);
        let mut connection = caller.connect().await?;
        attacker.count("connected");
        let headers = "content-type: application/json\r\ncontent-length: 1000000\r\n\r\n";
        connection.write(caller.head("POST", "/sessions", headers).as_bytes()).await?;
        loop {
            connection.write(b" ").await?;
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
}

/// Posts bodies that take many times their size when they are parsed into values.
pub async fn post_json_bombs(attacker: Arc<Attacker>) {
    repeat(attacker, 8, |attacker, worker| async move {
        let caller = attacker.caller(0);
        let path = ["/sessions", "/exec"][worker % 2];
        let bomb = [br#"{"runtime":"bash","code":"true","x":["#, &*b"1,".repeat(7 * MIB), b"1]}"].concat();
        let request = caller.request("POST", path, &bomb);
        let mut connection = caller.connect().await?;
        loop {
            let answer = connection.exchange(&request).await;
            attacker.count_answer(&answer);
            answer?;
        }
    })
    .await;
}

/// Creates sessions with as many files as a body may have.
pub async fn post_files(attacker: Arc<Attacker>) {
    repeat(attacker, 4, |attacker, _| async move {
        let caller = attacker.caller(0);
        let files = json!([
            {"filename": "main.sh", "contents": "sleep 1"},
            {"filename": "large", "contents": "x".repeat(15 * MIB)},
        ]);
        let body = json!({"runtime": "bash", "files": files, "timeout": 3000}).to_string();
        let request = caller.request("POST", "/sessions", body.as_bytes());
        let mut connection = caller.connect().await?;
        loop {
            let answer = connection.exchange(&request).await;
            attacker.count_answer(&answer);
            if answer?.0 != 201 {
                sleep(Duration::from_millis(5)).await;
            }
        }
    })
    .await;
}

/// Occupies what may run at once, and sends large events to the sessions that wait.
pub async fn send_to_queued_sessions(attacker: Arc<Attacker>) {
    repeat(attacker, 48, |attacker, _| async move {
        let caller = attacker.caller(0);
        let body = json!({"runtime": "bash", "code": "sleep 2", "timeout": 3000}).to_string();
        let answer = caller.send("POST", "/sessions", body.as_bytes()).await;
        attacker.count_answer(&answer);
        let id = session_id(&answer?.1)?;
        let mut websocket = caller.websocket(&format!("/sessions/{id}/stream")).await?;
        let numbers = "1,".repeat(30_000);
        let event = format!(r#"{{"msgtype":"event","event":"x","data":[{numbers}1]}}"#);
        let event = frame(opcode::TEXT, event.as_bytes());
        for _ in 0..300 {
            websocket.write(&event).await?;
            attacker.count("events");
        }
        websocket.drain().await;
        Ok(())
    })
    .await;
}
