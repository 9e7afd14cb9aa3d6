//! What livecode is compared with, each started on this machine in the same run.

pub mod memory;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::client::Run;

/// The interpreter that the sandboxes use too.
pub const PYTHON: &str = "/usr/bin/python3";

/// Where a command is.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A folder with a program in it.
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

/// Starts a program bare (the standard library does that by posix_spawn(3)), and reads what it prints until it has ended.
pub fn run(command: &mut Command) -> Result<Run> {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().context("no pipe")?;
    let mut bytes = [0; 4096];
    let mut first_output = None;
    while stdout.read(&mut bytes)? > 0 {
        first_output.get_or_insert_with(|| began.elapsed());
    }
    let status = child.wait()?;
    let exit = began.elapsed();
    if !status.success() {
        bail!("a reference ended with {status}");
    }
    Ok(Run { first_output: first_output.context("a reference printed nothing")?, exit })
}

/// The command that runs a file of Python in `bwrap`, with the mounts that a session has.
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

/// Docker, where an engine answers: says so, or why not.
pub fn docker() -> std::result::Result<PathBuf, &'static str> {
    let Some(docker) = find("docker") else { return Err("no engine") };
    let asked = Command::new(&docker).arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match asked {
        Ok(status) if status.success() => Ok(docker),
        _ => Err("no engine"),
    }
}

/// A port of this machine's that nobody has.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A server that is killed when it is dropped.
pub struct Listening {
    child: Child,
    pub address: String,
}

impl Listening {
    /// `websocketd`, which runs a program for each websocket; `None` where this machine has none.
    pub fn websocketd(program: &Path) -> Result<Option<Self>> {
        let Some(websocketd) = find("websocketd") else { return Ok(None) };
        let port = free_port()?;
        let mut command = Command::new(websocketd);
        command.args(["--address=127.0.0.1", "--loglevel=fatal"]).arg(format!("--port={port}"));
        command.arg(PYTHON).arg(program);
        Self::start(command, format!("127.0.0.1:{port}")).map(Some)
    }

    /// The bench's own, which sends from memory.
    pub fn memory(bytes: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["memory", &bytes.to_string()]).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut address)?;
        Ok(Self { child, address: address.trim().to_owned() })
    }

    fn start(mut command: Command, address: String) -> Result<Self> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let listening = Self { child, address };
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(&listening.address).is_err() {
            if Instant::now() > until {
                bail!("{:?} does not listen", command.get_program());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(listening)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program with a pipe to it and one from it.
pub struct Cat {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Cat {
    pub fn start() -> Result<Self> {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (to, from) = (child.stdin.take().context("no pipe")?, child.stdout.take().context("no pipe")?);
        Ok(Self { child, to, from })
    }

    /// Sends something there and back.
    pub fn echo(&mut self, text: &[u8]) -> Result<Duration> {
        let began = Instant::now();
        self.to.write_all(text)?;
        let mut back = vec![0; text.len()];
        self.from.read_exact(&mut back)?;
        Ok(began.elapsed())
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
