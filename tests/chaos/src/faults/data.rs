//! Faults of the data directory: crashed machines, and data that is too old or too large.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::processes::{await_first_output, counter_code, counter_output};
use crate::{
    http::{create, create_python, delete, get, read_all},
    machine::is_running,
    options::CommonOptions,
    server::{Server, ServerOptions},
};

/// A second server is started with the data directory of a running server.
pub async fn second_server(common: &CommonOptions) -> Result<String> {
    let server = Server::start(ServerOptions::new(common))?;
    let second = Command::new(&common.binary)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(server.data())
        .stdout(Stdio::null())
        .output()?;
    let error = String::from_utf8_lossy(&second.stderr);
    ensure!(!second.status.success(), "the second server started");
    let names = [server.pid().to_string(), server.address().to_owned(), server.data().display().to_string()];
    ensure!(names.iter().all(|name| error.contains(name.as_str())), "its error is: {error}");
    let id = create_python(server.address(), "print('fine')").await?;
    ensure!(read_all(server.address(), &id).await?.stdout == "fine\n", "the first server is disturbed");
    Ok("refused; the error names the first server's process, address and directory".into())
}

/// Copies the files of a data directory as a crash of the machine would leave them. Locks are not
/// copied.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Journals of running sessions are cut at random bytes, as a crash of the machine does.
pub async fn torn_tail(common: &CommonOptions) -> Result<String> {
    const COPIES: usize = 12;
    let server = Server::start(ServerOptions::new(common))?;
    let address = server.address();
    let ended = create_python(address, &counter_code(20)).await?;
    ensure!(read_all(address, &ended).await?.exitstatus() == Some(0), "the ended session is incomplete");
    let mut running = vec![];
    for _ in 0..4 {
        running.push(create_python(address, &counter_code(3000)).await?);
    }
    for id in &running {
        await_first_output(address, id).await?;
    }
    sleep(Duration::from_millis(500)).await; // so that the journals have several entries
    let (mut shortest, mut longest) = (usize::MAX, 0);
    for _ in 0..COPIES {
        let folder = tempfile::tempdir()?;
        copy(server.data(), folder.path())?;
        let mut intact_entries = vec![];
        for id in &running {
            let path = folder.path().join("sessions").join(id).join("journal");
            let journal = File::options().write(true).open(&path)?;
            journal.set_len(fastrand::u64(..=journal.metadata()?.len()))?;
            intact_entries.push(livecode_journal::intact_prefix(&path)?.1);
        }
        let after = Server::start_in(ServerOptions::new(common), folder.path())?;
        let transcript = read_all(after.address(), &ended).await?;
        ensure!(
            transcript.stdout == counter_output(20) && transcript.exitstatus() == Some(0),
            "an ended session was damaged: {transcript:?}"
        );
        for (id, entries) in running.iter().zip(intact_entries) {
            let transcript = read_all(after.address(), id).await?;
            ensure!(
                transcript.after == entries + 1,
                "{entries} entries are intact, but {} were read",
                transcript.after - 1
            );
            ensure!(
                transcript.reason() == Some("lost") && transcript.exitstatus() == Some(255),
                "{:?}",
                transcript.exit
            );
            ensure!(
                counter_output(3000).starts_with(&transcript.stdout) && transcript.gaps == 0,
                "{:?}",
                transcript.stdout
            );
            ensure!(
                transcript.stdout.is_empty() || transcript.stdout.ends_with('\n'),
                "an incomplete entry: {:?}",
                transcript.stdout
            );
            shortest = shortest.min(transcript.stdout.lines().count());
            longest = longest.max(transcript.stdout.lines().count());
        }
    }
    // The original sessions continue.
    for id in &running {
        ensure!(
            server.supervisor(id).is_some_and(is_running),
            "a supervisor of an original session has exited"
        );
    }
    Ok(format!(
        "{COPIES} copies, {} torn journals: prefixes of {shortest} to {longest} lines, then lost",
        COPIES * 4
    ))
}

/// A process that has nothing to do with LiveCode. Its process number will be taken for a
/// supervisor's.
struct UnrelatedProcess(Child);

impl UnrelatedProcess {
    fn new() -> Result<Self> {
        Ok(Self(Command::new("sleep").arg("600").spawn()?))
    }

    /// The start time in clock ticks after boot (proc_pid_stat(5), field 22).
    fn start_ticks(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        stat.rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(19)?.parse().ok())
            .context("the process has no start time")
    }
}

