//! The attacker: a process of its own, so that a cgroup can bound it. The bench executes itself as
//! `livecode-siege attack ROW`; the attacker works until its standard input is closed, and then
//! prints what it has done.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{cgroup::Group, client::Caller, rows};

/// The longest life of an attacker, in case that the bench dies or hangs.
const LIFE_MAX: Duration = Duration::from_secs(120);
/// How long an attacker may take to report before it is killed.
const REPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// The name under which attempts are counted that failed.
pub const BROKEN: &str = "broken";

/// A future that an attack or its preparation is.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The facts that an attack needs.
pub struct Attacker {
    pub server: SocketAddr,
    /// The result of the row's preparation, such as the id of a session.
    pub prepared: Value,
    random: Mutex<fastrand::Rng>,
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Attacker {
    /// The attacker's number `index`, a guest with an address of its own from 127.0.0.2 on.
    pub fn caller(&self, index: u8) -> Caller {
        Caller::guest(self.server, Ipv4Addr::new(127, 0, 0, 2 + index))
    }

    /// The first attacker, as the owner of the sessions that the row has prepared.
    pub fn owner(&self) -> Caller {
        owner(self.server)
    }

    /// The attacker's number `index` with a token that it has never used before.
    pub fn caller_with_new_token(&self, index: u8) -> Caller {
        self.caller(index).with_token(self.random(1..u64::MAX))
    }

    /// A random number of this range.
    pub fn random(&self, range: std::ops::Range<u64>) -> u64 {
        lock(&self.random).u64(range)
    }

    /// Counts something for the report.
    pub fn count(&self, what: impl Into<String>) {
        *lock(&self.counts).entry(what.into()).or_default() += 1;
    }

    /// Counts a response by its status, or a request that got none.
    pub fn count_answer(&self, result: &Result<(u16, Vec<u8>)>) {
        match result {
            Ok((status, _)) => self.count(status.to_string()),
            Err(_) => self.count("no answer"),
        }
    }

    /// A text field of what was prepared.
    pub fn prepared_text(&self, name: &str) -> &str {
        self.prepared[name].as_str().unwrap_or_default()
    }
}

/// The stranger who owns what a row prepares. Nobody else sees the sessions of a guest with a
/// token.
pub fn owner(server: SocketAddr) -> Caller {
    Caller::guest(server, Ipv4Addr::new(127, 0, 0, 2)).with_token(1)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs `workers` tasks at once. Each task is repeated whenever it ends.
pub async fn repeat<F>(attacker: Arc<Attacker>, workers: usize, task: fn(Arc<Attacker>, usize) -> F)
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..workers {
        let attacker = Arc::clone(&attacker);
        tasks.spawn(async move {
            loop {
                if task(Arc::clone(&attacker), worker).await.is_err() {
                    attacker.count(BROKEN);
                    // A refused stranger tries again at once, but not without any pause.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// The body of `livecode-siege attack`.
pub fn run(row: &str, server: SocketAddr, seed: u64, prepared: &str) -> Result<()> {
    let row = rows::find(row).with_context(|| format!("there is no row {row}"))?;
    let attacker = Arc::new(Attacker {
        server,
        prepared: serde_json::from_str(prepared)?,
        random: Mutex::new(fastrand::Rng::with_seed(seed)),
        counts: Mutex::default(),
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut vec![]);
        let _ = stop.send(());
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            () = (row.attack)(Arc::clone(&attacker)) => {}
            _ = stopped => {}
            () = tokio::time::sleep(LIFE_MAX) => {}
        }
    });
    let report = serde_json::to_string(&*lock(&attacker.counts))?;
    std::io::stdout().write_all(report.as_bytes())?;
    std::process::exit(0); // closes all connections at once
}

/// A running attacker. It is killed when this value is dropped.
pub struct AttackerProcess(Child);

impl AttackerProcess {
    /// Starts the attack of a row.
    pub fn start(cgroup: &Group, row: &str, server: SocketAddr, seed: u64, prepared: &Value) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["attack", row, &server.to_string(), &seed.to_string(), &prepared.to_string()]);
        let child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start the attacker")?;
        let process = Self(child);
        cgroup.add(process.0.id())?;
        Ok(process)
    }

    /// Ends the attack, and returns what the attacker says that it did.
    pub fn stop(mut self) -> BTreeMap<String, u64> {
        drop(self.0.stdin.take());
        let deadline = Instant::now() + REPORT_TIMEOUT;
        while !matches!(self.0.try_wait(), Ok(Some(_)) | Err(_)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.0.kill();
        let report = self.0.stdout.take().and_then(|output| BufReader::new(output).lines().next());
        report.and_then(Result::ok).and_then(|report| serde_json::from_str(&report).ok()).unwrap_or_default()
    }
}

impl Drop for AttackerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
