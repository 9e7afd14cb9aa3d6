//! Faults of the machine's resources: descriptors, disk, and output that nobody reads.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::processes::{begun, counted, counter, spawner};
use crate::{
    Common,
    http::{Received, Stream, Whole, create, create_python, delete, read_all, request, session, text},
    machine::{self, eventually},
    server::{Options, Server, signal_pid},
};

const MIB: u64 = 1024 * 1024;

pub async fn out_of_descriptors(common: &Common) -> Result<String> {
    let server = Server::start(Options { descriptors_max: Some(96), ..Options::new(common) })?;
    let address = server.address().to_owned();
    let mut ids = vec![];
    for _ in 0..5 {
        ids.push(create_python(&address, &counter(250)).await?);
    }
    for id in &ids {
        begun(&address, id).await?;
    }
    // A stream that goes on through it all, and more clients than there are descriptors for.
    let (watched, id) = (address.clone(), ids[0].clone());
    let watching = tokio::spawn(async move { read_all(&watched, &id).await });
    let mut crowd = vec![];
    for _ in 0..200 {
        crowd.push(TcpStream::connect(&address).await?);
    }
    let pid = server.pid();
    let most = eventually("all descriptors taken", || {
        let count = machine::descriptors(pid);
        (count >= 90).then_some(count)
    })
    .await?;
    sleep(Duration::from_millis(500)).await; // the fault itself: this is how long it lasts
    drop(crowd);
    let made = async {
        loop {
            match create_python(&address, "print('again')").await {
                Ok(id) => return read_all(&address, &id).await,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let made = timeout(Duration::from_secs(20), made).await.context("the server does not recover")??;
    ensure!(made.stdout == "again\n", "{made:?}");
    ensure!(watching.await??.stdout == counted(250), "the watcher missed something");
    for id in &ids {
        let whole = read_all(&address, id).await?;
        ensure!(whole.stdout == counted(250) && whole.exitstatus() == Some(0), "{:?} of {id}", whole.exit);
    }
    Ok(format!("{most} of 96 taken for half a second; 5 of 5 sessions whole, then a new one"))
}

/// A small file system of its own, unmounted on drop.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(bytes: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let size = format!("size={bytes},mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status()?;
        ensure!(mounted.success(), "a small disk can be mounted by root alone");
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it until so many bytes are left.
    fn fill(&self, left_bytes: u64) -> Result<()> {
        let disk = rustix::fs::statvfs(self.path())?;
        let size = (disk.f_bavail * disk.f_frsize).saturating_sub(left_bytes);
        fs::write(self.path().join("filler"), vec![1; usize::try_from(size)?])?;
        Ok(())
    }
}

/// Somebody who takes every byte of a disk that is given back, until this is dropped.
struct Hungry(Arc<AtomicBool>, Option<thread::JoinHandle<()>>);

impl Hungry {
    fn new(disk: &Disk) -> Result<Self> {
        let mut filler = fs::File::options().append(true).create(true).open(disk.path().join("more"))?;
        let is_fed = Arc::new(AtomicBool::new(false));
        let until = is_fed.clone();
        let fill = move || {
            while !until.load(Ordering::Relaxed) {
                let _ = filler.write(&[1; 4096]); // there is nothing left as a rule
            }
        };
        Ok(Self(is_fed, Some(thread::spawn(fill))))
    }
}

impl Drop for Hungry {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let _ = self.1.take().map(thread::JoinHandle::join);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy"]).arg(self.path()).status();
    }
}

pub async fn full_disk(common: &Common) -> Result<String> {
    let disk = Disk::new(8 * MIB)?;
    let server =
        Server::start_in(Options::new(common).with(&["--disk-min-free-bytes", "1048576"]), disk.path())?;
    let address = server.address().to_owned();
    let code = "import sys\nprint('before', flush=True)\ninput()\n\
                for _ in range(400): print('x' * 8000)\nprint('after', flush=True)\nsys.exit(3)";
    let id = create_python(&address, code).await?;
    begun(&address, &id).await?;
    disk.fill(0)?;
    let refused =
        request(&address, "POST", "/sessions", None, Some(&json!({"runtime": "python", "code": ""}))).await?;
    ensure!(refused.status == 507, "a new session was answered {}: {}", refused.status, refused.body);
    let mut stream = Stream::connect(&address, &id, 0).await?;
    stream.send(&json!({"msgtype": "input", "data": "go\n"})).await;
    while let Received::Message(_) = stream.next().await {}
    let whole = read_all(&address, &id).await?;
    ensure!(whole.exitstatus() == Some(3) && whole.reason().is_none(), "{:?}", whole.exit);
    ensure!(whole.stdout.starts_with("before\n") && whole.gaps > 0, "{} gaps", whole.gaps);
    drop(server);
    // Whoever finds it later finds the same.
    let server = Server::start_in(Options::new(common), disk.path())?;
    let again = read_all(server.address(), &id).await?;
    ensure!((again.gaps, &again.exit) == (whole.gaps, &whole.exit), "it reads otherwise after a restart");
    Ok(format!("exit status 3, a gap of {} entries, 507 for a new one", whole.gaps))
}

/// Of a program that waits for a signal: what it does then, its disk is full.
async fn on_full_disk<T: Send + 'static>(
    server: &Server,
    disk: &Disk,
    answer: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let answer = tokio::spawn(answer);
    let sessions = server.data().join("sessions");
    let program = eventually("a program that waits", || {
        let session = fs::read_dir(&sessions).ok()?.flatten().next()?;
        machine::program(server.supervisor(session.file_name().to_str()?)?, Signal::USR1)
    })
    .await?;
    disk.fill(0)?;
    signal_pid(program, Signal::USR1);
    let answer = answer.await?;
    fs::remove_file(disk.path().join("filler"))?;
    eventually("its session gone", || {
        fs::read_dir(&sessions).is_ok_and(|mut left| left.next().is_none()).then_some(())
    })
    .await?;
    answer
}

