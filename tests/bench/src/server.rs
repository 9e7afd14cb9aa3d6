//! A server of the real binary, with data of its own, that is gone with all its programs when it is dropped.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    client::Connection,
    machine::{children, is_interpreter, is_program, is_supervisor, is_up},
};

/// How long the end of what was killed may take to show.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    child: Child,
    address: String,
    _data: tempfile::TempDir,
}

/// Whether sandboxes are kept ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Warm {
    /// As it comes.
    Default,
    /// One of each kind, whatever the demand was.
    One,
    Off,
}

impl Server {
    /// Starts one whose limits no measurement reaches.
    pub fn start(binary: &Path, warm: Warm) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path()).args([
            "--sessions-running-max=4096",
            "--sessions-max=1000000",
            "--sessions-per-owner-max=1000000",
            "--idle-ms=3600000",
            "--wall-ms=3600000",
            "--header-timeout-ms=3600000", // connections are kept while a reference has its turn
        ]);
        command.env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "off".into()));
        match warm {
            Warm::Default => {}
            Warm::One => drop(command.arg("--warm-sandboxes-max=1")),
            Warm::Off => drop(command.env("LIVECODE_WARM", "off")),
        }
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start; `make build` builds it", binary.display()))?;
        let stdout = child.stdout.take().context("no pipe")?;
        let line = BufReader::new(stdout).lines().next().and_then(Result::ok).unwrap_or_default();
        let Some((_, address)) = line.split_once("http://") else {
            let _ = child.kill();
            bail!("the server does not say where it listens: {line:?}");
        };
        let address = address.trim().to_owned();
        Ok(Self { child, address, _data: data })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn end_sessions(&self) -> Result<()> {
        let mut client = Connection::connect(&self.address)?;
        let sessions = client.get("/sessions")?;
        let mut running =
            sessions.as_array().into_iter().flatten().filter(|session| session["state"] != "ended");
        running.try_for_each(|session| client.delete(session["id"].as_str().unwrap_or_default()))
    }

    fn spawners(&self) -> Vec<u32> {
        children(self.pid()).into_iter().filter(|pid| !is_interpreter(*pid)).collect()
    }

    /// Waits until this many sessions run, and beside them one sandbox of each kind waits, and nobody rests: a supervisor each, and
    /// a sandbox that is set up, in which what is to be a copied interpreter is there.
    pub fn await_rest(&self, sessions: usize) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let spawners = self.spawners();
            let supervisors: Vec<u32> =
                spawners.iter().copied().flat_map(children).filter(|pid| is_supervisor(*pid)).collect();
            if supervisors.len() == sessions + spawners.len() && supervisors.iter().all(|pid| is_up(*pid)) {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("{} supervisors for {sessions} sessions after {PATIENCE:?}", supervisors.len());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// LiveCode's own processes (server, spawners, zygotes, supervisors, inits) without the programs.
    pub fn own_processes(&self) -> Vec<u32> {
        let mut found = vec![self.pid()];
        let mut next = 0;
        while let Some(pid) = found.get(next).copied() {
            found.extend(children(pid).into_iter().filter(|pid| !is_program(*pid)));
            next += 1;
        }
        found
    }
}

/// Sessions outlive a server, so they are ended first, by the server: it leaves nothing of them on the machine.
impl Drop for Server {
    fn drop(&mut self) {
        let supervisors: Vec<u32> = self.spawners().into_iter().flat_map(children).collect();
        if let Err(error) = self.end_sessions() {
            eprintln!("some sessions could not be ended, and are killed: {error:#}");
            supervisors.into_iter().for_each(|pid| signal(pid, Signal::KILL));
        }
        signal(self.pid(), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal); // one that is gone needs none
    }
}
