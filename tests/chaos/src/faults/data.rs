//! Faults of the data: a machine that died, and data that are too old or too large.

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

use super::processes::{begun, counted, counter};
use crate::{
    Common,
    http::{create, create_python, delete, get, read_all},
    machine::is_alive,
    server::{Options, Server},
};

pub async fn second_server(common: &Common) -> Result<String> {
    let server = Server::start(Options::new(common))?;
    let second = Command::new(&common.binary)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(server.data())
        .stdout(Stdio::null())
        .output()?;
    let error = String::from_utf8_lossy(&second.stderr);
    ensure!(!second.status.success(), "it started");
    let names = [server.pid().to_string(), server.address().to_owned(), server.data().display().to_string()];
    ensure!(names.iter().all(|name| error.contains(name.as_str())), "it says: {error}");
    let id = create_python(server.address(), "print('fine')").await?;
    ensure!(read_all(server.address(), &id).await?.stdout == "fine\n", "the first suffered");
    Ok("refused, with the first one's process, address and directory".into())
}

/// The files of a data directory as they are at this moment, as a machine that dies leaves them. No lock is copied.
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

pub async fn torn_tail(common: &Common) -> Result<String> {
    const COPIES: usize = 12;
    let server = Server::start(Options::new(common))?;
    let address = server.address();
    let ended = create_python(address, &counter(20)).await?;
    ensure!(read_all(address, &ended).await?.exitstatus() == Some(0), "no whole session to begin with");
    let mut running = vec![];
    for _ in 0..4 {
        running.push(create_python(address, &counter(3000)).await?);
    }
    for id in &running {
        begun(address, id).await?;
    }
    sleep(Duration::from_millis(500)).await; // so that there is something to tear
    let (mut shortest, mut longest) = (usize::MAX, 0);
    for _ in 0..COPIES {
        let folder = tempfile::tempdir()?;
        copy(server.data(), folder.path())?;
        let mut whole_entries = vec![];
        for id in &running {
            let path = folder.path().join("sessions").join(id).join("journal");
            let journal = File::options().write(true).open(&path)?;
            journal.set_len(fastrand::u64(..=journal.metadata()?.len()))?;
            whole_entries.push(livecode_journal::intact_prefix(&path)?.1);
        }
        let after = Server::start_in(Options::new(common), folder.path())?;
        let whole = read_all(after.address(), &ended).await?;
        ensure!(
            whole.stdout == counted(20) && whole.exitstatus() == Some(0),
            "an ended session suffered: {whole:?}"
        );
        for (id, entries) in running.iter().zip(whole_entries) {
            let whole = read_all(after.address(), id).await?;
            ensure!(
                whole.after == entries + 1,
                "{entries} entries were whole, {} are there",
                whole.after - 1
            );
            ensure!(whole.reason() == Some("lost") && whole.exitstatus() == Some(255), "{:?}", whole.exit);
            ensure!(counted(3000).starts_with(&whole.stdout) && whole.gaps == 0, "{:?}", whole.stdout);
            ensure!(
                whole.stdout.is_empty() || whole.stdout.ends_with('\n'),
                "half an entry: {:?}",
                whole.stdout
            );
            shortest = shortest.min(whole.stdout.lines().count());
            longest = longest.max(whole.stdout.lines().count());
        }
    }
    // Nobody touched the sessions that were copied.
    for id in &running {
        ensure!(server.supervisor(id).is_some_and(is_alive), "a supervisor of the first machine died");
    }
    Ok(format!(
        "{COPIES} copies, {} torn journals: prefixes of {shortest} to {longest} lines, then lost",
        COPIES * 4
    ))
}

/// A stranger with a process number that once was a supervisor's.
struct Stranger(Child);

impl Stranger {
    fn new() -> Result<Self> {
        Ok(Self(Command::new("sleep").arg("600").spawn()?))
    }

    fn start_ticks(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        stat.rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(19)?.parse().ok())
            .context("no start")
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub async fn another_boot(common: &Common) -> Result<String> {
    let server = Server::start(Options::new(common))?;
    let id = create_python(server.address(), &counter(3000)).await?;
    begun(server.address(), &id).await?;
    let stranger = Stranger::new()?;
    let (pid, ticks) = (stranger.0.id(), stranger.start_ticks()?);
    // The same number in another boot, and the same number in this boot, given to a later process.
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
                // As if a supervisor lived that does not answer: then it would be killed, if it were this process.
                flock(&lock, FlockOperation::LockExclusive)?;
            }
            let after = Server::start_in(Options::new(common), folder.path())?;
            if is_locked {
                let (address, id) = (after.address().to_owned(), id.clone());
                let deleting =
                    tokio::spawn(async move { delete(&address, &id).await.map(|answer| answer.status) });
                sleep(Duration::from_millis(5500)).await; // a supervisor that does not answer is killed after 5 s
                flock(&lock, FlockOperation::Unlock)?;
                ensure!(deleting.await?? == 204, "it could not be deleted once its lock was free");
            } else {
                let whole = read_all(after.address(), &id).await?;
                ensure!(whole.reason() == Some("lost"), "{:?}", whole.exit);
                ensure!(delete(after.address(), &id).await?.status == 204, "it could not be deleted");
            }
            ensure!(is_alive(pid), "a stranger was killed");
            fs::write(&state, "{}").unwrap_or_default(); // the folder is gone, or else names nobody any more
        }
    }
    ensure!(server.supervisor(&id).is_some_and(is_alive), "the true supervisor died");
    Ok("lost in each of 4 cases, the stranger alive".into())
}

pub async fn retention(common: &Common) -> Result<String> {
    let times = ["--keep-output-ms", "600", "--keep-ms", "2500"];
    let server = Server::start(Options::new(common).with(&times))?;
    let address = server.address();
    let id = create_python(address, &counter(5)).await?;
    ensure!(read_all(address, &id).await?.stdout == counted(5), "nothing to trim");
    let trimmed = loop {
        let whole = read_all(address, &id).await?;
        if whole.gaps > 0 {
            break whole;
        }
        ensure!(whole.stdout == counted(5), "{whole:?}");
        sleep(Duration::from_millis(20)).await;
    };
    ensure!(trimmed.stdout.is_empty() && trimmed.exitstatus() == Some(0), "{trimmed:?}");
    while get(address, &format!("/sessions/{id}")).await?.status != 404 {
        sleep(Duration::from_millis(20)).await;
    }

    // Three of about 200 KB where 500 KB may be kept.
    let sizes = ["--keep-max-bytes", "500000", "--keep-ms", "800000", "--keep-output-ms", "800"];
    let server = Server::start(Options::new(common).with(&sizes[..4]))?;
    let mut ids = vec![];
    for _ in 0..3 {
        let id =
            create(server.address(), &json!({"runtime": "python", "code": "print('x' * 200_000)"})).await?;
        read_all(server.address(), &id).await?;
        ids.push(id);
    }
    // Looked at when it starts, and every minute.
    let (data, binary) = (server.data().to_owned(), Options::new(common));
    let kept = tempfile::tempdir()?;
    copy(&data, kept.path())?;
    drop(server);
    let server = Server::start_in(binary.with(&sizes[..4]), kept.path())?;
    while get(server.address(), &format!("/sessions/{}", ids[0])).await?.status != 404 {
        sleep(Duration::from_millis(20)).await;
    }
    for id in &ids[1..] {
        ensure!(read_all(server.address(), id).await?.stdout.len() == 200_001, "a newer one suffered");
    }
    Ok(format!("a gap of {} entries, then 404; of three too large the oldest 404", trimmed.gaps))
}