/// v0.1 has no word for a gap: where there is a standard error it is told there, and where a document would be broken there is
/// none.
pub async fn full_disk_v01(common: &Common) -> Result<String> {
    const WAIT: &str = "import signal\nprint('before', flush=True)\n\
                        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n\
                        signal.signal(signal.SIGUSR1, lambda *_: None)\nsignal.sigwait({signal.SIGUSR1})\n";
    const NOTE: &str = "livecode: output is missing here";
    let disk = Disk::new(8 * MIB)?;
    let server =
        Server::start_in(Options::new(common).with(&["--disk-min-free-bytes", "1048576"]), disk.path())?;
    let address = server.address();
    let code = format!("{WAIT}for _ in range(400): print('x' * 8000)\nprint('after', flush=True)");
    let ask = |path: &'static str, headers: &'static [(&'static str, &'static str)], body: String| {
        let address = address.to_owned();
        async move { text(&address, path, headers, body).await }
    };
    let exec = json!({"runtime": "python", "code": code});
    let (_, plain) = on_full_disk(&server, &disk, ask("/exec", &[], exec.to_string())).await?;
    ensure!(plain.starts_with("before\n") && plain.len() < 400 * 8000, "{} bytes", plain.len());
    ensure!(plain.contains(NOTE), "/exec says nothing of what is missing");
    let mut raw = exec.clone();
    raw["raw_output"] = json!(true);
    let (_, raw) = on_full_disk(&server, &disk, ask("/exec", &[], raw.to_string())).await?;
    let messages: Vec<Value> = raw.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told = |message: &Value| {
        message["file"] == "stderr" && message["data"].as_str().is_some_and(|data| data.contains(NOTE))
    };
    ensure!(messages.iter().any(told), "raw_output says nothing of what is missing");
    ensure!(messages.iter().all(|message| message["msgtype"] != "gap"), "v0.1 knows no gap");
    let (status, run) = on_full_disk(&server, &disk, ask("/runtimes/python", &[], code)).await?;
    ensure!(status == 200 && run.contains(NOTE), "/runtimes says nothing of what is missing: {status}");
    // The results of tests are one document.
    let long = "    raise Exception('x' * 300_000)\n";
    let test = format!("def test_it():\n    {}\n{long}", WAIT.trim_end().replace('\n', "\n    "));
    let parts =
        format!("--XX\r\nContent-Disposition: form-data; name=\"test_it.py\"\r\n\r\n{test}\r\n--XX--\r\n");
    let is_test = json!({
        "runtime": "python", "mode": "test", "files": [{"filename": "test_it.py", "contents": test}],
    });
    let broken = on_full_disk(&server, &disk, ask("/exec", &[], is_test.to_string())).await;
    ensure!(broken.is_err(), "half a document ends as if it were whole: {} bytes", broken?.1.len());
    const TEST: &[(&str, &str)] =
        &[("content-type", "multipart/form-data; boundary=XX"), ("x-falcon-mode", "test")];
    let (status, answer) = on_full_disk(&server, &disk, ask("/runtimes/python", TEST, parts)).await?;
    ensure!(status == 507, "half a document was answered {status}: {answer}");
    Ok("told on standard error by 3 of 3; results of tests broken off, or 507".into())
}

