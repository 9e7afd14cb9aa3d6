//! The cost of each thing that the server holds: memory of the server, memory of other processes
//! of LiveCode, descriptors of the server, room on the disk. Many of a kind are made at once; the
//! growth is divided by their number.

use std::{fs, net::Ipv4Addr, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    attacks::{
        lists::make_kept_sessions,
        streams::{first_message, make_journal},
    },
    client::{Caller, Connection},
    machine,
    server::{Server, ServerOptions},
};

const MIB: u64 = 1024 * 1024;
/// How long the server may take until its figures no longer change.
const STEADY_TIMEOUT: Duration = Duration::from_secs(10);

/// The cost of one thing. A part that was not measured is absent.
#[derive(Default)]
struct Cost {
    what: &'static str,
    /// How many were held at once.
    count: u64,
    /// Anonymous memory of the server, in bytes.
    server_bytes: Option<f64>,
    /// Memory of LiveCode's other processes, in bytes.
    process_bytes: Option<f64>,
    descriptors: Option<f64>,
    disk_bytes: Option<f64>,
    /// CPU time of the server to make one and end it, in milliseconds.
    cpu_ms: Option<f64>,
}

impl Cost {
    fn line(&self) -> String {
        let show = |value: Option<f64>, unit: f64, decimals: usize| {
            value.map_or("-".to_owned(), |value| format!("{:.decimals$}", (value / unit).max(0.0)))
        };
        format!(
            "{:<44} {:>6} {:>12} {:>12} {:>12} {:>10} {:>8}",
            self.what,
            self.count,
            show(self.server_bytes, 1024.0, 1),
            show(self.process_bytes, 1024.0, 0),
            show(self.descriptors, 1.0, 1),
            show(self.disk_bytes, 1024.0, 1),
            show(self.cpu_ms, 1.0, 2),
        )
    }
}

/// The server's figures at one moment.
#[derive(Clone, Copy)]
struct Held {
    memory_bytes: u64,
    descriptors: u64,
    cpu_ms: u64,
}

impl Held {
    fn of(server: &Server) -> Self {
        let pid = server.pid();
        Self {
            memory_bytes: machine::memory_bytes(pid),
            descriptors: machine::descriptors(pid),
            cpu_ms: machine::cpu_ms(pid),
        }
    }

    /// What `count` things cost that were made since `before`.
    fn cost_since(self, before: Self, what: &'static str, count: u64) -> Cost {
        let each = |now: u64, before: u64| Some((now as f64 - before as f64) / count as f64);
        Cost {
            what,
            count,
            server_bytes: each(self.memory_bytes, before.memory_bytes),
            descriptors: each(self.descriptors, before.descriptors),
            cpu_ms: each(self.cpu_ms, before.cpu_ms),
            ..Cost::default()
        }
    }
}

/// Prints the table of costs.
pub async fn measure(command: &crate::Command) -> Result<bool> {
    let binary = command.binary.canonicalize().context("the binary is missing")?;
    let count = |full: u64, short: u64| if command.short { short } else { full };
    println!("memory and disk in KiB, CPU in ms of the server, each for one of `count`\n");
    println!(
        "{:<44} {:>6} {:>12} {:>12} {:>12} {:>10} {:>8}",
        "what is held", "count", "server, KiB", "others, KiB", "descriptors", "disk, KiB", "CPU, ms"
    );
    let options = |settings: &[(&'static str, &str)]| ServerOptions {
        binary: binary.clone(),
        settings: settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        ..ServerOptions::default()
    };
    for kind in HeldConnection::ALL {
        // A server of its own for each: memory that was freed would be used again.
        let server = Server::start(&options(&[("HEADER_TIMEOUT_MS", "600000")]))?;
        let measured = measure_connections(&server, kind, count(300, 20)).await;
        server.stop().await;
        measured?;
    }

    let plain = Server::start(&options(&[]))?;
    let measured = measure_sessions(&plain, count(40, 4), count(200, 10)).await;
    plain.stop().await;
    measured?;

    let queueing = Server::start(&options(&[("SESSIONS_RUNNING_MAX", "1")]))?;
    let measured = measure_queue(&queueing, count(500, 10)).await;
    queueing.stop().await;
    measured?;

    let mut keeping = Server::start(&options(&[("KEEP_PER_ADDRESS_MAX", "1000000")]))?;
    let measured = measure_kept(&mut keeping, count(5000, 50)).await;
    keeping.stop().await;
    measured.map(|()| true)
}

/// Waits until the server's memory has been the same for a while.
async fn settle(server: &Server) -> Held {
    let deadline = Instant::now() + STEADY_TIMEOUT;
    let mut held = Held::of(server);
    loop {
        sleep(Duration::from_millis(300)).await;
        let now = Held::of(server);
        let is_steady = now.memory_bytes.abs_diff(held.memory_bytes) < 64 * 1024
            && now.descriptors == held.descriptors
            && now.cpu_ms - held.cpu_ms <= 10;
        held = now;
        if is_steady || Instant::now() > deadline {
            return held;
        }
    }
}

/// A guest that spreads its connections over addresses, so that no bound of one address is met.
fn guest(server: &Server, index: u64) -> Caller {
    Caller::guest(server.address(), Ipv4Addr::new(127, 0, 2, (index % 16) as u8 + 1))
        .with_token(index % 16 + 1)
}

/// A kind of connection that a client may hold.
#[derive(Clone, Copy)]
enum HeldConnection {
    Silent,
    KeptAlive,
    Livecode,
    Websocket,
    Events,
}

impl HeldConnection {
    const ALL: [Self; 5] = [Self::Silent, Self::KeptAlive, Self::Livecode, Self::Websocket, Self::Events];

    fn what(self) -> &'static str {
        match self {
            Self::Silent => "a connection that has sent nothing",
            Self::KeptAlive => "a connection after a request, kept alive",
            Self::Livecode => "a websocket of /livecode without a program",
            Self::Websocket => "a watcher of a running session, websocket",
            Self::Events => "the same, server-sent events",
        }
    }

    /// Opens a connection of this kind; `session` is running.
    async fn open(self, caller: &Caller, session: &str) -> Result<Connection> {
        let stream = format!("/sessions/{session}/stream");
        match self {
            Self::Silent => caller.connect().await,
            Self::KeptAlive => {
                let mut connection = caller.connect().await?;
                let (status, _) = connection.exchange(&caller.request("GET", "/healthz", &[])).await?;
                ensure!(status == 200, "/healthz answered {status}");
                Ok(connection)
            }
            Self::Livecode | Self::Websocket => {
                let path = if matches!(self, Self::Livecode) { "/livecode" } else { &stream };
                let mut websocket = caller.websocket(path).await?;
                websocket.read_frame().await?;
                Ok(websocket)
            }
            Self::Events => {
                let mut connection = caller.connect().await?;
                let head = caller.head("GET", &stream, "accept: text/event-stream\r\n\r\n");
                connection.write(head.as_bytes()).await?;
                ensure!(connection.read_head().await?.status == 200, "the events were refused");
                Ok(connection)
            }
        }
    }
}

