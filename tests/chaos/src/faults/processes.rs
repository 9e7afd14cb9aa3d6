//! Faults of processes: server, spawner, supervisors.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Common, client,
    http::{Received, Stream, Whole, create, create_python, delete, get, read_all, request, session},
    machine::{self, eventually, is_alive},
    program::Program,
    server::{Options, Server, signal_pid},
};

/// A program that prints numbered lines for about `lines` / 100 seconds.
pub fn counter(lines: usize) -> String {
    format!("import time\nfor i in range({lines}):\n    print(i, flush=True)\n    time.sleep(0.01)\n")
}

pub fn counted(lines: usize) -> String {
    (0..lines).map(|i| format!("{i}\n")).collect()
}

/// Waits until a session runs, and has printed something.
pub async fn begun(address: &str, id: &str) -> Result<()> {
    let mut stream = Stream::connect(address, id, 0).await?;
    loop {
        match stream.next().await {
            Received::Message(message) if message["msgtype"] == "write" => return Ok(()),
            Received::Message(_) => {}
            other => bail!("{id} ended before it printed: {other:?}"),
        }
    }
}

/// Reads on from `whole` until the stream ends.
pub async fn read_on(address: &str, id: &str, whole: &mut Whole) -> Result<Received> {
    let mut stream = Stream::connect(address, id, whole.after).await?;
    loop {
        match stream.next().await {
            Received::Message(message) => whole.take(&message)?,
            other => return Ok(other),
        }
    }
}

pub async fn server_killed(common: &Common) -> Result<String> {
    let mut server = Server::start(Options::new(common))?;
    let id = create_python(server.address(), &counter(150)).await?;
    let mut whole = Whole::default();
    let mut kills = 0;
    while whole.exit.is_none() {
        let read =
            tokio::time::timeout(Duration::from_millis(300), read_on(server.address(), &id, &mut whole))
                .await;
        if read.is_err() {
            server.kill();
            server.start_again()?;
            kills += 1;
        }
    }
    ensure!(whole.stdout == counted(150), "the output differs: {:?}", whole.stdout);
    ensure!(whole.exitstatus() == Some(0) && kills > 1, "{:?} after {kills} kills", whole.exit);
    Ok(format!("150 of 150 lines over {kills} kills, exit status 0"))
}

pub async fn server_stopped(common: &Common) -> Result<String> {
    let server = Server::start(Options::new(common))?;
    let id = create_python(server.address(), &counter(100)).await?;
    let mut stream = Stream::connect(server.address(), &id, 0).await?;
    let mut whole = Whole::default();
    stream.next().await;
    server.signal(Signal::STOP);
    sleep(Duration::from_millis(600)).await; // the fault itself: this is how long it lasts
    server.signal(Signal::CONT);
    loop {
        match stream.next().await {
            Received::Message(message) => whole.take(&message)?,
            Received::Closed(1000) => break,
            other => bail!("{other:?}"),
        }
    }
    ensure!(whole.stdout == counted(100), "{:?}", whole.stdout);
    let elapsed = session(server.address(), &id).await?["elapsed"].as_f64().context("elapsed")?;
    Ok(format!("100 of 100 lines on the same connection, program ran {elapsed:.1} s"))
}

pub async fn server_asked_to_stop(common: &Common) -> Result<String> {
    let mut server = Server::start(Options::new(common))?;
    let id = create_python(server.address(), &counter(200)).await?;
    let mut stream = Stream::connect(server.address(), &id, 0).await?;
    let mut whole = Whole::default();
    let mut asked = false;
    let code = loop {
        match stream.next().await {
            Received::Message(message) => whole.take(&message)?,
            Received::Closed(code) => break code,
            Received::Cut => bail!("cut instead of closed"),
        }
        if !asked && whole.after > 3 {
            asked = true;
            server.terminate();
        }
    };
    ensure!(code == 1012, "closed with {code}");
    ensure!(server.wait()?.success(), "the server did not end well");
    server.start_again()?;
    while whole.exit.is_none() {
        read_on(server.address(), &id, &mut whole).await?;
    }
    ensure!(whole.stdout == counted(200) && whole.exitstatus() == Some(0), "{whole:?}");
    Ok("closed with 1012, 200 of 200 lines after the restart".into())
}

