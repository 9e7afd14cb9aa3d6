//! A server to be killed and started again, with a data directory of its own.

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

use crate::Common;

/// How to start it.
#[derive(Clone)]
pub struct Options {
    pub binary: PathBuf,
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
    /// The most descriptors it may have.
    pub descriptors_max: Option<u64>,
}

impl Options {
    pub fn new(common: &Common) -> Self {
        Self { binary: common.binary.clone(), arguments: vec![], descriptors_max: None }
    }

    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }
}

pub struct Server {
    options: Options,
    data: Data,
    address: String,
    child: Option<Child>,
}

enum Data {
    Own(tempfile::TempDir),
    Given(PathBuf),
}

impl Server {
    /// Starts a server on fresh data.
    pub fn start(options: Options) -> Result<Self> {
        Self::start_on(options, Data::Own(tempfile::tempdir()?))
    }

    /// Starts a server on data that is there already.
    pub fn start_in(options: Options, data: &Path) -> Result<Self> {
        Self::start_on(options, Data::Given(data.to_owned()))
    }

    fn start_on(options: Options, data: Data) -> Result<Self> {
        // The port stays its own: nobody else on a test machine takes one that was just given out.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut server = Self { options, data, address, child: None };
        server.start_again()?;
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

    /// Starts it after it was killed or stopped, on the same data and address; returns how long it took until it served.
    pub fn start_again(&mut self) -> Result<Duration> {
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
            .args(["serve", "--listen", &self.address, "--data-dir"])
            .arg(self.data())
            .args(&self.options.arguments);
        command.env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "off".into()));
        let mut child = command.stdout(Stdio::piped()).spawn().context("the binary does not start")?;
        let stdout = child.stdout.take().context("no pipe")?;
        self.child = Some(child);
        match BufReader::new(stdout).lines().next() {
            Some(Ok(line)) if line.contains("listens on") => Ok(began.elapsed()),
            other => bail!("the server does not say where it listens, but {other:?}"),
        }
    }

    /// Takes another binary from the next start on.
    pub fn set_binary(&mut self, binary: &Path) {
        self.options.binary = binary.to_owned();
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.child.take().context("the server does not run")?.wait()?)
    }

    pub fn signal(&self, signal: Signal) {
        signal_pid(self.pid(), signal);
    }

    /// The process that supervises a session.
    pub fn supervisor(&self, id: &str) -> Option<u32> {
        let state = fs::read(self.data().join("sessions").join(id).join("state.json")).ok()?;
        let state: Value = serde_json::from_slice(&state).ok()?;
        u32::try_from(state["pid"].as_u64()?).ok()
    }
}

/// Sends a signal to a process; one that is gone needs none.
pub fn signal_pid(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Ends what still runs: sessions outlive a server.
impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        for stopped in crate::machine::descendants(self.pid()) {
            signal_pid(stopped, Signal::CONT);
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
                signal_pid(pid, Signal::CONT);
                signal_pid(pid, Signal::KILL);
            }
        }
        crate::machine::remove_cgroups(self.data());
    }
}