impl Drop for UnrelatedProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The supervisor identity of a session names an unrelated process: the same process number in
/// another boot, or of a process that started later in this boot.
pub async fn another_boot(common: &CommonOptions) -> Result<String> {
    let server = Server::start(ServerOptions::new(common))?;
    let id = create_python(server.address(), &counter_code(3000)).await?;
    await_first_output(server.address(), &id).await?;
    let unrelated = UnrelatedProcess::new()?;
    let (pid, ticks) = (unrelated.0.id(), unrelated.start_ticks()?);
    // The same process number in another boot, and the same number of another process in this
    // boot.
    for (boot, ticks) in [(Some("11111111-2222-3333-4444-555555555555"), ticks), (None, ticks - 1)] {
        for is_locked in [false, true] {
            let folder = tempfile::tempdir()?;
            copy(server.data(), folder.path())?;
            let session = folder.path().join("sessions").join(&id);
            let state = session.join("state.json");
            let mut document: Value = serde_json::from_slice(&fs::read(&state)?)?;
            document["pid"] = json!(pid);
            document["pid_start_ticks"] = json!(ticks);
            if let Some(boot) = boot {
                document["boot_id"] = json!(boot);
            }
            fs::write(&state, document.to_string())?;
            let lock = File::open(session.join("journal"))?;
            if is_locked {
                // A held lock means that a supervisor lives. The server kills a supervisor that
                // does not answer, but only if its identity matches.
                flock(&lock, FlockOperation::LockExclusive)?;
            }
            let after = Server::start_in(ServerOptions::new(common), folder.path())?;
            if is_locked {
                let (address, id) = (after.address().to_owned(), id.clone());
                let deleting =
                    tokio::spawn(async move { delete(&address, &id).await.map(|answer| answer.status) });
                // A supervisor that does not answer is killed after 5 s.
                sleep(Duration::from_millis(5500)).await;
                flock(&lock, FlockOperation::Unlock)?;
                ensure!(
                    deleting.await?? == 204,
                    "the session could not be deleted once its lock was released"
                );
            } else {
                let transcript = read_all(after.address(), &id).await?;
                ensure!(transcript.reason() == Some("lost"), "{:?}", transcript.exit);
                ensure!(
                    delete(after.address(), &id).await?.status == 204,
                    "the session could not be deleted"
                );
            }
            ensure!(is_running(pid), "the unrelated process was killed");
            // A session that is left must name no process.
            fs::write(&state, "{}").unwrap_or_default();
        }
    }
    ensure!(server.supervisor(&id).is_some_and(is_running), "the real supervisor has exited");
    Ok("lost in each of 4 cases, the unrelated process alive".into())
}

/// Ended sessions exceed the time or the size for which they are kept.
pub async fn retention(common: &CommonOptions) -> Result<String> {
    let times = ["--keep-output-ms", "600", "--keep-ms", "2500"];
    let server = Server::start(ServerOptions::new(common).with(&times))?;
    let address = server.address();
    let id = create_python(address, &counter_code(5)).await?;
    ensure!(read_all(address, &id).await?.stdout == counter_output(5), "the session is incomplete");
    let trimmed = loop {
        let transcript = read_all(address, &id).await?;
        if transcript.gaps > 0 {
            break transcript;
        }
        ensure!(transcript.stdout == counter_output(5), "{transcript:?}");
        sleep(Duration::from_millis(20)).await;
    };
    ensure!(trimmed.stdout.is_empty() && trimmed.exitstatus() == Some(0), "{trimmed:?}");
    while get(address, &format!("/sessions/{id}")).await?.status != 404 {
        sleep(Duration::from_millis(20)).await;
    }

    // Three sessions of about 200 KB each, where 500 KB may be kept.
    let sizes = ["--keep-max-bytes", "500000", "--keep-ms", "800000", "--keep-output-ms", "800"];
    let server = Server::start(ServerOptions::new(common).with(&sizes[..4]))?;
    let mut ids = vec![];
    for _ in 0..3 {
        let id =
            create(server.address(), &json!({"runtime": "python", "code": "print('x' * 200_000)"})).await?;
        read_all(server.address(), &id).await?;
        ids.push(id);
    }
    // The server checks sizes at its start and once per minute, so it is restarted.
    let (data, binary) = (server.data().to_owned(), ServerOptions::new(common));
    let kept = tempfile::tempdir()?;
    copy(&data, kept.path())?;
    drop(server);
    let server = Server::start_in(binary.with(&sizes[..4]), kept.path())?;
    while get(server.address(), &format!("/sessions/{}", ids[0])).await?.status != 404 {
        sleep(Duration::from_millis(20)).await;
    }
    for id in &ids[1..] {
        ensure!(read_all(server.address(), id).await?.stdout.len() == 200_001, "a newer session was damaged");
    }
    Ok(format!(
        "a gap of {} entries, then 404; of three sessions that are too large the oldest is 404",
        trimmed.gaps
    ))
}