pub async fn server_drained(common: &Common) -> Result<String> {
    let mut server = Server::start(Options::new(common).with(&["--drain"]))?;
    let address = server.address().to_owned();
    let id = create_python(&address, &counter(150)).await?;
    begun(&address, &id).await?;
    server.terminate();
    let refused = loop {
        let answer =
            request(&address, "POST", "/sessions", None, Some(&json!({"runtime": "python", "code": ""})))
                .await?;
        if answer.status != 201 {
            break answer.status; // the signal has arrived
        }
    };
    let whole = read_all(&address, &id).await?; // a new connection, while it drains
    ensure!(refused == 503, "a new session was answered {refused}");
    ensure!(whole.stdout == counted(150), "{:?}", whole.stdout);
    ensure!(server.wait()?.success(), "the server did not end well");
    Ok("503, all 150 lines, then the server ended".into())
}

pub async fn killed_in_create(common: &Common) -> Result<String> {
    const SESSIONS: usize = 40;
    let mut server = Server::start(Options::new(common))?;
    let address = server.address().to_owned();
    let mut creators = tokio::task::JoinSet::new();
    for index in 0..SESSIONS {
        let address = address.clone();
        creators.spawn(async move {
            let program = Program { index, lines: 3, pause_ms: 0, exitstatus: 7 };
            let id = client::create(&address, &program, &format!("create-{index}")).await?;
            let seen = client::follow(&address, &id, 0, Duration::ZERO).await?;
            ensure!(seen.whole.stdout == program.stdout() && seen.whole.exitstatus() == Some(7), "{seen:?}");
            Ok(id)
        });
    }
    let mut kills = 0;
    while !creators.is_empty() && kills < 12 {
        sleep(Duration::from_millis(fastrand::u64(1..60))).await;
        server.kill();
        server.start_again()?;
        kills += 1;
    }
    let mut ids = creators.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    ids.sort_unstable();
    ids.dedup();
    let listed = get(&address, "/sessions").await?.expect(200)?;
    let there = listed.as_array().map_or(0, Vec::len);
    ensure!(ids.len() == SESSIONS && there == SESSIONS, "{} ids, {there} sessions", ids.len());
    Ok(format!("{SESSIONS} keys, {there} sessions, each whole, over {kills} kills"))
}

pub async fn killed_in_delete(common: &Common) -> Result<String> {
    const SESSIONS: usize = 24;
    let mut server = Server::start(Options::new(common))?;
    let address = server.address().to_owned();
    let mut ids = vec![];
    for _ in 0..SESSIONS {
        ids.push(create(&address, &json!({"runtime": "bash", "code": "echo up; sleep 600"})).await?);
    }
    for id in &ids {
        begun(&address, id).await?;
    }
    let deleting: Vec<_> = ids
        .iter()
        .map(|id| {
            let (address, id) = (address.clone(), id.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(fastrand::u64(..40))).await;
                delete(&address, &id).await.map(|answer| answer.status)
            })
        })
        .collect();
    sleep(Duration::from_millis(20)).await; // in the middle of them, as a rule
    server.kill();
    let mut answered = 0;
    for deleting in deleting {
        answered += usize::from(matches!(deleting.await?, Ok(204)));
    }
    server.start_again()?;
    let mut left = 0;
    for id in &ids {
        let answer = get(&address, &format!("/sessions/{id}")).await?;
        if answer.status == 200 {
            left += 1;
            let answer = delete(&address, id).await?;
            ensure!(answer.status == 204, "deleting again was answered {}", answer.status);
        }
    }
    let data = server.data().to_owned();
    eventually("everything of it gone", || {
        let nothing = machine::session_cgroups(&data).is_empty()
            && machine::files(&data.join("sessions")) + machine::files(&data.join("trash")) == 0
            && machine::processes(&data) <= 2;
        nothing.then_some(())
    })
    .await?;
    Ok(format!(
        "{answered} of {SESSIONS} answered before the kill, {left} still there and deleted again, nothing left"
    ))
}