/// Not even the journal can be made, nor closed in the supervisor's place.
pub async fn full_before_it_begins(common: &Common) -> Result<String> {
    let disk = Disk::new(8 * MIB)?;
    let options = Options::new(common).with(&["--disk-min-free-bytes", "1048576", "--warm", "off"]);
    let mut server = Server::start_in(options, disk.path())?;
    let address = server.address().to_owned();
    let spawner = spawner(&server)?;
    signal_pid(spawner, Signal::STOP);
    let id = create_python(&address, "print(1)").await?;
    let mut stream = Stream::connect(&address, &id, 0).await?;
    disk.fill(0)?;
    let hungry = Hungry::new(&disk)?;
    signal_pid(spawner, Signal::CONT);
    let mut seen = Whole::default();
    while let Received::Message(message) = stream.next().await {
        seen.take(&message)?;
    }
    ensure!(seen.reason() == Some("lost"), "its watcher was told {:?}", seen.exit);
    for _ in 0..6 {
        let whole = read_all(&address, &id).await?;
        ensure!((whole.reason(), whole.exitstatus()) == (Some("lost"), Some(255)), "{:?}", whole.exit);
        server.kill();
        server.start_again().context("no server can be had on a full disk")?;
    }
    ensure!(delete(&address, &id).await?.status == 204, "it could not be deleted");
    drop(hungry);
    Ok("lost, and said so to each watcher; 6 servers started on the full disk".into())
}

pub async fn nearly_full_disk(common: &Common) -> Result<String> {
    let disk = Disk::new(64 * MIB)?;
    let server = Server::start_in(Options::new(common), disk.path())?;
    let address = server.address().to_owned();
    let id = create_python(&address, &counter(100)).await?;
    begun(&address, &id).await?;
    disk.fill(8 * MIB)?;
    let refused =
        request(&address, "POST", "/sessions", None, Some(&json!({"runtime": "python", "code": ""}))).await?;
    let reason = refused.body["detail"].as_str().unwrap_or_default();
    ensure!(refused.status == 507 && reason.contains("bytes left"), "{}: {reason}", refused.status);
    let whole = read_all(&address, &id).await?;
    ensure!(whole.stdout == counted(100) && whole.gaps == 0, "{whole:?}");
    Ok("507, and the session whole without a gap".into())
}

pub async fn flood_without_readers(common: &Common) -> Result<String> {
    const CAP: u64 = 64 * MIB;
    let server = Server::start(Options::new(common))?;
    let address = server.address().to_owned();
    let before = machine::memory_bytes(server.pid());
    let began = Instant::now();
    let code = "while true; do cat /usr/bin/bash; done | base64 -w 79";
    let id =
        create(&address, &json!({"runtime": "bash", "code": code, "limits": {"output_bytes": CAP}})).await?;
    let mut most = 0;
    let document = loop {
        most = most.max(machine::memory_bytes(server.pid()));
        let document = session(&address, &id).await?;
        if document["state"] == "ended" {
            break document;
        }
        if began.elapsed() > Duration::from_secs(60) {
            bail!("the program hangs");
        }
        sleep(Duration::from_millis(10)).await;
    };
    let took = began.elapsed();
    let grown = most.saturating_sub(before);
    ensure!(document["outcome"] == "output" && document["exitstatus"] == 137, "{document}");
    ensure!(grown < 8 * MIB, "the server grew by {grown} bytes");
    let whole = read_all(&address, &id).await?;
    ensure!(whole.stdout.len() as u64 == CAP, "{} bytes", whole.stdout.len());
    Ok(format!(
        "stopped at {CAP} bytes after {:.2} s ({:.0} MiB/s); memory grew by {:.1} MiB",
        took.as_secs_f64(),
        (CAP / MIB) as f64 / took.as_secs_f64(),
        grown as f64 / MIB as f64
    ))
}
