//! The well-behaved user beside the attack. It works as a person and a page do: it runs small
//! programs, lists its sessions and types into a running program, each at a regular pace. It
//! checks every byte that it gets, and counts what is not as expected as a loss.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use crate::{
    client::{ANSWER_TIMEOUT, Caller, Connection, contains, frame, opcode, session_id},
    server::Server,
    stats::Samples,
};

/// The address of the neighbour if it is a guest.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);
/// How often it runs a small program, in milliseconds.
const RUN_INTERVAL_MS: u64 = 40;
/// How often it lists its sessions, in milliseconds.
const LIST_INTERVAL_MS: u64 = 20;
/// How often it types a line, in milliseconds.
const ECHO_INTERVAL_MS: u64 = 10;

/// A program that prints numbered lines until it gets input, and then their number.
const WITNESS: &str = "\
import select, sys
n = 0
while not select.select([sys.stdin], [], [], 0.02)[0]:
    print('line', n, flush=True)
    n += 1
print('end', n)
";

/// The kinds of request that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// From `POST /sessions` to 201.
    Create,
    /// `GET /sessions` on a connection of its own.
    List,
    /// From `POST /sessions` to the first `write` of the stream.
    FirstOutput,
    /// From a line that is typed to its echo on a websocket.
    Echo,
}

impl Operation {
    pub const ALL: [Self; 4] = [Self::Create, Self::List, Self::FirstOutput, Self::Echo];

    pub fn name(self) -> &'static str {
        ["create", "list", "first output", "echo"][self as usize]
    }

    fn interval_ms(self) -> u64 {
        [RUN_INTERVAL_MS, LIST_INTERVAL_MS, RUN_INTERVAL_MS, ECHO_INTERVAL_MS][self as usize]
    }
}

/// The samples of one phase, one set for each operation.
#[derive(Clone, Debug, Default)]
pub struct Figures([Samples; 4]);

impl Figures {
    pub fn of(&self, operation: Operation) -> &Samples {
        &self.0[operation as usize]
    }
}

/// The neighbour's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A guest with an address of its own.
    Guest,
    /// The local user.
    Local,
    /// 49 users, each at an address of its own, who run programs one after the other. The first of
    /// them also does the rest.
    Users,
}

/// How many users there are besides the one who attacks.
const USERS: u8 = 49;

/// The neighbour, with its sessions.
pub struct Neighbour {
    shared: Arc<Shared>,
    /// The session into which it types, with its websocket.
    echo: Arc<tokio::sync::Mutex<Echo>>,
    /// A session that prints during the whole row.
    witness: String,
    /// A session that ended before the attack. It must be kept.
    kept: String,
}

struct Shared {
    caller: Caller,
    /// The callers that run programs in turn.
    runners: Vec<Caller>,
    figures: Mutex<Figures>,
    losses: Mutex<BTreeMap<String, u64>>,
}

struct Echo {
    session: String,
    websocket: Option<Connection>,
    typed: u64,
}

impl Shared {
    /// Records how an operation went. An error is a loss; it also counts with its time if it kept
    /// the neighbour from the next operation.
    fn record(&self, operation: Operation, began: Instant, result: &Result<()>) {
        let took_ms = began.elapsed().as_secs_f64() * 1000.0;
        let interval_ms = operation.interval_ms() as f64;
        if result.is_ok() || took_ms > interval_ms {
            lock(&self.figures).0[operation as usize].record(took_ms, interval_ms);
        }
        if let Err(error) = result {
            self.lose(&format!("{}: {error:#}", operation.name()));
        }
    }