pub async fn supervisor_killed(common: &Common) -> Result<String> {
    let server = Server::start(Options::new(common))?;
    let address = server.address().to_owned();
    // It says how far it is where this can be seen without its supervisor: in its process's name (prctl(2), PR_SET_NAME).
    let code = "import ctypes, time\nprctl = ctypes.CDLL(None).prctl\nfor i in range(10_000):\n    \
                print(i, flush=True); prctl(15, str(i).encode(), 0, 0, 0); time.sleep(0.01)";
    let id = create_python(&address, code).await?;
    begun(&address, &id).await?;
    let supervisor = server.supervisor(&id).context("no state file")?;
    let printed = || {
        let names = machine::sandbox(supervisor).into_iter().map(machine::name);
        names.filter_map(|name| name.parse::<usize>().ok()).max()
    };
    eventually("the program prints", || printed().filter(|number| *number > 20)).await?;
    let below = machine::sandbox(supervisor);
    ensure!(below.len() > 1, "its sandbox is not found");
    let has_groups = !machine::session_cgroups(server.data()).is_empty();
    ensure!(
        has_groups || !rustix::process::geteuid().is_root(),
        "its cgroups are not where they are looked for"
    );
    below.iter().for_each(|pid| signal_pid(*pid, Signal::STOP));
    sleep(Duration::from_millis(200)).await; // many times what a supervisor needs to write down what it was given
    let printed = printed().context("no program below the supervisor")?;
    signal_pid(supervisor, Signal::KILL);
    let whole = read_all(&address, &id).await?;
    let kept = whole.stdout.lines().count();
    ensure!(kept > printed, "{} lines were printed, and {kept} kept", printed + 1);
    ensure!(whole.exitstatus() == Some(255) && whole.reason() == Some("lost"), "{:?}", whole.exit);
    ensure!(counted(10_000).starts_with(&whole.stdout) && !whole.stdout.is_empty(), "{:?}", whole.stdout);
    eventually("its processes dead", || below.iter().all(|pid| !is_alive(*pid)).then_some(())).await?;
    let (data, groups) = (server.data().to_owned(), server.data().to_owned());
    eventually("its cgroups gone", || machine::session_cgroups(&groups).is_empty().then_some(())).await?;
    let folder = data.join("sessions").join(&id);
    eventually("its socket gone", || (!folder.join("socket").exists()).then_some(())).await?;
    Ok(format!(
        "255, lost, after {} whole lines; {} processes dead",
        whole.stdout.lines().count(),
        below.len()
    ))
}

/// What has only come as far as the server is not acknowledged, and what is sent again comes once.
pub async fn input_before_kill(common: &Common) -> Result<String> {
    let mut server = Server::start(Options::new(common))?;
    let address = server.address().to_owned();
    let code = "import sys\nprint('up', flush=True)\nfor line in sys.stdin: print(line, end='', flush=True)";
    let id = create_python(&address, code).await?;
    begun(&address, &id).await?;
    let supervisor = server.supervisor(&id).context("no state file")?;
    signal_pid(supervisor, Signal::STOP);
    let inputs: Vec<_> =
        (0..50).map(|n| json!({"msgtype": "input", "data": format!("{n}\n"), "id": n})).collect();
    let mut stream = Stream::connect(&address, &id, 0).await?;
    for input in &inputs {
        stream.send(input).await;
    }
    // Everything that is answered is answered in this time, several times over.
    let too_early = timeout(Duration::from_millis(300), async {
        loop {
            match stream.next().await {
                Received::Message(message) if message["msgtype"] == "ack" => return message,
                Received::Message(_) => {}
                other => return json!(format!("{other:?}")),
            }
        }
    });
    if let Ok(early) = too_early.await {
        bail!("its supervisor was stopped, and yet the server said {early}");
    }
    server.kill();
    server.start_again()?;
    signal_pid(supervisor, Signal::CONT);
    let mut stream = Stream::connect(&address, &id, 0).await?;
    for input in &inputs {
        stream.send(input).await;
    }
    stream.send(&json!({"msgtype": "input", "data": "", "eof": true})).await;
    while let Received::Message(_) = stream.next().await {}
    let whole = read_all(&address, &id).await?;
    ensure!(whole.stdout == format!("up\n{}", counted(50)), "{:?}", whole.stdout);
    Ok("no ack before the kill, 50 of 50 once after it".into())
}

pub async fn supervisor_stopped(common: &Common) -> Result<String> {
    let server = Server::start(Options::new(common))?;
    let address = server.address().to_owned();
    let id = create_python(&address, &counter(10_000)).await?;
    let other = create_python(&address, &counter(30)).await?;
    begun(&address, &id).await?;
    let supervisor = server.supervisor(&id).context("no state file")?;
    let below = machine::sandbox(supervisor);
    ensure!(below.len() > 1, "its sandbox is not found");
    signal_pid(supervisor, Signal::STOP);
    let began = Instant::now();
    let answer = delete(&address, &id).await?;
    let took = began.elapsed();
    ensure!(answer.status == 204, "answered {}: {}", answer.status, answer.body);
    ensure!(took < Duration::from_secs(10), "took {took:?}");
    ensure!(!is_alive(supervisor) && below.iter().all(|pid| !is_alive(*pid)), "something is alive");
    ensure!(read_all(&address, &other).await?.stdout == counted(30), "the other session suffered");
    let data = server.data().to_owned();
    eventually("its cgroups gone", || {
        let is_its = |group: &String| group.contains(&format!("/{supervisor}-"));
        (!machine::cgroups(&data).iter().any(is_its)).then_some(())
    })
    .await?;
    Ok(format!("204 after {:.1} s, nothing left, another session unharmed", took.as_secs_f64()))
}

