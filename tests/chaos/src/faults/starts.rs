//! Starts that fail for want of processes, memory, descriptors or disk space, at each of their
//! steps.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::{io::Errno, process::Signal};
use serde_json::json;
use tokio::time::sleep;

use super::{processes::spawner, resources::Disk};
use crate::{
    http::{create, read_all, session},
    machine::{self, eventually},
    options::CommonOptions,
    server::{Server, ServerOptions, send_signal},
};

/// How long a resource is missing.
const FAULT: Duration = Duration::from_millis(100);

/// How many starts were tried without a resource, and how many of them had to wait.
#[derive(Default)]
struct Starts {
    all: usize,
    queued: usize,
}

impl Starts {
    /// Ends a fault during which session `id` was created, after a moment. The session must then
    /// run once, whatever it had waited for.
    async fn end_fault(&mut self, address: &str, id: &str, end: impl FnOnce() -> Result<()>) -> Result<()> {
        sleep(FAULT).await;
        self.all += 1;
        self.queued += usize::from(session(address, id).await?["state"] == "queued");
        end()?;
        let transcript = read_all(address, id).await?;
        ensure!(
            transcript.stdout == "42\n" && transcript.exitstatus() == Some(0) && transcript.gaps == 0,
            "a session ended as {:?}: {}",
            transcript.exit,
            transcript.stderr
        );
        Ok(())
    }

    fn report(&self) -> Result<String> {
        ensure!(self.queued > 0, "no start has failed");
        Ok(format!("{} of {} ran, of which {} had to wait", self.all, self.all, self.queued))
    }
}

async fn create_session(address: &str) -> Result<String> {
    create(address, &json!({"runtime": "bash", "code": "echo $((6 * 7))"})).await
}

/// A cgroup (v1) that limits the processes of a server.
struct PidsGroup(PathBuf);

impl PidsGroup {
    /// Moves the server and all that it has started into a new group.
    fn around(server: &Server) -> Result<Self> {
        let path = PathBuf::from(format!("/sys/fs/cgroup/pids/livecode-chaos-{}", std::process::id()));
        fs::create_dir(&path)?;
        let group = Self(path);
        for pid in machine::descendants(server.pid()).into_iter().chain([server.pid()]) {
            match fs::write(group.0.join("cgroup.procs"), pid.to_string()) {
                // The process has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                moved => moved?,
            }
        }
        Ok(group)
    }

    /// Leaves room for so many further processes.
    fn leave(&self, processes: u64) -> Result<()> {
        let current: u64 = fs::read_to_string(self.0.join("pids.current"))?.trim().parse()?;
        Ok(fs::write(self.0.join("pids.max"), (current + processes).to_string())?)
    }

    fn open(&self) -> Result<()> {
        Ok(fs::write(self.0.join("pids.max"), "max")?)
    }
}

/// No process can be forked (EAGAIN): by the spawner, then by the supervisor, then by init.
pub async fn out_of_processes(common: &CommonOptions) -> Result<String> {
    if !PathBuf::from("/sys/fs/cgroup/pids").is_dir() {
        return Ok("not tried: this machine has no cgroup v1".into());
    }
    let server = Server::start(ServerOptions::new(common).with(&["--warm", "off"]))?;
    let address = server.address().to_owned();
    read_all(&address, &create_session(&address).await?).await?;
    let group = PidsGroup::around(&server)?;
    let mut starts = Starts::default();
    for room in 0..4 {
        group.leave(room)?;
        let id = create_session(&address).await?;
        starts.end_fault(&address, &id, || group.open()).await?;
    }
    drop(server);
    eventually("the server's group is empty", || fs::remove_dir(&group.0).ok()).await?;
    starts.report()
}

/// The spawner and what it starts may map little memory (ENOMEM): with each amount, another step of
/// the start fails.
pub async fn out_of_memory(common: &CommonOptions) -> Result<String> {
    let server = Server::start(ServerOptions::new(common).with(&["--warm", "off"]))?;
    let address = server.address().to_owned();
    let mut starts = Starts::default();
    for left_kib in [0, 16, 64, 128, 256, 512, 1024, 2048] {
        let pid = spawner(&server)?;
        limit_address_space(pid, mapped_bytes(pid)? + (left_kib << 10))?;
        let id = create_session(&address).await?;
        let end = || {
            // A process that could not go on without the memory may be gone.
            let limited = machine::descendants(server.pid()).into_iter();
            limited.for_each(|pid| drop(limit_address_space(pid, u64::MAX)));
            Ok(())
        };
        starts.end_fault(&address, &id, end).await.with_context(|| format!("{left_kib} KiB were left"))?;
    }
    starts.report()
}

/// The size of a process's address space (proc_pid_statm(5)), in bytes.
fn mapped_bytes(pid: u32) -> Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm.split(' ').next().context("statm is empty")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Bounds a process's address space (`RLIMIT_AS`, getrlimit(2)). `u64::MAX` is no bound.
fn limit_address_space(pid: u32, bytes: u64) -> Result<()> {
    let max = if bytes == u64::MAX { "unlimited".to_owned() } else { bytes.to_string() };
    let mut prlimit = Command::new("prlimit");
    let status = prlimit.args(["--pid", &pid.to_string(), &format!("--as={max}:")]).status()?;
    ensure!(status.success(), "the limit of memory cannot be set");
    Ok(())
}

/// The spawner and its workers have few descriptors left (EMFILE): with each number of them,
/// another step of the start fails.
pub async fn out_of_descriptors(common: &CommonOptions) -> Result<String> {
    let server = Server::start(ServerOptions::new(common).with(&["--warm", "off"]))?;
    let address = server.address().to_owned();
    let limit = |max: &str| -> Result<()> {
        let pid = spawner(&server)?.to_string();
        let status = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={max}:")]).status()?;
        ensure!(status.success(), "the limit of descriptors cannot be set");
        Ok(())
    };
    let mut starts = Starts::default();
    for max in (4..36).step_by(2) {
        limit(&max.to_string())?;
        let id = create_session(&address).await?;
        starts.end_fault(&address, &id, || limit("1024")).await?;
    }
    starts.report()
}

/// The disk has no room for a supervisor's files (ENOSPC): for `state.json`, then for the journal.
pub async fn out_of_disk_space(common: &CommonOptions) -> Result<String> {
    let disk = Disk::new(8 << 20)?;
    let options = ServerOptions::new(common).with(&["--disk-min-free-bytes", "65536", "--warm", "off"]);
    let server = Server::start_in(options, disk.path())?;
    let address = server.address().to_owned();
    let mut starts = Starts::default();
    for left_bytes in [0, 4096, 8192, 16384, 32768, 65536] {
        let spawner = spawner(&server)?;
        send_signal(spawner, Signal::STOP);
        let id = create_session(&address).await?;
        disk.fill(left_bytes)?;
        send_signal(spawner, Signal::CONT);
        let free = || fs::remove_file(disk.path().join("filler")).context("remove the filler");
        starts.end_fault(&address, &id, free).await?;
    }
    starts.report()
}
