//! Faults while sessions are queued or start.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::processes::{await_first_output, counter_code, spawner};
use crate::{
    http::{Received, Stream, Transcript, create, create_python, delete, get, read_all, session},
    machine::{self, eventually, is_running},
    options::CommonOptions,
    server::{Server, ServerOptions, send_signal},
};

/// The spawner is stopped while sessions are created, and then continued.
pub async fn spawner_stopped(common: &CommonOptions) -> Result<String> {
    let server = Server::start(ServerOptions::new(common).with(&["--warm", "off"]))?;
    let address = server.address().to_owned();
    let spawner = spawner(&server)?;
    send_signal(spawner, Signal::STOP);
    let mut queued = vec![];
    for _ in 0..10 {
        queued.push(create_python(&address, "print('ran')").await?);
    }
    let answered = timeout(Duration::from_secs(1), get(&address, "/healthz")).await;
    ensure!(
        answered.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200)),
        "the server does not answer"
    );
    let began = Instant::now();
    let deleted = queued.pop().unwrap_or_default();
    ensure!(delete(&address, &deleted).await?.status == 204, "a queued session could not be deleted");
    let took = began.elapsed();
    send_signal(spawner, Signal::CONT);
    for id in &queued {
        let transcript = read_all(&address, id).await?;
        ensure!(transcript.stdout == "ran\n" && transcript.exitstatus() == Some(0), "{transcript:?}");
    }
    ensure!(!server.data().join("sessions").join(&deleted).exists(), "the deleted session exists again");
    Ok(format!("10 created meanwhile, one deleted after {:.1} s, the other 9 ran", took.as_secs_f64()))
}

/// The interpreter zygote hangs. Warm sandboxes serve the first sessions, and the others start
/// cold.
pub async fn zygote_hangs(common: &CommonOptions) -> Result<String> {
    const SESSIONS: usize = 30;
    const RUN_TIMEOUT: Duration = Duration::from_secs(40);
    let server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    let is_zygote = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"/code/main.py\0"))
    };
    let find = || machine::children(server.pid()).into_iter().find(is_zygote);
    let first = eventually("there is an interpreter zygote", find).await?;
    // A zygote with a child is ready for its sessions.
    eventually("the zygote forks", || (!machine::children(first).is_empty()).then_some(())).await?;
    send_signal(first, Signal::STOP);
    let began = Instant::now();
    let mut ids = vec![];
    for _ in 0..SESSIONS {
        ids.push(create_python(&address, "print('ran')").await?);
    }
    for id in &ids {
        let transcript =
            timeout(RUN_TIMEOUT, read_all(&address, id)).await.context("a queued session did not run")??;
        ensure!(transcript.stdout == "ran\n" && transcript.exitstatus() == Some(0), "{transcript:?}");
    }
    let took = began.elapsed();
    eventually("the zygote has exited", || (!is_running(first)).then_some(())).await?;
    // This request makes the server start another zygote.
    let next = create_python(&address, "print('ran')").await?;
    ensure!(read_all(&address, &next).await?.stdout == "ran\n", "the next session did not run");
    eventually("there is another zygote", || find().filter(|pid| *pid != first)).await?;
    Ok(format!(
        "{SESSIONS} of {SESSIONS} ran within {:.1} s, and there is another interpreter zygote",
        took.as_secs_f64()
    ))
}

/// The spawner hangs. At first its socket holds all requests, so that only the missing answers
/// show the fault. Later there are more requests than the socket holds, and more than the server
/// has threads to block.
pub async fn spawner_hangs(common: &CommonOptions) -> Result<String> {
    const SESSIONS: usize = 1000;
    const RUN_TIMEOUT: Duration = Duration::from_secs(30);
    let limits = ["--sessions-running-max", "2000", "--sessions-per-owner-max", "2000", "--warm", "off"];
    let mut server = Server::start(ServerOptions::new(common).with(&limits))?;
    let address = server.address().to_owned();
    let first = spawner(&server)?;
    send_signal(first, Signal::STOP);
    let began = Instant::now();
    let mut queued = vec![];
    for _ in 0..3 {
        queued.push(create_python(&address, "print('ran')").await?);
    }
    for id in &queued {
        let transcript =
            timeout(RUN_TIMEOUT, read_all(&address, id)).await.context("a queued session did not run")??;
        ensure!(transcript.stdout == "ran\n" && transcript.exitstatus() == Some(0), "{transcript:?}");
    }
    let took = began.elapsed();
    eventually("the first spawner has exited", || (!is_running(first)).then_some(())).await?;

    let second = spawner(&server)?;
    send_signal(second, Signal::STOP);
    let request = json!({"runtime": "bash", "code": "true"});
    for created in 0..SESSIONS {
        let create = create(&address, &request);
        timeout(Duration::from_secs(10), create)
            .await
            .with_context(|| format!("the server hangs after {created} sessions"))??;
    }
    server.kill();
    send_signal(second, Signal::KILL); // so that it starts none of them
    Ok(format!(
        "3 ran after {:.1} s on another spawner; {SESSIONS} created while that one hung",
        took.as_secs_f64()
    ))
}

/// The server is killed and restarted while sessions are queued.
pub async fn killed_while_queued(common: &CommonOptions) -> Result<String> {
    let mut server = Server::start(ServerOptions::new(common).with(&["--sessions-running-max", "1"]))?;
    let address = server.address().to_owned();
    let first = create_python(&address, &counter_code(60)).await?;
    await_first_output(&address, &first).await?;
    let mut queued = vec![];
    for _ in 0..4 {
        queued.push(create_python(&address, "print(input(), flush=True)").await?);
    }
    server.kill();
    server.restart()?;
    let mut streams = vec![];
    for id in &queued {
        let mut stream = Stream::connect(&address, id, 0).await?;
        stream.send(&json!({"msgtype": "input", "data": format!("{id}\n"), "id": 1})).await;
        streams.push(stream);
    }
    let last = session(&address, &queued[3]).await?;
    ensure!(last["state"] == "queued", "the session is not queued: {last}");
    for (id, stream) in queued.iter().zip(&mut streams) {
        let mut transcript = Transcript::default();
        while let Received::Message(message) = stream.next().await {
            transcript.add(&message)?;
        }
        ensure!(
            transcript.stdout == format!("{id}\n") && transcript.exitstatus() == Some(0),
            "{transcript:?}"
        );
    }
    Ok("4 were queued during the kill, and each ran once with its own input".into())
}

/// A queued and a running session are deleted while a client follows them.
pub async fn deleted_before_start(common: &CommonOptions) -> Result<String> {
    let server = Server::start(ServerOptions::new(common).with(&["--sessions-running-max", "1"]))?;
    let address = server.address().to_owned();
    let first = create(&address, &json!({"runtime": "bash", "code": "echo up; sleep 600"})).await?;
    await_first_output(&address, &first).await?;
    let queued = create_python(&address, "print(1)").await?;
    for id in [queued, first] {
        let mut stream = Stream::connect(&address, &id, 0).await?;
        ensure!(matches!(stream.next().await, Received::Message(_)), "the stream has no welcome");
        ensure!(delete(&address, &id).await?.status == 204, "the session could not be deleted");
        let mut transcript = Transcript::default();
        let code = loop {
            match stream.next().await {
                Received::Message(message) => transcript.add(&message)?,
                other => break other,
            }
        };
        ensure!(
            code == Received::Closed(1000) && transcript.reason() == Some("cancelled"),
            "{code:?}, {:?}",
            transcript.exit
        );
    }
    Ok("cancelled and 1000, before and after the program started".into())
}
