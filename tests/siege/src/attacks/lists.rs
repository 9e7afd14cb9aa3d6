//! Attacks with lists of sessions.

use std::{fs, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    attacker::{Attacker, repeat},
    client::Caller,
    rows::Size,
    server::Server,
};

/// The token of the stranger who has many sessions.
const TOKEN: u64 = 7;

/// The stranger who has many sessions.
fn stranger(server: std::net::SocketAddr) -> Caller {
    Caller::guest(server, std::net::Ipv4Addr::new(127, 0, 0, 2)).with_token(TOKEN)
}

/// Prepares many kept sessions of one stranger. One is run; the others are copies of its folder,
/// because running them would take minutes.
pub async fn prepare_kept_sessions(server: &mut Server, size: Size) -> Result<Value> {
    make_kept_sessions(server, size.pick(20_000, 500)).await?;
    Ok(Value::Null)
}

/// Makes `count` kept sessions, and starts the server again with them.
pub async fn make_kept_sessions(server: &mut Server, count: u64) -> Result<()> {
    let caller = stranger(server.address());
    let original = caller.create(&json!({"runtime": "bash", "code": "true"})).await?;
    caller.wait_for_end(&original).await?;
    server.terminate();
    let sessions = server.data().join("sessions");
    let mut files = vec![];
    for entry in fs::read_dir(sessions.join(&original))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push((entry.file_name(), fs::read(entry.path())?));
        }
    }
    ensure!(files.iter().any(|(name, _)| name == "session.json"), "the session has no record");
    for number in 0..count {
        let id = format!("{:016x}{number:016x}", 0x5e55_1011_u64);
        let folder = sessions.join(&id);
        fs::create_dir(&folder)?;
        for (name, content) in &files {
            let path = folder.join(name);
            if name.to_string_lossy().ends_with(".json") {
                let text = String::from_utf8_lossy(content).replace(&original, &id);
                fs::write(path, text)?;
            } else {
                fs::write(path, content)?;
            }
        }
    }
    server.restart().context("start the server with many sessions")
}

/// Requests the list on eight connections.
pub async fn list(attacker: Arc<Attacker>) {
    repeat(attacker, 8, |attacker, _| async move {
        let caller = stranger(attacker.server);
        let request = caller.request("GET", "/sessions", &[]);
        let mut connection = caller.connect().await?;
        loop {
            let answer = connection.exchange(&request).await;
            attacker.count_answer(&answer);
            answer?;
        }
    })
    .await;
}