/// The server's spawner.
pub fn spawner(server: &Server) -> Result<u32> {
    let is_spawner = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"livecode\0spawner"))
    };
    machine::descendants(server.pid()).into_iter().find(is_spawner).context("no spawner")
}

pub async fn spawner_killed(common: &Common) -> Result<String> {
    let server = Server::start(Options::new(common).with(&["--warm", "off"]))?;
    let address = server.address().to_owned();
    let id = create_python(&address, &counter(60)).await?;
    begun(&address, &id).await?;
    signal_pid(spawner(&server)?, Signal::KILL);
    for _ in 0..5 {
        let id = create_python(&address, "print('made')").await?;
        let whole = read_all(&address, &id).await?;
        ensure!(whole.stdout == "made\n" && whole.exitstatus() == Some(0), "{whole:?}");
    }
    ensure!(read_all(&address, &id).await?.stdout == counted(60), "the running session suffered");
    Ok("the running session whole, 5 of 5 new ones".into())
}

pub async fn older_supervisor(common: &Common) -> Result<String> {
    let older = common.older_binary.as_deref().context("--older-binary is needed")?;
    let mut server = Server::start(Options::new(common))?;
    server.kill();
    server.set_binary(older);
    server.start_again()?;
    let address = server.address().to_owned();
    let program = Program { index: 1, lines: 120, pause_ms: 10, exitstatus: 5 };
    let id = client::create(&address, &program, "older").await?;
    let cancelled = create_python(&address, &counter(10_000)).await?;
    begun(&address, &id).await?;
    begun(&address, &cancelled).await?;
    let supervisor = server.supervisor(&cancelled).context("no state file")?;
    let version = std::fs::read_to_string(server.data().join("sessions").join(&id).join("state.json"))?;
    let version: serde_json::Value = serde_json::from_str(&version)?;
    server.kill();
    server.set_binary(&common.binary);
    server.start_again()?;
    let answer = delete(&address, &cancelled).await?;
    ensure!(answer.status == 204, "cancelling was answered {}", answer.status);
    // It syncs its journal before it ends, which nobody waits for.
    eventually("the cancelled session's supervisor gone", || (!is_alive(supervisor)).then_some(())).await?;
    let seen = client::follow(&address, &id, 5, Duration::from_millis(500)).await?;
    ensure!(seen.whole.stdout == program.stdout() && seen.whole.stderr == program.stderr(), "{seen:?}");
    ensure!(seen.whole.exitstatus() == Some(5), "{:?}", seen.whole.exit);
    ensure!(seen.whole.messages[0]["got"] == json!([0, 1, 2, 3, 4]), "{:?}", seen.whole.messages);
    Ok(format!("version {}: whole, 5 inputs in order, exit status 5; another cancelled", version["version"]))
}

pub async fn hundred_found(common: &Common) -> Result<String> {
    const SESSIONS: usize = 100;
    let mut server = Server::start(Options::new(common))?;
    let address = server.address().to_owned();
    let mut ids = vec![];
    for _ in 0..SESSIONS {
        let code = "echo up; read -r line; echo \"$line\"";
        ids.push(create(&address, &json!({"runtime": "bash", "code": code})).await?);
    }
    for id in &ids {
        begun(&address, id).await?;
    }
    server.kill();
    let began = Instant::now();
    server.start_again()?;
    for id in &ids {
        let document = session(&address, id).await?;
        ensure!(document["state"] == "running", "{document}");
        begun(&address, id).await?;
    }
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(1), "it took {took:?}");
    for id in &ids {
        let mut stream = Stream::connect(&address, id, 0).await?;
        stream.send(&json!({"msgtype": "input", "data": "on\n", "eof": true})).await;
        loop {
            match stream.next().await {
                Received::Message(_) => {}
                Received::Closed(1000) => break,
                other => bail!("{other:?}"),
            }
        }
        ensure!(read_all(&address, id).await?.stdout == "up\non\n", "a session was not found whole");
    }
    Ok(format!("{SESSIONS} found and read in {} ms from the start of the server's process", took.as_millis()))
}
