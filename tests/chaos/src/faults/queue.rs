//! Faults while sessions wait to begin.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::processes::{begun, counter, spawner};
use crate::{
    Common,
    http::{Received, Stream, Whole, create, create_python, delete, get, read_all, session},
    machine::{self, eventually, is_alive},
    server::{Options, Server, signal_pid},
};

pub async fn spawner_stopped(common: &Common) -> Result<String> {
    let server = Server::start(Options::new(common).with(&["--warm", "off"]))?;
    let address = server.address().to_owned();
    let spawner = spawner(&server)?;
    signal_pid(spawner, Signal::STOP);
    let mut waiting = vec![];
    for _ in 0..10 {
        waiting.push(create_python(&address, "print('ran')").await?);
    }
    let answered = timeout(Duration::from_secs(1), get(&address, "/healthz")).await;
    ensure!(answered.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200)), "the server hangs");
    let began = Instant::now();
    let deleted = waiting.pop().unwrap_or_default();
    ensure!(delete(&address, &deleted).await?.status == 204, "what waits could not be deleted");
    let took = began.elapsed();
    signal_pid(spawner, Signal::CONT);
    for id in &waiting {
        let whole = read_all(&address, id).await?;
        ensure!(whole.stdout == "ran\n" && whole.exitstatus() == Some(0), "{whole:?}");
    }
    ensure!(!server.data().join("sessions").join(&deleted).exists(), "what was deleted came back");
    Ok(format!("10 created meanwhile, one deleted after {:.1} s, the other 9 ran", took.as_secs_f64()))
}

/// A template that hangs: those that wait ahead of their sessions serve as many, and the rest start without it.
pub async fn template_hangs(common: &Common) -> Result<String> {
    const SESSIONS: usize = 30;
    const PATIENCE: Duration = Duration::from_secs(40);
    let server = Server::start(Options::new(common))?;
    let address = server.address().to_owned();
    let is_template = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"/code/main.py\0"))
    };
    let find = || machine::children(server.pid()).into_iter().find(is_template);
    let first = eventually("there is a template", find).await?;
    // Its sessions find it up.
    eventually("it forks", || (!machine::children(first).is_empty()).then_some(())).await?;
    signal_pid(first, Signal::STOP);
    let began = Instant::now();
    let mut ids = vec![];
    for _ in 0..SESSIONS {
        ids.push(create_python(&address, "print('ran')").await?);
    }
    for id in &ids {
        let whole = timeout(PATIENCE, read_all(&address, id)).await.context("what waited never ran")??;
        ensure!(whole.stdout == "ran\n" && whole.exitstatus() == Some(0), "{whole:?}");
    }
    let took = began.elapsed();
    eventually("it is gone", || (!is_alive(first)).then_some(())).await?;
    let next = create_python(&address, "print('ran')").await?; // which asks for it
    ensure!(read_all(&address, &next).await?.stdout == "ran\n", "the next did not run");
    eventually("there is another", || find().filter(|pid| *pid != first)).await?;
    Ok(format!(
        "{SESSIONS} of {SESSIONS} ran within {:.1} s, and there is another template",
        took.as_secs_f64()
    ))
}

/// First as few as its socket holds, so that only their silence shows that it hangs; then more than that holds, and more than
/// the server has threads that may wait.
pub async fn spawner_hangs(common: &Common) -> Result<String> {
    const SESSIONS: usize = 1000;
    const PATIENCE: Duration = Duration::from_secs(30);
    let most = ["--sessions-running-max", "2000", "--sessions-per-owner-max", "2000", "--warm", "off"];
    let mut server = Server::start(Options::new(common).with(&most))?;
    let address = server.address().to_owned();
    let first = spawner(&server)?;
    signal_pid(first, Signal::STOP);
    let began = Instant::now();
    let mut waiting = vec![];
    for _ in 0..3 {
        waiting.push(create_python(&address, "print('ran')").await?);
    }
    for id in &waiting {
        let whole = timeout(PATIENCE, read_all(&address, id)).await.context("what waited never ran")??;
        ensure!(whole.stdout == "ran\n" && whole.exitstatus() == Some(0), "{whole:?}");
    }
    let took = began.elapsed();
    eventually("the first spawner is gone", || (!is_alive(first)).then_some(())).await?;

    let second = spawner(&server)?;
    signal_pid(second, Signal::STOP);
    let request = json!({"runtime": "bash", "code": "true"});
    for made in 0..SESSIONS {
        let create = create(&address, &request);
        timeout(Duration::from_secs(10), create)
            .await
            .with_context(|| format!("it hangs after {made}"))??;
    }
    server.kill();
    signal_pid(second, Signal::KILL); // so that it need not start them all
    Ok(format!("3 ran after {:.1} s on another; {SESSIONS} created while that one hung", took.as_secs_f64()))
}

pub async fn killed_while_waiting(common: &Common) -> Result<String> {
    let mut server = Server::start(Options::new(common).with(&["--sessions-running-max", "1"]))?;
    let address = server.address().to_owned();
    let first = create_python(&address, &counter(60)).await?;
    begun(&address, &first).await?;
    let mut waiting = vec![];
    for _ in 0..4 {
        waiting.push(create_python(&address, "print(input(), flush=True)").await?);
    }
    server.kill();
    server.start_again()?;
    let mut streams = vec![];
    for id in &waiting {
        let mut stream = Stream::connect(&address, id, 0).await?;
        stream.send(&json!({"msgtype": "input", "data": format!("{id}\n"), "id": 1})).await;
        streams.push(stream);
    }
    let last = session(&address, &waiting[3]).await?;
    ensure!(last["state"] == "queued", "it does not wait: {last}");
    for (id, stream) in waiting.iter().zip(&mut streams) {
        let mut whole = Whole::default();
        while let Received::Message(message) = stream.next().await {
            whole.take(&message)?;
        }
        ensure!(whole.stdout == format!("{id}\n") && whole.exitstatus() == Some(0), "{whole:?}");
    }
    Ok("4 waited over the kill, each ran once with its own input".into())
}

pub async fn deleted_while_waiting(common: &Common) -> Result<String> {
    let server = Server::start(Options::new(common).with(&["--sessions-running-max", "1"]))?;
    let address = server.address().to_owned();
    let first = create(&address, &json!({"runtime": "bash", "code": "echo up; sleep 600"})).await?;
    begun(&address, &first).await?;
    let waiting = create_python(&address, "print(1)").await?;
    for id in [waiting, first] {
        let mut stream = Stream::connect(&address, &id, 0).await?;
        ensure!(matches!(stream.next().await, Received::Message(_)), "no welcome");
        ensure!(delete(&address, &id).await?.status == 204, "it could not be deleted");
        let mut whole = Whole::default();
        let code = loop {
            match stream.next().await {
                Received::Message(message) => whole.take(&message)?,
                other => break other,
            }
        };
        ensure!(
            code == Received::Closed(1000) && whole.reason() == Some("cancelled"),
            "{code:?}, {:?}",
            whole.exit
        );
    }
    Ok("cancelled and 1000, before and after the program began".into())
}
