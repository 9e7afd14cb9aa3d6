//! The references: programs and servers that run on this machine in the same run of the bench.

pub mod memory;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::client::RunTimes;

/// The interpreter that the sandboxes use too.
pub const PYTHON: &str = "/usr/bin/python3";

/// Searches `PATH` for a command.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A source file in a temporary folder of its own.
pub struct Program {
    _folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl Program {
    pub fn new(name: &str, source: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        std::fs::write(&path, source)?;
        Ok(Self { _folder: folder, path })
    }
}

/// Runs a program without a sandbox, and reads its output until it has ended. The standard library
/// starts it with posix_spawn(3).
pub fn run(command: &mut Command) -> Result<RunTimes> {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().context("the child has no pipe")?;
    let mut bytes = [0; 4096];
    let mut first_output = None;
    while stdout.read(&mut bytes)? > 0 {
        first_output.get_or_insert_with(|| began.elapsed());
    }
    let status = child.wait()?;
    let exit = began.elapsed();
    if !status.success() {
        bail!("a reference failed with {status}");
    }
    Ok(RunTimes { first_output: first_output.context("a reference printed nothing")?, exit })
}

/// The command that runs a Python file in `bwrap` with the mounts of a session. `None` if `bwrap`
/// is not installed.
pub fn bwrap(program: &Path) -> Option<Command> {
    let mut command = Command::new(find("bwrap")?);
    command.args(["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]);
    command.args(["--ro-bind", "/usr", "/usr"]);
    for link in ["bin", "lib", "lib64", "sbin"] {
        command.args(["--symlink", &format!("usr/{link}"), &format!("/{link}")]);
    }
    command.args(["--ro-bind-try", "/etc/alternatives", "/etc/alternatives"]);
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/home"]);
    command.arg("--ro-bind").arg(program).args(["/home/main.py", "--chdir", "/home"]);
    command.args([PYTHON, "main.py"]);
    Some(command)
}

/// The path of the `docker` command. The error says why Docker cannot be used.
pub fn docker() -> std::result::Result<PathBuf, &'static str> {
    let Some(docker) = find("docker") else { return Err("no engine") };
    let status = Command::new(&docker).arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(docker),
        _ => Err("no engine"),
    }
}

/// A free TCP port.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A reference server. It is killed on drop.
pub struct ReferenceServer {
    child: Child,
    pub address: String,
}

impl ReferenceServer {
    /// `websocketd`, which runs a program for each websocket. `None` if it is not installed.
    pub fn websocketd(program: &Path) -> Result<Option<Self>> {
        let Some(websocketd) = find("websocketd") else { return Ok(None) };
        let port = free_port()?;
        let mut command = Command::new(websocketd);
        command.args(["--address=127.0.0.1", "--loglevel=fatal"]).arg(format!("--port={port}"));
        command.arg(PYTHON).arg(program);
        Self::start(command, format!("127.0.0.1:{port}")).map(Some)
    }

    /// The bench's own websocket server, which sends `bytes` bytes from memory (see [`memory`]).
    pub fn memory(bytes: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["memory", &bytes.to_string()]).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().context("the child has no pipe")?).read_line(&mut address)?;
        Ok(Self { child, address: address.trim().to_owned() })
    }

    /// Starts a server and waits until it accepts connections.
    fn start(mut command: Command, address: String) -> Result<Self> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(&server.address).is_err() {
            if Instant::now() > deadline {
                bail!("{:?} does not accept connections", command.get_program());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }
}

impl Drop for ReferenceServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `cat` process, which copies its input to its output. It is killed on drop.
pub struct CatProcess {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl CatProcess {
    pub fn start() -> Result<Self> {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (
            child.stdin.take().context("the child has no pipe")?,
            child.stdout.take().context("the child has no pipe")?,
        );
        Ok(Self { child, stdin, stdout })
    }

    /// Writes `text` to the process, reads it back, and returns the time that took.
    pub fn echo(&mut self, text: &[u8]) -> Result<Duration> {
        let began = Instant::now();
        self.stdin.write_all(text)?;
        let mut copy = vec![0; text.len()];
        self.stdout.read_exact(&mut copy)?;
        Ok(began.elapsed())
    }
}

impl Drop for CatProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
