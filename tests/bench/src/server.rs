//! A server of the real binary with a data directory of its own. On drop it is stopped, and its
//! sessions are deleted.

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
    machine::{children, is_interpreter, is_program, is_sandbox_set_up, is_supervisor},
};

/// Timeout until the processes of started or deleted sessions have reached their final state.
const STEADY_TIMEOUT: Duration = Duration::from_secs(20);

/// A running server.
pub struct Server {
    child: Child,
    address: String,
    _data: tempfile::TempDir,
}

/// How many warm sandboxes the server keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum WarmSandboxes {
    /// As many as the default settings allow.
    Default,
    /// One for each spawner, whatever the demand was.
    One,
    /// None: every session starts cold.
    Off,
}

/// The callers that a server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// The local user.
    Local,
    /// Users with tokens.
    Users,
}

/// A token of a user, in a data directory without a server.
fn new_token(binary: &Path, data: &Path) -> Result<String> {
    let mut command = Command::new(binary);
    let output = command.args(["token", "create", "bench", "--data-dir"]).arg(data).output()?;
    if !output.status.success() {
        bail!("no token was made: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

impl Server {
    /// Starts a server whose limits no measurement reaches.
    pub fn start(binary: &Path, warm: WarmSandboxes) -> Result<Self> {
        Self::start_for(binary, warm, Callers::Local)
    }

    /// Starts such a server that does not keep the exact order of output.
    pub fn start_inexact(binary: &Path) -> Result<Self> {
        let mut command = Command::new(binary);
        command.env("LIVECODE_EXACT_ORDER", "off");
        Self::start_command(command, binary, WarmSandboxes::Default, Callers::Local)
    }

    /// Starts such a server for callers of one kind.
    pub fn start_for(binary: &Path, warm: WarmSandboxes, callers: Callers) -> Result<Self> {
        Self::start_command(Command::new(binary), binary, warm, callers)
    }

    fn start_command(
        mut command: Command,
        binary: &Path,
        warm: WarmSandboxes,
        callers: Callers,
    ) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let token = match callers {
            Callers::Local => None,
            Callers::Users => Some(new_token(binary, data.path())?),
        };
        // Nothing but what is measured runs.
        command.env("LIVECODE_RUNTIME_CHECK_IDLE_MS", "0");
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path()).args([
            "--sessions-running-max=4096",
            "--sessions-max=1000000",
            "--sessions-per-owner-max=1000000",
            "--idle-ms=3600000",
            "--wall-ms=3600000",
            "--header-timeout-ms=3600000", // connections stay open while a reference is measured
        ]);
        if token.is_some() {
            command.args(["--auth", "tokens"]);
        }
        command.env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "off".into()));
        match warm {
            WarmSandboxes::Default => {}
            WarmSandboxes::One => drop(command.arg("--warm-sandboxes-max=1")),
            WarmSandboxes::Off => drop(command.env("LIVECODE_WARM", "off")),
        }
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}; `make build` builds it", binary.display()))?;
        let stdout = child.stdout.take().context("the server has no pipe")?;
        let line = BufReader::new(stdout).lines().next().and_then(Result::ok).unwrap_or_default();
        let Some((_, address)) = line.split_once("http://") else {
            let _ = child.kill();
            bail!("the server did not print its address: {line:?}");
        };
        let address = match token {
            Some(token) => format!("{token}@{}", address.trim()),
            None => address.trim().to_owned(),
        };
        Ok(Self { child, address, _data: data })
    }

    /// The address, with a token before it if the server asks for one, as clients take it.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Deletes all sessions that have not ended.
    fn end_sessions(&self) -> Result<()> {
        let mut client = Connection::connect(&self.address)?;
        let sessions = client.get("/sessions")?;
        let mut running =
            sessions.as_array().into_iter().flatten().filter(|session| session["state"] != "ended");
        running.try_for_each(|session| client.delete(session["id"].as_str().unwrap_or_default()))
    }

    /// The server's spawners: its children other than interpreter zygotes.
    fn spawners(&self) -> Vec<u32> {
        children(self.pid()).into_iter().filter(|pid| !is_interpreter(*pid)).collect()
    }

    /// Waits until the number of supervisors is exactly `sessions` and one idle worker for each
    /// spawner, with no parked worker left, and the sandbox of each is set up.
    pub fn wait_until_steady(&self, sessions: usize) -> Result<()> {
        let deadline = Instant::now() + STEADY_TIMEOUT;
        loop {
            let spawners = self.spawners();
            let supervisors: Vec<u32> =
                spawners.iter().copied().flat_map(children).filter(|pid| is_supervisor(*pid)).collect();
            if supervisors.len() == sessions + spawners.len()
                && supervisors.iter().all(|pid| is_sandbox_set_up(*pid))
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "there are {} supervisors for {sessions} sessions after {STEADY_TIMEOUT:?}",
                    supervisors.len()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The processes of LiveCode itself: server, spawners, zygotes, supervisors and inits.
    /// Programs are left out.
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

/// Sessions outlive their server, so the server deletes them first, which leaves nothing of them
/// on the machine.
impl Drop for Server {
    fn drop(&mut self) {
        let supervisors: Vec<u32> = self.spawners().into_iter().flat_map(children).collect();
        if let Err(error) = self.end_sessions() {
            eprintln!("some sessions could not be deleted and are killed: {error:#}");
            supervisors.into_iter().for_each(|pid| signal(pid, Signal::KILL));
        }
        signal(self.pid(), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal); // the process may be gone already
    }
}