/// Opens many connections of one kind.
async fn measure_connections(server: &Server, kind: HeldConnection, count: u64) -> Result<()> {
    let owner = guest(server, 0);
    let session = owner.create(&json!({"runtime": "bash", "code": "echo 1; sleep 300"})).await?;
    first_message(&owner, &format!("/sessions/{session}/stream")).await?;
    let before = settle(server).await;
    let mut held = vec![];
    for index in 0..count {
        // Nobody else sees the sessions of a guest with a token.
        let caller = Caller { token: owner.token.clone(), ..guest(server, index) };
        held.push(kind.open(&caller, &session).await?);
    }
    println!("{}", settle(server).await.cost_since(before, kind.what(), count).line());
    Ok(())
}

/// The memory of a supervisor or worker with its sandbox, without programs, in bytes, and whether
/// an interpreter is in the sandbox. `None` without a sandbox.
fn sandbox_bytes(supervisor: u32) -> Option<(u64, bool)> {
    let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    // The supervisor holds a pidfd of init (proc_pid_fdinfo(5)).
    let infos = fs::read_dir(format!("/proc/{supervisor}/fdinfo")).ok()?.flatten();
    let texts = infos.filter_map(|info| fs::read_to_string(info.path()).ok());
    let init = texts.filter_map(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let mut numbers = line.split_whitespace();
        let pid: u32 = numbers.next()?.parse().ok()?;
        numbers.next().and(Some(pid))
    });
    let init = init.last()?;
    let is_interpreter = name(init).starts_with("python");
    Some((machine::pss_bytes(supervisor) + machine::pss_bytes(init), is_interpreter))
}

/// The supervisors and workers of a server.
fn supervisors(server: &Server) -> Vec<u32> {
    let is_supervisor = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "livecode-super")
    };
    machine::descendants(server.pid()).into_iter().filter(is_supervisor).collect()
}