    fn lose(&self, what: &str) {
        *lock(&self.losses).entry(what.to_owned()).or_default() += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Neighbour {
    /// Creates the neighbour's sessions.
    pub async fn start(server: &Server, kind: Kind) -> Result<Self> {
        let runners = match kind {
            Kind::Guest => vec![Caller::guest(server.address(), ADDRESS).with_token(0)],
            Kind::Local => vec![Caller::local(server.address())],
            Kind::Users => {
                let mut users = vec![];
                for number in 0..USERS {
                    let token = server.new_tokens(&format!("user-{number}"), 1).await?.concat();
                    let from = Ipv4Addr::new(127, 0, 1, 1 + number);
                    users.push(Caller::user(server.address(), from, token));
                }
                users
            }
        };
        let caller = runners.first().context("there is a caller")?.clone();
        let kept = caller.create(&json!({"runtime": "bash", "code": "echo kept"})).await?;
        caller.wait_for_end(&kept).await?;
        let witness = caller.create(&json!({"runtime": "python", "code": WITNESS})).await?;
        let session = caller.create(&json!({"runtime": "bash", "command": ["cat"], "code": ""})).await?;
        let shared = Shared { caller, runners, figures: Mutex::default(), losses: Mutex::default() };
        let echo = Echo { session, websocket: None, typed: 0 };
        let echo = Arc::new(tokio::sync::Mutex::new(echo));
        Ok(Self { shared: Arc::new(shared), echo, witness, kept })
    }

    /// Works for `duration`, and returns what was measured. An operation that does not end in time
    /// is waited for.
    pub async fn work(&self, duration: Duration) -> Figures {
        *lock(&self.shared.figures) = Figures::default();
        let deadline = Instant::now() + duration;
        let tasks = [
            tokio::spawn(run_programs(Arc::clone(&self.shared), deadline)),
            tokio::spawn(list_sessions(Arc::clone(&self.shared), self.witness.clone(), deadline)),
            tokio::spawn(type_lines(Arc::clone(&self.shared), Arc::clone(&self.echo), deadline)),
        ];
        for task in tasks {
            if let Err(error) = task.await {
                self.shared.lose(&format!("the neighbour failed: {error}"));
            }
        }
        std::mem::take(&mut *lock(&self.shared.figures))
    }

    /// Ends the neighbour's sessions, and returns what was lost, with the number of times.
    pub async fn finish(self) -> BTreeMap<String, u64> {
        if let Err(error) = check_witness(&self.shared.caller, &self.witness).await {
            self.shared.lose(&format!("witness: {error:#}"));
        }
        if let Err(error) = check_kept(&self.shared.caller, &self.kept).await {
            self.shared.lose(&format!("kept session: {error:#}"));
        }
        let echo = self.echo.lock().await;
        for id in [&self.witness, &self.kept, &echo.session] {
            let _ = self.shared.caller.send("DELETE", &format!("/sessions/{id}"), &[]).await;
        }
        std::mem::take(&mut *lock(&self.shared.losses))
    }
}

/// Runs small programs one after another.
async fn run_programs(shared: Arc<Shared>, deadline: Instant) {
    let body = json!({"runtime": "python", "code": "print('hello')"}).to_string();
    let request = |caller: &Caller| caller.request("POST", "/sessions", body.as_bytes());
    let mut runners: Vec<_> = shared.runners.iter().map(|caller| (caller, request(caller), None)).collect();
    let mut turn = 0;
    let mut ticks = interval(Duration::from_millis(RUN_INTERVAL_MS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while Instant::now() < deadline {
        ticks.tick().await;
        let count = runners.len();
        let (caller, request, connection) = &mut runners[turn % count];
        turn += 1;
        if run_program(&shared, caller, request, connection).await.is_none() {
            *connection = None;
        }
    }
}

/// Runs one small program. Returns `None` if something went wrong; the loss is recorded then.
async fn run_program(
    shared: &Shared,
    caller: &Caller,
    request: &[u8],
    kept: &mut Option<Connection>,
) -> Option<()> {
    let began = Instant::now();
    let create = async {
        let connection = match kept {
            Some(connection) => connection,
            None => kept.insert(caller.connect().await?),
        };
        let (status, body) = connection.exchange(request).await?;
        ensure!(status == 201, "answered {status} {}", code(&body));
        session_id(&body)
    };
    let id = create.await;
    let result = id.as_ref().map(drop).map_err(|error| anyhow::anyhow!("{error:#}"));
    shared.record(Operation::Create, began, &result);
    let id = id.ok()?;
    let connection = kept.as_mut()?;
    let mut is_recorded = false;
    let read = async {
        let accept = "accept: application/x-ndjson\r\n\r\n";
        let request = caller.head("GET", &format!("/sessions/{id}/stream"), accept);
        connection.write(request.as_bytes()).await?;
        let head = connection.read_head().await?;
        ensure!(head.status == 200, "the stream answered {}", head.status);
        let mut lines = vec![];
        while let Some(chunk) = connection.read_chunk().await? {
            lines.extend_from_slice(chunk);
            if !is_recorded && contains(&lines, br#""msgtype":"write""#) {
                is_recorded = true;
                shared.record(Operation::FirstOutput, began, &Ok(()));
            }
        }
        let is_whole = contains(&lines, br#""data":"hello\n""#) && contains(&lines, br#""exitstatus":0"#);
        ensure!(is_whole, "the program printed {}", String::from_utf8_lossy(&lines));
        let (status, _) =
            connection.exchange(&caller.request("DELETE", &format!("/sessions/{id}"), &[])).await?;
        ensure!(status == 204, "the deletion answered {status}");
        Ok(())
    };
    let result =
        timeout(2 * ANSWER_TIMEOUT, read).await.context("the program did not end").and_then(|read| read);
    if result.is_err() {
        // Deletes what may still run, so that it does not weigh on the measurements that follow.
        let _ = caller.send("DELETE", &format!("/sessions/{id}"), &[]).await;
    }
    match (is_recorded, result) {
        (true, Err(error)) => shared.lose(&format!("{}: {error:#}", Operation::FirstOutput.name())),
        (false, result) => shared.record(Operation::FirstOutput, began, &result),
        (true, Ok(())) => return Some(()),
    }
    None
}

/// The error code in a problem document, for the report.
pub fn code(body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    problem["code"].as_str().unwrap_or("without a code").to_owned()
}

/// Lists the neighbour's sessions, as often as its page is loaded. One of them must be there.
async fn list_sessions(shared: Arc<Shared>, session: String, deadline: Instant) {
    let mut ticks = interval(Duration::from_millis(LIST_INTERVAL_MS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while Instant::now() < deadline {
        ticks.tick().await;
        let began = Instant::now();
        let list = async {
            let (status, body) = shared.caller.send("GET", "/sessions", &[]).await?;
            ensure!(status == 200, "answered {status} {}", code(&body));
            ensure!(contains(&body, session.as_bytes()), "a session is missing in the list");
            Ok(())
        };
        shared.record(Operation::List, began, &list.await);
    }
}

/// Types lines into the running program, and waits for the echo of each.
async fn type_lines(shared: Arc<Shared>, echo: Arc<tokio::sync::Mutex<Echo>>, deadline: Instant) {
    let mut echo = echo.lock().await;
    let mut ticks = interval(Duration::from_millis(ECHO_INTERVAL_MS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while Instant::now() < deadline {
        ticks.tick().await;
        if echo.websocket.is_none() {
            let path = format!("/sessions/{}/stream?after={}", echo.session, echo.typed);
            match shared.caller.websocket(&path).await {
                Ok(websocket) => echo.websocket = Some(websocket),
                Err(error) => {
                    shared.lose(&format!("echo: the websocket cannot be opened: {error:#}"));
                    continue;
                }
            }
        }
        let began = Instant::now();
        let typed =
            timeout(ANSWER_TIMEOUT, type_line(&mut echo)).await.context("no echo").and_then(|typed| typed);
        shared.record(Operation::Echo, began, &typed);
        if typed.is_err() {
            echo.websocket = None;
        }
    }
}

async fn type_line(echo: &mut Echo) -> Result<()> {
    echo.typed += 1;
    let line = format!("key {}\\n", echo.typed);
    let message = format!(r#"{{"msgtype":"input","id":{},"data":"{line}"}}"#, echo.typed);
    let websocket = echo.websocket.as_mut().context("no websocket")?;
    websocket.write(&frame(opcode::TEXT, message.as_bytes())).await?;
    loop {
        let (kind, payload) = websocket.read_frame().await?;
        if kind == opcode::PING {
            let pong = frame(opcode::PONG, payload);
            websocket.write(&pong).await?;
        } else if kind == opcode::CLOSE {
            let code = payload.get(..2).map_or(0, |code| u16::from_be_bytes([code[0], code[1]]));
            bail!("the websocket was closed with {code}");
        } else if contains(payload, br#""msgtype":"error""#) {
            // The line was not taken. It is typed again.
            echo.typed -= 1;
            bail!("input was refused: {}", code(payload));
        } else if contains(payload, br#""msgtype":"write""#) {
            let is_echo = contains(payload, line.as_bytes());
            ensure!(is_echo, "the echo of {line} is {}", String::from_utf8_lossy(payload));
            return Ok(());
        }
    }
}

/// Ends the session that printed numbered lines, and checks that every line is there.
async fn check_witness(caller: &Caller, id: &str) -> Result<()> {
    let mut websocket = caller.websocket(&format!("/sessions/{id}/stream?after=1000000000")).await?;
    websocket.write(&frame(opcode::TEXT, br#"{"msgtype":"input","id":1,"data":"\n"}"#)).await?;
    let document = timeout(ANSWER_TIMEOUT, caller.wait_for_end(id)).await.context("it did not end")??;
    ensure!(document["outcome"] == "exited", "its outcome is {}", document["outcome"]);
    let (mut text, mut numbers) = (String::new(), 0);
    for message in read_lines(caller, id).await? {
        match message["msgtype"].as_str() {
            Some("welcome") => continue,
            Some("gap") => bail!("a gap: {message}"),
            Some("write") => text += message["data"].as_str().unwrap_or_default(),
            _ => {}
        }
        numbers += 1;
        ensure!(message["seq"] == numbers, "entry {numbers} is {message}");
    }
    let lines: Vec<&str> = text.lines().collect();
    let count = lines.len().saturating_sub(1);
    for (number, line) in lines[..count].iter().enumerate() {
        ensure!(*line == format!("line {number}"), "line {number} is {line:?}");
    }
    ensure!(lines.last() == Some(&&*format!("end {count}")), "{count} lines end with {:?}", lines.last());
    Ok(())
}

/// Checks that an ended session is still there, with its output.
async fn check_kept(caller: &Caller, id: &str) -> Result<()> {
    let lines = read_lines(caller, id).await?;
    ensure!(lines.iter().any(|message| message["data"] == "kept\n"), "its output is gone: {lines:?}");
    Ok(())
}

/// Reads a session's whole stream.
async fn read_lines(caller: &Caller, id: &str) -> Result<Vec<Value>> {
    let mut connection = caller.connect().await?;
    let accept = "accept: application/x-ndjson\r\n\r\n";
    let request = caller.head("GET", &format!("/sessions/{id}/stream?after=0"), accept);
    let (status, body) = connection.exchange(request.as_bytes()).await?;
    ensure!(status == 200, "its stream answered {status} {}", code(&body));
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| Ok(serde_json::from_slice(line)?)).collect()
}
