//! A server under test, with a data directory of its own. When it is stopped, its sessions are
//! deleted and nothing of it is left on the machine.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::{Pid, Signal, kill_process},
};
use serde_json::Value;

use crate::{cgroup::Group, client::Caller, machine};

/// How long a stopped server may take to exit before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The token with which the bench reads `/metrics` where the server knows its users.
const METRICS_TOKEN: &str = "the-bench-reads-metrics";

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    pub binary: PathBuf,
    /// Settings, as environment variables without their prefix. A binary that does not know one
    /// only warns of it.
    pub settings: Vec<(&'static str, String)>,
    /// The size of a disk of its own for the data directory.
    pub disk_bytes: Option<u64>,
    /// The memory that the server and its programs have together, as if the machine had no more.
    pub memory_bytes: Option<u64>,
    /// Whether the server knows its users by tokens.
    pub has_users: bool,
}

/// A running server.
pub struct Server {
    options: ServerOptions,
    child: Child,
    address: SocketAddr,
    data: DataFolder,
    memory: Option<Group>,
    /// The token of the operator, an admin, where the server knows its users.
    operator: Option<String>,
}

/// A data directory, with a tmpfs mounted on it if it has a disk of its own.
struct DataFolder {
    folder: tempfile::TempDir,
    is_mounted: bool,
}

impl DataFolder {
    fn create(disk_bytes: Option<u64>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        if let Some(bytes) = disk_bytes {
            let options = std::ffi::CString::new(format!("size={bytes},mode=0700"))?;
            mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), &*options)
                .context("mount a tmpfs; this needs root")?;
        }
        Ok(Self { folder, is_mounted: disk_bytes.is_some() })
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = unmount(self.folder.path(), UnmountFlags::DETACH);
        }
    }
}

impl Server {
    /// Starts a server with an empty data directory.
    pub fn start(options: &ServerOptions) -> Result<Self> {
        let data = DataFolder::create(options.disk_bytes)?;
        let memory = options.memory_bytes.map(Group::with_memory).transpose()?;
        let operator = options.has_users.then(|| make_operator(options, data.folder.path())).transpose()?;
        let (child, address) = spawn(options, data.folder.path(), memory.as_ref())?;
        Ok(Self { options: options.clone(), child, address, data, memory, operator })
    }

    /// Starts the server again on its data.
    pub fn restart(&mut self) -> Result<()> {
        self.terminate();
        (self.child, self.address) = spawn(&self.options, self.data.folder.path(), self.memory.as_ref())?;
        Ok(())
    }

