//! Exhausted resources: descriptors, disk space, and output without a reader.

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

use super::processes::{await_first_output, counter_code, counter_output, spawner};
use crate::{
    http::{
        Received, Stream, Transcript, create, create_python, delete, post_text, read_all, request, session,
    },
    machine::{self, eventually},
    options::CommonOptions,
    server::{Server, ServerOptions, send_signal},
};

const MIB: u64 = 1024 * 1024;

/// More clients connect than the server has descriptors.
pub async fn out_of_descriptors(common: &CommonOptions) -> Result<String> {
    let server = Server::start(ServerOptions { descriptors_max: Some(96), ..ServerOptions::new(common) })?;
    let address = server.address().to_owned();
    let mut ids = vec![];
    for _ in 0..5 {
        ids.push(create_python(&address, &counter_code(250)).await?);
    }
    for id in &ids {
        await_first_output(&address, id).await?;
    }
    // One stream continues during the fault.
    let (watched_address, id) = (address.clone(), ids[0].clone());
    let watching = tokio::spawn(async move { read_all(&watched_address, &id).await });
    let mut connections = vec![];
    for _ in 0..200 {
        connections.push(TcpStream::connect(&address).await?);
    }
    let pid = server.pid();
    let used = eventually("all descriptors are used", || {
        let count = machine::count_descriptors(pid);
        (count >= 90).then_some(count)
    })
    .await?;
    sleep(Duration::from_millis(500)).await; // the duration of the fault
    drop(connections);
    let recovered = async {
        loop {
            match create_python(&address, "print('again')").await {
                Ok(id) => return read_all(&address, &id).await,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let recovered =
        timeout(Duration::from_secs(20), recovered).await.context("the server does not recover")??;
    ensure!(recovered.stdout == "again\n", "{recovered:?}");
    ensure!(watching.await??.stdout == counter_output(250), "the open stream missed output");
    for id in &ids {
        let transcript = read_all(&address, id).await?;
        ensure!(
            transcript.stdout == counter_output(250) && transcript.exitstatus() == Some(0),
            "{:?} of {id}",
            transcript.exit
        );
    }
    Ok(format!("{used} of 96 used for half a second; 5 of 5 sessions complete, then a new session"))
}

/// A small file system, unmounted on drop.
pub(super) struct Disk(tempfile::TempDir);

impl Disk {
    /// Mounts a tmpfs of this size.
    pub(super) fn new(bytes: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let size = format!("size={bytes},mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status()?;
        ensure!(mounted.success(), "only root can mount a small disk");
        Ok(Self(folder))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk until `left_bytes` bytes are free.
    pub(super) fn fill(&self, left_bytes: u64) -> Result<()> {
        let disk = rustix::fs::statvfs(self.path())?;
        let size = (disk.f_bavail * disk.f_frsize).saturating_sub(left_bytes);
        fs::write(self.path().join("filler"), vec![1; usize::try_from(size)?])?;
        Ok(())
    }
}

/// A thread that writes to a disk whenever space becomes free, until this is dropped.
struct DiskHog {
    is_stopped: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl DiskHog {
    fn new(disk: &Disk) -> Result<Self> {
        let mut filler = fs::File::options().append(true).create(true).open(disk.path().join("more"))?;
        let is_stopped = Arc::new(AtomicBool::new(false));
        let flag = is_stopped.clone();
        let fill = move || {
            while !flag.load(Ordering::Relaxed) {
                let _ = filler.write(&[1; 4096]); // fails as long as the disk is full
            }
        };
        Ok(Self { is_stopped, thread: Some(thread::spawn(fill)) })
    }
}

impl Drop for DiskHog {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy"]).arg(self.path()).status();
    }
}

/// The disk becomes full while a program prints.
pub async fn full_disk(common: &CommonOptions) -> Result<String> {
    let disk = Disk::new(8 * MIB)?;
    let start = || {
        let options = ServerOptions::new(common).with(&["--disk-min-free-bytes", "1048576"]);
        Server::start_in(options, disk.path())
    };
    let server = start()?;
    let address = server.address().to_owned();
    let code = "import sys\nprint('before', flush=True)\ninput()\n\
                for _ in range(400): print('x' * 8000)\nprint('after', flush=True)\nsys.exit(3)";
    let id = create_python(&address, code).await?;
    await_first_output(&address, &id).await?;
    disk.fill(0)?;
    let refused =
        request(&address, "POST", "/sessions", None, Some(&json!({"runtime": "python", "code": ""}))).await?;
    ensure!(refused.status == 507, "a new session was answered {}: {}", refused.status, refused.body);
    let mut stream = Stream::connect(&address, &id, 0).await?;
    stream.send(&json!({"msgtype": "input", "data": "go\n"})).await;
    while let Received::Message(_) = stream.next().await {}
    let transcript = read_all(&address, &id).await?;
    ensure!(transcript.exitstatus() == Some(3) && transcript.reason().is_none(), "{:?}", transcript.exit);
    ensure!(transcript.stdout.starts_with("before\n") && transcript.gaps > 0, "{} gaps", transcript.gaps);
    drop(server);
    // Another server reads the same.
    let server = start()?;
    let again = read_all(server.address(), &id).await?;
    ensure!(
        (again.gaps, &again.exit) == (transcript.gaps, &transcript.exit),
        "the session differs after a restart"
    );
    Ok(format!("exit status 3, a gap of {} entries, 507 for a new session", transcript.gaps))
}

/// Makes a request whose program waits for SIGUSR1. Fills the disk, sends the signal, and returns
/// the response.
async fn on_full_disk<T: Send + 'static>(
    server: &Server,
    disk: &Disk,
    answer: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let answer = tokio::spawn(answer);
    let sessions = server.data().join("sessions");
    let program = eventually("the program waits", || {
        let session = fs::read_dir(&sessions).ok()?.flatten().next()?;
        machine::program_handling(server.supervisor(session.file_name().to_str()?)?, Signal::USR1)
    })
    .await?;
    disk.fill(0)?;
    send_signal(program, Signal::USR1);
    let answer = answer.await?;
    fs::remove_file(disk.path().join("filler"))?;
    eventually("its session is gone", || {
        fs::read_dir(&sessions).is_ok_and(|mut left| left.next().is_none()).then_some(())
    })
    .await?;
    answer
}

/// The disk becomes full for a client of v0.1, whose protocol has no gaps. A note on standard
/// error reports the missing output. A response that is one document fails instead.
pub async fn full_disk_v01(common: &CommonOptions) -> Result<String> {
    const WAIT: &str = "import signal\nprint('before', flush=True)\n\
                        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n\
                        signal.signal(signal.SIGUSR1, lambda *_: None)\nsignal.sigwait({signal.SIGUSR1})\n";
    const NOTE: &str = "livecode: output is missing here";
    let disk = Disk::new(8 * MIB)?;
    let server = Server::start_in(
        ServerOptions::new(common).with(&["--disk-min-free-bytes", "1048576"]),
        disk.path(),
    )?;
    let address = server.address();
    let code = format!("{WAIT}for _ in range(400): print('x' * 8000)\nprint('after', flush=True)");
    let ask = |path: &'static str, headers: &'static [(&'static str, &'static str)], body: String| {
        let address = address.to_owned();
        async move { post_text(&address, path, headers, body).await }
    };
    let exec = json!({"runtime": "python", "code": code});
    let (_, plain) = on_full_disk(&server, &disk, ask("/exec", &[], exec.to_string())).await?;
    ensure!(plain.starts_with("before\n") && plain.len() < 400 * 8000, "{} bytes", plain.len());
    ensure!(plain.contains(NOTE), "/exec does not report the missing output");
    let mut raw = exec.clone();
    raw["raw_output"] = json!(true);
    let (_, raw) = on_full_disk(&server, &disk, ask("/exec", &[], raw.to_string())).await?;
    let messages: Vec<Value> = raw.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let is_note = |message: &Value| {
        message["file"] == "stderr" && message["data"].as_str().is_some_and(|data| data.contains(NOTE))
    };
    ensure!(messages.iter().any(is_note), "raw_output does not report the missing output");
    ensure!(messages.iter().all(|message| message["msgtype"] != "gap"), "v0.1 has no gap message");
    let (status, run) = on_full_disk(&server, &disk, ask("/runtimes/python", &[], code)).await?;
    ensure!(status == 200 && run.contains(NOTE), "/runtimes does not report the missing output: {status}");
    // The results of tests are one document.
    let long = "    raise Exception('x' * 300_000)\n";
    let test = format!("def test_it():\n    {}\n{long}", WAIT.trim_end().replace('\n', "\n    "));
    let parts =
        format!("--XX\r\nContent-Disposition: form-data; name=\"test_it.py\"\r\n\r\n{test}\r\n--XX--\r\n");
    let is_test = json!({
        "runtime": "python", "mode": "test", "files": [{"filename": "test_it.py", "contents": test}],
    });
    let broken = on_full_disk(&server, &disk, ask("/exec", &[], is_test.to_string())).await;
    ensure!(broken.is_err(), "an incomplete document ends normally: {} bytes", broken?.1.len());
    const TEST: &[(&str, &str)] =
        &[("content-type", "multipart/form-data; boundary=XX"), ("x-falcon-mode", "test")];
    let (status, answer) = on_full_disk(&server, &disk, ask("/runtimes/python", TEST, parts)).await?;
    ensure!(status == 507, "an incomplete document was answered {status}: {answer}");
    Ok("reported on standard error in 3 of 3 cases; results of tests broken off, or 507".into())
}

/// The disk becomes full before a session starts. The supervisor cannot create the journal, so the
/// session waits.
pub async fn full_before_start(common: &CommonOptions) -> Result<String> {
    let disk = Disk::new(8 * MIB)?;
    let options = ServerOptions::new(common).with(&["--disk-min-free-bytes", "1048576", "--warm", "off"]);
    let mut server = Server::start_in(options, disk.path())?;
    let address = server.address().to_owned();
    let spawner = spawner(&server)?;
    send_signal(spawner, Signal::STOP);
    let id = create_python(&address, "print(1)").await?;
    let deleted = create_python(&address, "print(2)").await?;
    disk.fill(0)?;
    let hog = DiskHog::new(&disk)?;
    send_signal(spawner, Signal::CONT);
    for _ in 0..6 {
        sleep(Duration::from_millis(100)).await; // a few starts fail meanwhile
        for id in [&id, &deleted] {
            let document = session(&address, id).await?;
            ensure!(document["state"] == "queued", "{document}");
        }
        server.kill();
        server.restart().context("the server does not start on a full disk")?;
    }
    ensure!(delete(&address, &deleted).await?.status == 204, "a session could not be deleted");
    let mut stream = Stream::connect(&address, &id, 0).await?;
    drop(hog);
    for name in ["filler", "more"] {
        fs::remove_file(disk.path().join(name))?;
    }
    let mut followed = Transcript::default();
    while let Received::Message(message) = stream.next().await {
        followed.add(&message)?;
    }
    ensure!(followed.stdout == "1\n" && followed.exitstatus() == Some(0), "{followed:?}");
    Ok("queued while 6 servers started on the full disk, then it ran".into())
}

/// The disk has less free space than a new session needs.
pub async fn nearly_full_disk(common: &CommonOptions) -> Result<String> {
    let disk = Disk::new(64 * MIB)?;
    let server = Server::start_in(ServerOptions::new(common), disk.path())?;
    let address = server.address().to_owned();
    let id = create_python(&address, &counter_code(100)).await?;
    await_first_output(&address, &id).await?;
    disk.fill(8 * MIB)?;
    let refused =
        request(&address, "POST", "/sessions", None, Some(&json!({"runtime": "python", "code": ""}))).await?;
    let reason = refused.body["detail"].as_str().unwrap_or_default();
    ensure!(refused.status == 507 && reason.contains("bytes left"), "{}: {reason}", refused.status);
    let transcript = read_all(&address, &id).await?;
    ensure!(transcript.stdout == counter_output(100) && transcript.gaps == 0, "{transcript:?}");
    Ok("507, and the running session complete without a gap".into())
}

/// A program prints as fast as it can, and no client reads.
pub async fn flood_without_readers(common: &CommonOptions) -> Result<String> {
    const LIMIT_BYTES: u64 = 64 * MIB;
    let server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    let before = machine::memory_bytes(server.pid());
    let began = Instant::now();
    let code = "while true; do cat /usr/bin/bash; done | base64 -w 79";
    let id =
        create(&address, &json!({"runtime": "bash", "code": code, "limits": {"output_bytes": LIMIT_BYTES}}))
            .await?;
    let mut peak_bytes = 0;
    let document = loop {
        peak_bytes = peak_bytes.max(machine::memory_bytes(server.pid()));
        let document = session(&address, &id).await?;
        if document["state"] == "ended" {
            break document;
        }
        if began.elapsed() > Duration::from_secs(60) {
            bail!("the program does not end");
        }
        sleep(Duration::from_millis(10)).await;
    };
    let took = began.elapsed();
    let grown = peak_bytes.saturating_sub(before);
    ensure!(document["outcome"] == "output" && document["exitstatus"] == 137, "{document}");
    ensure!(grown < 8 * MIB, "the server grew by {grown} bytes");
    let transcript = read_all(&address, &id).await?;
    ensure!(transcript.stdout.len() as u64 == LIMIT_BYTES, "{} bytes", transcript.stdout.len());
    Ok(format!(
        "ended at {LIMIT_BYTES} bytes after {:.2} s ({:.0} MiB/s); memory grew by {:.1} MiB",
        took.as_secs_f64(),
        (LIMIT_BYTES / MIB) as f64 / took.as_secs_f64(),
        grown as f64 / MIB as f64
    ))
}