/// The server itself, running sessions, warm sandboxes, ended sessions, the compile cache.
async fn measure_sessions(server: &Server, running: u64, ended: u64) -> Result<()> {
    let caller = |index| guest(server, index);
    caller(0).wait_for_end(&caller(0).create(&json!({"runtime": "python", "code": "1"})).await?).await?;
    let before = settle(server).await;
    println!(
        "{}",
        Cost {
            what: "the server itself, idle",
            count: 1,
            server_bytes: Some(before.memory_bytes as f64),
            process_bytes: Some(spawner_bytes(server)),
            descriptors: Some(before.descriptors as f64),
            ..Cost::default()
        }
        .line()
    );
    for (what, is_interpreter) in
        [("a warm sandbox", false), ("a warm sandbox with Python's interpreter", true)]
    {
        let warm: Vec<u64> = supervisors(server)
            .into_iter()
            .filter_map(sandbox_bytes)
            .filter_map(|(bytes, is_python)| (is_python == is_interpreter).then_some(bytes))
            .collect();
        if !warm.is_empty() {
            let bytes = warm.iter().sum::<u64>() as f64 / warm.len() as f64;
            let count = warm.len() as u64;
            println!("{}", Cost { what, count, process_bytes: Some(bytes), ..Cost::default() }.line());
        }
    }

    let mut ids = vec![];
    for index in 0..running {
        let caller = caller(index);
        let id = caller.create(&json!({"runtime": "bash", "code": "echo 1; exec sleep 300"})).await?;
        first_message(&caller, &format!("/sessions/{id}/stream")).await?;
        ids.push(id);
    }
    let mut cost = settle(server).await.cost_since(before, "a running session, without its program", running);
    let supervisors = ids.iter().filter_map(|id| server.supervisor(id));
    let bytes: u64 = supervisors.filter_map(sandbox_bytes).map(|(bytes, _)| bytes).sum();
    cost.process_bytes = Some(bytes as f64 / running as f64);
    cost.disk_bytes = Some(disk_bytes(&server.data().join("sessions")) as f64 / (running + 1) as f64);
    println!("{}", cost.line());
    for (index, id) in ids.iter().enumerate() {
        caller(index as u64).send("DELETE", &format!("/sessions/{id}"), &[]).await?;
    }

    let before = settle(server).await;
    for index in 0..ended {
        let caller = caller(index);
        let id = caller.create(&json!({"runtime": "bash", "code": "echo 1"})).await?;
        caller.wait_for_end(&id).await?;
    }
    let mut cost = settle(server).await.cost_since(before, "an ended session with one line of output", ended);
    cost.server_bytes = None; // memory of the sessions above is used again; see the kept sessions
    cost.disk_bytes = Some(disk_bytes(&server.data().join("sessions")) as f64 / (ended + 1) as f64);
    println!("{}", cost.line());

    let disk_before = disk_bytes(&server.data().join("sessions"));
    make_journal(&caller(0), 8 * MIB).await?;
    let disk = disk_bytes(&server.data().join("sessions")) - disk_before;
    let cost = Cost {
        what: "1 MiB of kept output",
        count: 8,
        disk_bytes: Some(disk as f64 / 8.0),
        ..Cost::default()
    };
    println!("{}", cost.line());

    let cache = server.data().join("cache");
    let disk_before = disk_bytes(&cache);
    let id = caller(0).create(&json!({"runtime": "c", "code": "int main(void) { return 0; }"})).await?;
    let document = caller(0).wait_for_end(&id).await?;
    if document["outcome"] == "exited" {
        let disk = disk_bytes(&cache) - disk_before;
        let what = "a compile cache entry of a small C program";
        println!("{}", Cost { what, count: 1, disk_bytes: Some(disk as f64), ..Cost::default() }.line());
    }
    Ok(())
}

/// The memory of the spawners and interpreter zygotes, which are the server's children, in bytes.
fn spawner_bytes(server: &Server) -> f64 {
    machine::children(server.pid()).into_iter().map(machine::pss_bytes).sum::<u64>() as f64
}

/// Sessions that wait for a permit.
async fn measure_queue(server: &Server, count: u64) -> Result<()> {
    let local = Caller::local(server.address());
    let sleeper = local.create(&json!({"runtime": "bash", "code": "echo 1; sleep 300"})).await?;
    first_message(&local, &format!("/sessions/{sleeper}/stream")).await?;
    let before = settle(server).await;
    let disk_before = disk_bytes(&server.data().join("sessions"));
    for _ in 0..count {
        local.create(&json!({"runtime": "bash", "code": "true"})).await?;
    }
    let mut cost = settle(server).await.cost_since(before, "a queued session", count);
    let disk = disk_bytes(&server.data().join("sessions")) - disk_before;
    cost.disk_bytes = Some(disk as f64 / count as f64);
    println!("{}", cost.line());
    Ok(())
}

/// Many kept sessions, and a list of them.
async fn measure_kept(server: &mut Server, count: u64) -> Result<()> {
    let before = settle(server).await;
    make_kept_sessions(server, count).await?;
    let after = settle(server).await;
    let mut cost = after.cost_since(before, "a kept session after a restart of the server", count);
    let disk = disk_bytes(&server.data().join("sessions"));
    cost.disk_bytes = Some(disk as f64 / (count + 1) as f64);
    cost.cpu_ms = None;
    println!("{}", cost.line());
    let local = Caller::local(server.address());
    let before = settle(server).await;
    let (status, body) = local.send("GET", "/sessions", &[]).await?;
    ensure!(status == 200, "the list answered {status}");
    let after = Held::of(server);
    let cost = Cost {
        what: "an entry of the list of sessions, while sent",
        count,
        server_bytes: Some(body.len() as f64 / count as f64),
        cpu_ms: Some((after.cpu_ms - before.cpu_ms) as f64 / count as f64),
        ..Cost::default()
    };
    println!("{}", cost.line());
    Ok(())
}

/// The room that a folder takes on the disk, in bytes.
fn disk_bytes(folder: &Path) -> u64 {
    let own = fs::symlink_metadata(folder).map_or(0, |metadata| metadata.blocks() * 512);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    own + entries.map(|entry| disk_bytes(&entry.path())).sum::<u64>()
}