    /// Stops the server and leaves its sessions as they are.
    pub fn terminate(&mut self) {
        signal(self.pid(), Signal::TERM);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while !matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn data(&self) -> &Path {
        self.data.folder.path()
    }

    /// The operator: the local user, or an admin where the server knows its users.
    fn operator(&self) -> Caller {
        let local = Caller::local(self.address);
        Caller { token: self.operator.clone(), ..local }
    }

    /// Makes tokens of a user.
    pub async fn new_tokens(&self, user: &str, count: u64) -> Result<Vec<String>> {
        let mut connection = self.operator().connect().await?;
        let body = serde_json::json!({"user": user}).to_string();
        let request = self.operator().request("POST", "/tokens", body.as_bytes());
        let mut tokens = vec![];
        for _ in 0..count {
            let (status, body) = connection.exchange(&request).await?;
            ensure!(status == 201, "a token was refused: {status} {}", String::from_utf8_lossy(&body));
            let document: Value = serde_json::from_slice(&body)?;
            tokens.push(document["token"].as_str().context("there is no token")?.to_owned());
        }
        Ok(tokens)
    }

    /// The process number of a session's supervisor, from `state.json`.
    pub fn supervisor(&self, id: &str) -> Option<u32> {
        let state = fs::read(self.data().join("sessions").join(id).join("state.json")).ok()?;
        let state: Value = serde_json::from_slice(&state).ok()?;
        u32::try_from(state["pid"].as_u64()?).ok()
    }

    /// The sessions that have not ended, as the local user sees them.
    pub async fn living_sessions(&self) -> Result<Vec<String>> {
        let (_, body) = self.operator().send("GET", "/sessions", &[]).await?;
        let sessions: Vec<Value> = serde_json::from_slice(&body)?;
        let living = sessions.iter().filter(|session| session["state"] != "ended");
        Ok(living.filter_map(|session| session["id"].as_str().map(str::to_owned)).collect())
    }

    /// Reads a figure of `/metrics`; `None` if the server does not have it.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let token = self.options.has_users.then(|| METRICS_TOKEN.to_owned());
        let caller = Caller { token, ..Caller::local(self.address) };
        let (_, body) = caller.send("GET", "/metrics", &[]).await.ok()?;
        let text = String::from_utf8(body).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// Deletes all sessions that have not ended, then stops the server.
    pub async fn stop(self) {
        let operator = self.operator();
        let mut deletions = tokio::task::JoinSet::new();
        for id in self.living_sessions().await.unwrap_or_default() {
            let operator = operator.clone();
            deletions.spawn(async move { operator.send("DELETE", &format!("/sessions/{id}"), &[]).await });
            if deletions.len() >= 32 {
                let _ = deletions.join_next().await;
            }
        }
        while deletions.join_next().await.is_some() {}
        drop(self);
    }
}

/// Makes the token of an admin, before the server starts.
fn make_operator(options: &ServerOptions, data: &Path) -> Result<String> {
    let output = Command::new(&options.binary)
        .args(["token", "create", "operator", "--role", "admin", "--data-dir"])
        .arg(data)
        .output()
        .context("make the operator's token")?;
    let token = String::from_utf8(output.stdout)?.trim().to_owned();
    ensure!(
        output.status.success(),
        "make the operator's token: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(token)
}

fn spawn(options: &ServerOptions, data: &Path, memory: Option<&Group>) -> Result<(Child, SocketAddr)> {
    let mut command = match memory {
        None => Command::new(&options.binary),
        // The server enters the group before it starts any process of its own.
        Some(group) => {
            let mut command = Command::new("sh");
            command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(group.processes_file());
            command.arg(&options.binary);
            command
        }
    };
    // Nothing but what is measured runs.
    command.env("LIVECODE_RUNTIME_CHECK_IDLE_MS", "0");
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
    command.env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "off".into()));
    if options.has_users {
        command.env("LIVECODE_AUTH", "tokens").env("LIVECODE_METRICS_TOKEN", METRICS_TOKEN);
    }
    for (name, value) in &options.settings {
        command.env(format!("LIVECODE_{name}"), value);
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}; `make build` builds it", options.binary.display()))?;
    let stdout = child.stdout.take().context("the server has no pipe")?;
    let line = BufReader::new(stdout).lines().next().and_then(Result::ok).unwrap_or_default();
    let address = line.split_once("http://").and_then(|(_, address)| address.trim().parse().ok());
    if address.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok((child, address.with_context(|| format!("the server printed {line:?} and not its address"))?))
}

/// Sends a signal to a process, which may be gone already.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Stops the server, kills the supervisors that outlive it, and removes what these leave.
impl Drop for Server {
    fn drop(&mut self) {
        let descendants = machine::descendants(self.pid());
        self.terminate();
        let deadline = Instant::now() + STOP_TIMEOUT;
        let is_left = |pid: &u32| {
            fs::read_link(format!("/proc/{pid}/exe"))
                .is_ok_and(|exe| self.options.binary.canonicalize().is_ok_and(|binary| exe == binary))
        };
        for pid in descendants.iter().filter(|pid| is_left(pid)) {
            signal(*pid, Signal::KILL);
        }
        while !remove_cgroups(self.data.folder.path()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Removes the empty cgroups of this data directory's sandboxes. Returns whether none is left.
fn remove_cgroups(data: &Path) -> bool {
    // The name begins with the FNV-1a hash of the directory's device and inode.
    let numbers = fs::metadata(data).map_or([0, 0], |metadata| [metadata.dev(), metadata.ino()]);
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let prefix = format!("livecode-{hash:016x}-");
    let mut is_clean = true;
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if !entry.file_name().to_string_lossy().starts_with(&prefix) {
                folders.push(entry.path());
            } else if fs::remove_dir(entry.path()).is_err() {
                is_clean = false; // processes are still in it
            }
        }
    }
    is_clean
}
