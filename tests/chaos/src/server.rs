//! A server with a data directory of its own. Tests kill, stop and restart it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::options::CommonOptions;

/// How the server is started.
#[derive(Clone)]
pub struct ServerOptions {
    pub binary: PathBuf,
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
    /// The limit of the server's descriptors.
    pub descriptors_max: Option<u64>,
}

impl ServerOptions {
    pub fn new(common: &CommonOptions) -> Self {
        Self { binary: common.binary.clone(), arguments: vec![], descriptors_max: None }
    }

    /// Adds arguments.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }
}

/// A server, running or not.
pub struct Server {
    options: ServerOptions,
    data: Data,
    address: String,
    child: Option<Child>,
}

/// The server's data directory.
enum Data {
    /// A temporary directory that is removed with the server.
    Own(tempfile::TempDir),
    /// A directory that existed before.
    Given(PathBuf),
}

impl Server {
    /// Starts a server with an empty data directory.
    pub fn start(options: ServerOptions) -> Result<Self> {
        Self::start_on(options, Data::Own(tempfile::tempdir()?))
    }

    /// Starts a server with an existing data directory.
    pub fn start_in(options: ServerOptions, data: &Path) -> Result<Self> {
        Self::start_on(options, Data::Given(data.to_owned()))
    }

    fn start_on(options: ServerOptions, data: Data) -> Result<Self> {
        // The port is released here and used again below. The kernel does not assign it to others
        // soon.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut server = Self { options, data, address, child: None };
        server.restart()?;
        Ok(server)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn data(&self) -> &Path {
        match &self.data {
            Data::Own(folder) => folder.path(),
            Data::Given(folder) => folder,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Starts the server with the same data directory and address as before. Returns the time
    /// until it accepted connections.
    pub fn restart(&mut self) -> Result<Duration> {
        let began = Instant::now();
        let mut command = match self.options.descriptors_max {
            None => Command::new(&self.options.binary),
            Some(max) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={max}")).arg(&self.options.binary);
                command
            }
        };
        command
            // Nothing but the sessions of the test runs.
            .env("LIVECODE_RUNTIME_CHECK_IDLE_MS", "0")
            .args(["serve", "--listen", &self.address, "--data-dir"])
            .arg(self.data())
            .args(&self.options.arguments);
        command.env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "off".into()));
        let mut child = command.stdout(Stdio::piped()).spawn().context("start the binary")?;
        let stdout = child.stdout.take().context("the server has no pipe")?;
        self.child = Some(child);
        match BufReader::new(stdout).lines().next() {
            Some(Ok(line)) if line.contains("listens on") => Ok(began.elapsed()),
            other => bail!("the server printed {other:?} instead of its address"),
        }
    }

    /// Sets the binary for the next start.
    pub fn set_binary(&mut self, binary: &Path) {
        self.options.binary = binary.to_owned();
    }

    /// Kills the server, as a crash would, and waits until it has exited.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the server to stop, with SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until the server has exited.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.child.take().context("the server does not run")?.wait()?)
    }

    /// Sends a signal to the server.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// The process number of a session's supervisor, from `state.json`.
    pub fn supervisor(&self, id: &str) -> Option<u32> {
        let state = fs::read(self.data().join("sessions").join(id).join("state.json")).ok()?;
        let state: Value = serde_json::from_slice(&state).ok()?;
        u32::try_from(state["pid"].as_u64()?).ok()
    }
}

/// Sends a signal to a process. The process may be gone already.
pub fn send_signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Kills the server and the supervisors of its sessions, which outlive the server.
impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        for descendant in crate::machine::descendants(self.pid()) {
            send_signal(descendant, Signal::CONT);
        }
        let sessions = fs::read_dir(self.data().join("sessions"));
        let ids: Vec<_> = sessions
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        self.kill();
        for id in ids {
            if let Some(pid) = self.supervisor(&id)
                && crate::machine::has_open(pid, self.data())
            {
                send_signal(pid, Signal::CONT);
                send_signal(pid, Signal::KILL);
            }
        }
        crate::machine::remove_cgroups(self.data());
    }
}
