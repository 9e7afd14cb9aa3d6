//! Attacks with sessions.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    attacker::{Attacker, repeat},
    client::{Caller, Connection, session_id},
    server::Server,
};

/// Creates a session with a request on this connection. A refusal is counted, and not an error.
async fn create_one(
    attacker: &Attacker,
    caller: &Caller,
    connection: &mut Connection,
    request: &Value,
) -> Result<Option<String>> {
    let request = caller.request("POST", "/sessions", request.to_string().as_bytes());
    let answer = connection.exchange(&request).await;
    attacker.count_answer(&answer);
    let (status, body) = answer?;
    if status == 201 { session_id(&body).map(Some) } else { Ok(None) }
}

/// Creates sessions of `true`.
pub async fn create(attacker: Arc<Attacker>) {
    repeat(attacker, 16, |attacker, _| async move {
        let caller = attacker.caller_with_new_token(0);
        let mut connection = caller.connect().await?;
        loop {
            create_one(&attacker, &caller, &mut connection, &json!({"runtime": "bash", "code": "true"}))
                .await?;
        }
    })
    .await;
}

/// Makes so many tokens of the user who attacks.
pub async fn prepare_tokens(server: &mut Server, count: u64) -> Result<Value> {
    Ok(json!({"tokens": server.new_tokens("greedy", count).await?}))
}

/// Creates sessions of `true` as one user, from one address, each with another of its tokens.
pub async fn create_as_user(attacker: Arc<Attacker>) {
    repeat(attacker, 16, |attacker, _| async move {
        let tokens = attacker.prepared["tokens"].as_array().context("the tokens are prepared")?;
        let from = attacker.caller(0).from;
        let mut connection = attacker.caller(0).connect().await?;
        loop {
            let token = &tokens[attacker.random(0..tokens.len() as u64) as usize];
            let caller = Caller::user(attacker.server, from, token.as_str().unwrap_or_default());
            create_one(&attacker, &caller, &mut connection, &json!({"runtime": "bash", "code": "true"}))
                .await?;
        }
    })
    .await;
}

/// Creates sessions of `true` as guests of a hundred addresses.
pub async fn create_in_crowd(attacker: Arc<Attacker>) {
    repeat(attacker, 100, |attacker, index| async move {
        let caller = attacker.caller_with_new_token(index as u8);
        let mut connection = caller.connect().await?;
        loop {
            create_one(&attacker, &caller, &mut connection, &json!({"runtime": "bash", "code": "true"}))
                .await?;
        }
    })
    .await;
}

/// Creates sessions that wait, each with a token of its own.
pub async fn create_with_new_tokens(attacker: Arc<Attacker>) {
    repeat(attacker, 8, |attacker, _| async move {
        let mut connection = attacker.caller(0).connect().await?;
        let waiting = json!({"runtime": "bash", "code": "sleep 3", "timeout": 4000});
        for _ in 0..100 {
            let caller = attacker.caller_with_new_token(0);
            create_one(&attacker, &caller, &mut connection, &waiting).await?;
            sleep(Duration::from_millis(50)).await; // a flood is another row
        }
        Ok(())
    })
    .await;
}

/// Creates sessions that leave 4 MiB each, with ever new tokens.
pub async fn fill_retention(attacker: Arc<Attacker>) {
    repeat(attacker, 2, |attacker, _| async move {
        let caller = attacker.caller_with_new_token(0);
        let limits = json!({"cpu_millicores": 250});
        let request =
            json!({"runtime": "bash", "code": "head -c 4194304 /dev/zero | tr '\\0' x", "limits": limits});
        let mut connection = caller.connect().await?;
        if let Some(id) = create_one(&attacker, &caller, &mut connection, &request).await? {
            caller.wait_for_end(&id).await?;
        }
        Ok(())
    })
    .await;
}

/// Creates sessions and deletes each at once.
pub async fn create_and_delete(attacker: Arc<Attacker>) {
    repeat(attacker, 8, |attacker, _| async move {
        let caller = attacker.caller(0);
        let mut connection = caller.connect().await?;
        let waiting = json!({"runtime": "bash", "code": "sleep 3", "timeout": 4000});
        loop {
            if let Some(id) = create_one(&attacker, &caller, &mut connection, &waiting).await? {
                let request = caller.request("DELETE", &format!("/sessions/{id}"), &[]);
                let answer = connection.exchange(&request).await;
                attacker.count_answer(&answer);
                answer?;
            }
        }
    })
    .await;
}

/// Creates sessions of C programs, each a new one.
pub async fn compile(attacker: Arc<Attacker>) {
    repeat(attacker, 4, |attacker, _| async move {
        let caller = attacker.caller(0);
        let mut connection = caller.connect().await?;
        let number = attacker.random(0..u64::MAX);
        let code = format!("int main(void) {{ return {number}UL == 1; }}");
        if let Some(id) =
            create_one(&attacker, &caller, &mut connection, &json!({"runtime": "c", "code": code})).await?
        {
            caller.wait_for_end(&id).await?;
        }
        Ok(())
    })
    .await;
}
