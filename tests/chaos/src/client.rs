//! A client that comes back until it has everything: it creates under a key, follows by number, and sends again by id.

use std::{cmp::Ordering, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    http::{Received, Stream, Whole, request},
    program::Program,
};

/// How long anything may take in all: for what is broken, not for what is slow.
const PATIENCE: Duration = Duration::from_secs(300);

/// What one client went through.
#[derive(Debug, Default)]
pub struct Seen {
    pub id: String,
    pub whole: Whole,
    pub connections: u64,
    pub inputs_sent: u64,
}

/// Creates the session of `program` at `address`; under its key, so that it is made once however often it is asked for.
pub async fn create(address: &str, program: &Program, key: &str) -> Result<String> {
    let body = program.request();
    let tries = async {
        loop {
            if let Ok(answer) = request(address, "POST", "/sessions", Some(key), Some(&body)).await {
                match answer.status {
                    201 => return answer.body["id"].as_str().map(str::to_owned).context("no id"),
                    409 | 503 => {} // being made, or the server is just stopping
                    status => bail!("creating was answered {status}: {}", answer.body),
                }
            }
            sleep(Duration::from_millis(fastrand::u64(5..50))).await;
        }
    };
    timeout(PATIENCE, tries).await.context("a session could not be created")?
}

/// Follows a session to its end, and gives it `inputs` numbered lines in the course of `spread`, then the end of input.
pub async fn follow(address: &str, id: &str, inputs: u64, spread: Duration) -> Result<Seen> {
    let (_now, may_end) = watch::channel(true);
    follow_until(address, id, inputs, spread, may_end).await
}

/// The same, with the end of input not before it may end.
pub async fn follow_until(
    address: &str,
    id: &str,
    inputs: u64,
    spread: Duration,
    may_end: watch::Receiver<bool>,
) -> Result<Seen> {
    let began = Instant::now();
    let mut seen = Seen { id: id.to_owned(), ..Seen::default() };
    let mut inbox = Inputs { count: inputs, spread, began, acknowledged: 0, sent: 0, may_end };
    while seen.whole.exit.is_none() {
        if began.elapsed() > PATIENCE {
            bail!("session {id} did not end; the last number was {}", seen.whole.after);
        }
        if let Ok(Ok(mut stream)) = timeout(PATIENCE, Stream::connect(address, id, seen.whole.after)).await {
            seen.connections += 1;
            inbox.sent = inbox.acknowledged; // what was not acknowledged is sent again
            talk(&mut stream, &mut seen, &mut inbox).await?;
        }
        sleep(Duration::from_millis(fastrand::u64(5..50))).await;
    }
    Ok(seen)
}

/// The lines that a client sends, in their order. The last is the end of input.
struct Inputs {
    count: u64,
    spread: Duration,
    began: Instant,
    /// How many were acknowledged: answers come in the order of the messages.
    acknowledged: u64,
    /// How many were sent on this connection, or acknowledged before.
    sent: u64,
    may_end: watch::Receiver<bool>,
}

impl Inputs {
    /// Waits until the next is to be sent; for ever where there is none.
    async fn due(&mut self) {
        let due = self.began + self.spread.mul_f64(self.sent as f64 / (self.count + 1) as f64);
        match self.sent.cmp(&self.count) {
            Ordering::Less => sleep_until(due).await,
            Ordering::Equal => drop(self.may_end.wait_for(|may_end| *may_end).await), // or nobody forbids it any more
            Ordering::Greater => std::future::pending().await,
        }
    }

    fn next(&self) -> Value {
        match self.sent {
            end if end == self.count => json!({"msgtype": "input", "data": "", "eof": true, "id": end}),
            number => json!({"msgtype": "input", "data": format!("{number}\n"), "id": number}),
        }
    }
}

async fn talk(stream: &mut Stream, seen: &mut Seen, inputs: &mut Inputs) -> Result<()> {
    loop {
        let received = tokio::select! {
            received = stream.next() => received,
            () = inputs.due() => {
                let input = inputs.next();
                // One in four is sent twice, as a client does that is not sure.
                let times = if fastrand::u8(..4) == 0 { 2 } else { 1 };
                for _ in 0..times {
                    seen.inputs_sent += 1;
                    if !stream.send(&input).await {
                        return Ok(());
                    }
                }
                inputs.sent += 1;
                continue;
            }
        };
        match received {
            Received::Message(message) => {
                match message["msgtype"].as_str() {
                    Some("ack") => {
                        let id = message["id"].as_u64().context("an ack without an id")?;
                        inputs.acknowledged = inputs.acknowledged.max(id + 1);
                    }
                    // A program that has read its end of input may be gone before the same is sent again.
                    Some("error") if inputs.acknowledged <= inputs.count && seen.whole.exit.is_none() => {
                        let error = message["error"].as_str().unwrap_or_default();
                        if !error.contains("ended") && !error.contains("closed") {
                            bail!("an input was refused: {message}");
                        }
                    }
                    _ => {}
                }
                seen.whole.take(&message).with_context(|| format!("session {}", seen.id))?;
            }
            Received::Closed(1000) if seen.whole.exit.is_none() => bail!("closed normally before the end"),
            Received::Closed(_) | Received::Cut => return Ok(()),
        }
    }
}
