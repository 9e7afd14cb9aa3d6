//! A client that reconnects until it has everything. It creates its session with an idempotency
//! key, resumes the stream by entry number, and redelivers inputs by id.

use std::{cmp::Ordering, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    http::{Received, Stream, Transcript, request},
    program::Program,
};

/// Timeout of a session, from its creation to its end. Only a fault of the server reaches it.
const SESSION_TIMEOUT: Duration = Duration::from_secs(300);

/// What one client received and did.
#[derive(Debug, Default)]
pub struct ClientReport {
    pub id: String,
    pub transcript: Transcript,
    pub connections: u64,
    pub inputs_sent: u64,
}

/// Creates the session of `program` at `address`, and retries until that succeeds. The idempotency
/// key ensures that only one session is created.
pub async fn create(address: &str, program: &Program, key: &str) -> Result<String> {
    let body = program.request();
    let attempts = async {
        loop {
            if let Ok(answer) = request(address, "POST", "/sessions", Some(key), Some(&body)).await {
                match answer.status {
                    201 => {
                        return answer.body["id"]
                            .as_str()
                            .map(str::to_owned)
                            .context("the session has no id");
                    }
                    409 | 503 => {} // the session is being created, or the server is stopping
                    status => bail!("the creation was answered {status}: {}", answer.body),
                }
            }
            sleep(Duration::from_millis(fastrand::u64(5..50))).await;
        }
    };
    timeout(SESSION_TIMEOUT, attempts).await.context("a session could not be created")?
}

/// Follows a session to its end. Sends `inputs` numbered lines, spread over the time `spread`, and
/// then the end of input.
pub async fn follow(address: &str, id: &str, inputs: u64, spread: Duration) -> Result<ClientReport> {
    let (_sender, may_end) = watch::channel(true);
    follow_until(address, id, inputs, spread, may_end).await
}

/// Like [`follow`], but sends the end of input only once `may_end` is true.
pub async fn follow_until(
    address: &str,
    id: &str,
    inputs: u64,
    spread: Duration,
    may_end: watch::Receiver<bool>,
) -> Result<ClientReport> {
    let began = Instant::now();
    let mut report = ClientReport { id: id.to_owned(), ..ClientReport::default() };
    let mut inputs = Inputs { count: inputs, spread, began, acknowledged: 0, sent: 0, may_end };
    while report.transcript.exit.is_none() {
        if began.elapsed() > SESSION_TIMEOUT {
            bail!("session {id} did not end; its last entry is {}", report.transcript.after);
        }
        if let Ok(Ok(mut stream)) =
            timeout(SESSION_TIMEOUT, Stream::connect(address, id, report.transcript.after)).await
        {
            report.connections += 1;
            inputs.sent = inputs.acknowledged; // redelivers what was not acknowledged
            exchange_messages(&mut stream, &mut report, &mut inputs).await?;
        }
        sleep(Duration::from_millis(fastrand::u64(5..50))).await;
    }
    Ok(report)
}

/// The inputs that a client sends in order: numbered lines, and then the end of input.
struct Inputs {
    count: u64,
    spread: Duration,
    began: Instant,
    /// How many inputs were acknowledged. Acks arrive in the order of the inputs.
    acknowledged: u64,
    /// How many inputs were sent on this connection, or acknowledged before it.
    sent: u64,
    /// Whether the end of input may be sent.
    may_end: watch::Receiver<bool>,
}

impl Inputs {
    /// Waits until the next input is due. Never returns after the last input.
    async fn wait_until_due(&mut self) {
        let due = self.began + self.spread.mul_f64(self.sent as f64 / (self.count + 1) as f64);
        match self.sent.cmp(&self.count) {
            Ordering::Less => sleep_until(due).await,
            // The result is an error if the sender was dropped, which permits the end too.
            Ordering::Equal => drop(self.may_end.wait_for(|may_end| *may_end).await),
            Ordering::Greater => std::future::pending().await,
        }
    }

    /// The next input message.
    fn next_message(&self) -> Value {
        match self.sent {
            end if end == self.count => json!({"msgtype": "input", "data": "", "eof": true, "id": end}),
            number => json!({"msgtype": "input", "data": format!("{number}\n"), "id": number}),
        }
    }
}

/// Sends inputs and receives messages until the connection ends.
async fn exchange_messages(
    stream: &mut Stream,
    report: &mut ClientReport,
    inputs: &mut Inputs,
) -> Result<()> {
    loop {
        let received = tokio::select! {
            received = stream.next() => received,
            () = inputs.wait_until_due() => {
                let input = inputs.next_message();
                // One input in four is sent twice, as by a client that missed the ack.
                let times = if fastrand::u8(..4) == 0 { 2 } else { 1 };
                for _ in 0..times {
                    report.inputs_sent += 1;
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
                        let id = message["id"].as_u64().context("an ack has no id")?;
                        inputs.acknowledged = inputs.acknowledged.max(id + 1);
                    }
                    // A program that has read its end of input may have exited before a
                    // redelivery.
                    Some("error")
                        if inputs.acknowledged <= inputs.count && report.transcript.exit.is_none() =>
                    {
                        let error = message["error"].as_str().unwrap_or_default();
                        if !error.contains("ended") && !error.contains("closed") {
                            bail!("an input was refused: {message}");
                        }
                    }
                    _ => {}
                }
                report.transcript.add(&message).with_context(|| format!("session {}", report.id))?;
            }
            Received::Closed(1000) if report.transcript.exit.is_none() => {
                bail!("the stream was closed before the session's end")
            }
            Received::Closed(_) | Received::Cut => return Ok(()),
        }
    }
}
