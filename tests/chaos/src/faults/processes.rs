//! Faults of processes: the server, the spawner and supervisors.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    client,
    http::{
        Answer, Received, Stream, Transcript, create, create_python, delete, get, read_all, request,
        request_as_guest, session,
    },
    machine::{self, eventually, is_running},
    options::CommonOptions,
    program::Program,
    server::{Server, ServerOptions, send_signal},
};

/// A Python program that prints numbered lines, about 100 per second.
pub fn counter_code(lines: usize) -> String {
    format!("import time\nfor i in range({lines}):\n    print(i, flush=True)\n    time.sleep(0.01)\n")
}

/// The output of [`counter_code`].
pub fn counter_output(lines: usize) -> String {
    (0..lines).map(|i| format!("{i}\n")).collect()
}

/// Waits for the first output of a session.
pub async fn await_first_output(address: &str, id: &str) -> Result<()> {
    let mut stream = Stream::connect(address, id, 0).await?;
    loop {
        match stream.next().await {
            Received::Message(message) if message["msgtype"] == "write" => return Ok(()),
            Received::Message(_) => {}
            other => bail!("{id} ended before its first output: {other:?}"),
        }
    }
}

/// Reads the stream from the end of `transcript` on, until the stream ends. Returns its last
/// event.
pub async fn read_until_closed(address: &str, id: &str, transcript: &mut Transcript) -> Result<Received> {
    let mut stream = Stream::connect(address, id, transcript.after).await?;
    loop {
        match stream.next().await {
            Received::Message(message) => transcript.add(&message)?,
            other => return Ok(other),
        }
    }
}

/// The server is killed and restarted every 300 ms while a client reads.
pub async fn server_killed(common: &CommonOptions) -> Result<String> {
    let mut server = Server::start(ServerOptions::new(common))?;
    let id = create_python(server.address(), &counter_code(150)).await?;
    let mut transcript = Transcript::default();
    let mut kills = 0;
    while transcript.exit.is_none() {
        let read = tokio::time::timeout(
            Duration::from_millis(300),
            read_until_closed(server.address(), &id, &mut transcript),
        )
        .await;
        if read.is_err() {
            server.kill();
            server.restart()?;
            kills += 1;
        }
    }
    ensure!(transcript.stdout == counter_output(150), "the output differs: {:?}", transcript.stdout);
    ensure!(transcript.exitstatus() == Some(0) && kills > 1, "{:?} after {kills} kills", transcript.exit);
    Ok(format!("150 of 150 lines over {kills} kills, exit status 0"))
}

/// The server is stopped with SIGSTOP, and then continued.
pub async fn server_stopped(common: &CommonOptions) -> Result<String> {
    let server = Server::start(ServerOptions::new(common))?;
    let id = create_python(server.address(), &counter_code(100)).await?;
    let mut stream = Stream::connect(server.address(), &id, 0).await?;
    let mut transcript = Transcript::default();
    stream.next().await;
    server.signal(Signal::STOP);
    sleep(Duration::from_millis(600)).await; // the duration of the fault
    server.signal(Signal::CONT);
    loop {
        match stream.next().await {
            Received::Message(message) => transcript.add(&message)?,
            Received::Closed(1000) => break,
            other => bail!("{other:?}"),
        }
    }
    ensure!(transcript.stdout == counter_output(100), "{:?}", transcript.stdout);
    let elapsed = session(server.address(), &id).await?["elapsed"]
        .as_f64()
        .context("the session has no elapsed time")?;
    Ok(format!("100 of 100 lines on the same connection; the program ran for {elapsed:.1} s"))
}

/// The server is asked to stop with SIGTERM while a client reads.
pub async fn server_asked_to_stop(common: &CommonOptions) -> Result<String> {
    let mut server = Server::start(ServerOptions::new(common))?;
    let id = create_python(server.address(), &counter_code(200)).await?;
    let mut stream = Stream::connect(server.address(), &id, 0).await?;
    let mut transcript = Transcript::default();
    let mut is_asked = false;
    let code = loop {
        match stream.next().await {
            Received::Message(message) => transcript.add(&message)?,
            Received::Closed(code) => break code,
            Received::Cut => bail!("the stream was cut instead of closed"),
        }
        if !is_asked && transcript.after > 3 {
            is_asked = true;
            server.terminate();
        }
    };
    ensure!(code == 1012, "closed with {code}");
    ensure!(server.wait()?.success(), "the server failed");
    server.restart()?;
    while transcript.exit.is_none() {
        read_until_closed(server.address(), &id, &mut transcript).await?;
    }
    ensure!(transcript.stdout == counter_output(200) && transcript.exitstatus() == Some(0), "{transcript:?}");
    Ok("closed with 1012, 200 of 200 lines after the restart".into())
}

/// The server is asked to stop with `--drain` while a session runs.
pub async fn server_drained(common: &CommonOptions) -> Result<String> {
    let mut server = Server::start(ServerOptions::new(common).with(&["--drain"]))?;
    let address = server.address().to_owned();
    let id = create_python(&address, &counter_code(150)).await?;
    await_first_output(&address, &id).await?;
    server.terminate();
    let refused = loop {
        let answer =
            request(&address, "POST", "/sessions", None, Some(&json!({"runtime": "python", "code": ""})))
                .await?;
        if answer.status != 201 {
            break answer.status; // the server has received the signal
        }
    };
    // This is a new connection while the server drains.
    let transcript = read_all(&address, &id).await?;
    ensure!(refused == 503, "a new session was answered {refused}");
    ensure!(transcript.stdout == counter_output(150), "{:?}", transcript.stdout);
    ensure!(server.wait()?.success(), "the server failed");
    Ok("503, all 150 lines, then the server exited".into())
}

/// The server is killed repeatedly while clients create sessions.
pub async fn killed_during_create(common: &CommonOptions) -> Result<String> {
    const SESSIONS: usize = 40;
    let mut server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    let mut creators = tokio::task::JoinSet::new();
    for index in 0..SESSIONS {
        let address = address.clone();
        creators.spawn(async move {
            let program = Program { index, lines: 3, pause_ms: 0, exitstatus: 7 };
            let id = client::create(&address, &program, &format!("create-{index}")).await?;
            let report = client::follow(&address, &id, 0, Duration::ZERO).await?;
            let transcript = &report.transcript;
            ensure!(
                transcript.stdout == program.stdout() && transcript.exitstatus() == Some(7),
                "{report:?}"
            );
            Ok(id)
        });
    }
    let mut kills = 0;
    while !creators.is_empty() && kills < 12 {
        sleep(Duration::from_millis(fastrand::u64(1..60))).await;
        server.kill();
        server.restart()?;
        kills += 1;
    }
    let mut ids = creators.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    ids.sort_unstable();
    ids.dedup();
    let listed = get(&address, "/sessions").await?.expect(200)?;
    let listed_count = listed.as_array().map_or(0, Vec::len);
    ensure!(ids.len() == SESSIONS && listed_count == SESSIONS, "{} ids, {listed_count} sessions", ids.len());
    Ok(format!("{SESSIONS} keys, {listed_count} sessions, each complete, over {kills} kills"))
}

/// The server is killed while clients delete sessions.
pub async fn killed_during_delete(common: &CommonOptions) -> Result<String> {
    const SESSIONS: usize = 24;
    let mut server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    let mut ids = vec![];
    for _ in 0..SESSIONS {
        ids.push(create(&address, &json!({"runtime": "bash", "code": "echo up; sleep 600"})).await?);
    }
    for id in &ids {
        await_first_output(&address, id).await?;
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
    sleep(Duration::from_millis(20)).await; // usually in the middle of the deletions
    server.kill();
    let mut answered = 0;
    for deleting in deleting {
        answered += usize::from(matches!(deleting.await?, Ok(204)));
    }
    server.restart()?;
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
    eventually("everything of the sessions is gone", || {
        let is_all_gone = machine::session_cgroups(&data).is_empty()
            && machine::count_files(&data.join("sessions")) + machine::count_files(&data.join("trash")) == 0
            && machine::count_processes(&data) <= 2;
        is_all_gone.then_some(())
    })
    .await?;
    Ok(format!(
        "{answered} of {SESSIONS} answered before the kill, {left} left and deleted again, nothing left in the end"
    ))
}

/// A supervisor is killed. Everything that its program had printed some time before is kept.
pub async fn supervisor_killed(common: &CommonOptions) -> Result<String> {
    let server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    // The program shows its progress in its process name (prctl(2), PR_SET_NAME), where it can be
    // read without the supervisor.
    let code = "import ctypes, time\nprctl = ctypes.CDLL(None).prctl\nfor i in range(10_000):\n    \
                print(i, flush=True); prctl(15, str(i).encode(), 0, 0, 0); time.sleep(0.01)";
    let id = create_python(&address, code).await?;
    await_first_output(&address, &id).await?;
    let supervisor = server.supervisor(&id).context("the session has no state file")?;
    let printed = || {
        let names = machine::sandbox_processes(supervisor).into_iter().map(machine::process_name);
        names.filter_map(|name| name.parse::<usize>().ok()).max()
    };
    eventually("the program prints", || printed().filter(|number| *number > 20)).await?;
    let sandbox = machine::sandbox_processes(supervisor);
    ensure!(sandbox.len() > 1, "its sandbox was not found");
    let has_groups = !machine::session_cgroups(server.data()).is_empty();
    ensure!(has_groups || !rustix::process::geteuid().is_root(), "its cgroups were not found");
    sandbox.iter().for_each(|pid| send_signal(*pid, Signal::STOP));
    // The supervisor needs a small part of this time to write what it has read.
    sleep(Duration::from_millis(200)).await;
    let printed = printed().context("the supervisor has no program")?;
    send_signal(supervisor, Signal::KILL);
    let transcript = read_all(&address, &id).await?;
    let kept = transcript.stdout.lines().count();
    ensure!(kept > printed, "{} lines were printed, but {kept} were kept", printed + 1);
    ensure!(
        transcript.exitstatus() == Some(255) && transcript.reason() == Some("lost"),
        "{:?}",
        transcript.exit
    );
    ensure!(
        counter_output(10_000).starts_with(&transcript.stdout) && !transcript.stdout.is_empty(),
        "{:?}",
        transcript.stdout
    );
    eventually("its processes have exited", || sandbox.iter().all(|pid| !is_running(*pid)).then_some(()))
        .await?;
    let (data, groups) = (server.data().to_owned(), server.data().to_owned());
    eventually("its cgroups are gone", || machine::session_cgroups(&groups).is_empty().then_some(())).await?;
    let folder = data.join("sessions").join(&id);
    eventually("its socket is gone", || (!folder.join("socket").exists()).then_some(())).await?;
    Ok(format!(
        "255, lost, after {} complete lines; {} processes killed",
        transcript.stdout.lines().count(),
        sandbox.len()
    ))
}

/// The server is killed before the supervisor has read inputs. An input that only the server has
/// received is not acknowledged, and a redelivered input arrives once.
pub async fn input_before_kill(common: &CommonOptions) -> Result<String> {
    let mut server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    let code = "import sys\nprint('up', flush=True)\nfor line in sys.stdin: print(line, end='', flush=True)";
    let id = create_python(&address, code).await?;
    await_first_output(&address, &id).await?;
    let supervisor = server.supervisor(&id).context("the session has no state file")?;
    send_signal(supervisor, Signal::STOP);
    let inputs: Vec<_> =
        (0..50).map(|n| json!({"msgtype": "input", "data": format!("{n}\n"), "id": n})).collect();
    let mut stream = Stream::connect(&address, &id, 0).await?;
    for input in &inputs {
        stream.send(input).await;
    }
    // An ack that is sent at all arrives well within this time.
    let early_ack = timeout(Duration::from_millis(300), async {
        loop {
            match stream.next().await {
                Received::Message(message) if message["msgtype"] == "ack" => return message,
                Received::Message(_) => {}
                other => return json!(format!("{other:?}")),
            }
        }
    });
    if let Ok(early) = early_ack.await {
        bail!("the server sent {early} although the supervisor was stopped");
    }
    server.kill();
    server.restart()?;
    send_signal(supervisor, Signal::CONT);
    let mut stream = Stream::connect(&address, &id, 0).await?;
    for input in &inputs {
        stream.send(input).await;
    }
    stream.send(&json!({"msgtype": "input", "data": "", "eof": true})).await;
    while let Received::Message(_) = stream.next().await {}
    let transcript = read_all(&address, &id).await?;
    ensure!(transcript.stdout == format!("up\n{}", counter_output(50)), "{:?}", transcript.stdout);
    Ok("no ack before the kill, 50 of 50 inputs delivered once after it".into())
}

/// A supervisor is stopped, and its session is deleted.
pub async fn supervisor_stopped(common: &CommonOptions) -> Result<String> {
    let server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    let id = create_python(&address, &counter_code(10_000)).await?;
    let other = create_python(&address, &counter_code(30)).await?;
    await_first_output(&address, &id).await?;
    let supervisor = server.supervisor(&id).context("the session has no state file")?;
    let sandbox = machine::sandbox_processes(supervisor);
    ensure!(sandbox.len() > 1, "its sandbox was not found");
    send_signal(supervisor, Signal::STOP);
    let began = Instant::now();
    let answer = delete(&address, &id).await?;
    let took = began.elapsed();
    ensure!(answer.status == 204, "answered {}: {}", answer.status, answer.body);
    ensure!(took < Duration::from_secs(10), "took {took:?}");
    ensure!(!is_running(supervisor) && sandbox.iter().all(|pid| !is_running(*pid)), "a process is alive");
    ensure!(read_all(&address, &other).await?.stdout == counter_output(30), "the other session is damaged");
    let data = server.data().to_owned();
    eventually("its cgroups are gone", || {
        let is_of_supervisor = |group: &String| group.contains(&format!("/{supervisor}-"));
        (!machine::cgroups(&data).iter().any(is_of_supervisor)).then_some(())
    })
    .await?;
    Ok(format!("204 after {:.1} s, nothing left, another session undisturbed", took.as_secs_f64()))
}

/// The process number of the server's first spawner.
pub fn spawner(server: &Server) -> Result<u32> {
    let is_spawner = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"livecode\0spawner"))
    };
    machine::descendants(server.pid()).into_iter().find(is_spawner).context("the server has no spawner")
}

/// The spawner is killed while a session runs.
pub async fn spawner_killed(common: &CommonOptions) -> Result<String> {
    let server = Server::start(ServerOptions::new(common).with(&["--warm", "off"]))?;
    let address = server.address().to_owned();
    let id = create_python(&address, &counter_code(60)).await?;
    await_first_output(&address, &id).await?;
    send_signal(spawner(&server)?, Signal::KILL);
    for _ in 0..5 {
        let id = create_python(&address, "print('made')").await?;
        let transcript = read_all(&address, &id).await?;
        ensure!(transcript.stdout == "made\n" && transcript.exitstatus() == Some(0), "{transcript:?}");
    }
    ensure!(read_all(&address, &id).await?.stdout == counter_output(60), "the running session is damaged");
    Ok("the running session complete, 5 of 5 new sessions".into())
}

/// The server is replaced by a newer binary while supervisors of each older binary run.
pub async fn older_supervisor(common: &CommonOptions) -> Result<String> {
    ensure!(!common.older_binary.is_empty(), "--older-binary is missing");
    let mut versions = vec![];
    for older in &common.older_binary {
        let version = upgrade(common, older).await.with_context(|| format!("from {}", older.display()))?;
        versions.push(version.to_string());
    }
    Ok(format!(
        "versions {}: owners found, complete, 5 inputs in order, exit status 5; one more cancelled, an ended one still readable",
        versions.join(" and ")
    ))
}

/// The ids in a list of sessions.
fn listed(answer: Answer) -> Result<Vec<String>> {
    let list = answer.expect(200)?;
    let ids = list.as_array().context("not a list")?.iter();
    Ok(ids.filter_map(|session| session["id"].as_str().map(str::to_owned)).collect())
}

/// Replaces the server of an `older` binary while it has an ended session and two that run.
/// Returns the version of the protocol that the older supervisors speak.
async fn upgrade(common: &CommonOptions, older: &Path) -> Result<Value> {
    let mut server = Server::start(ServerOptions::new(common))?;
    server.kill();
    server.set_binary(older);
    server.restart()?;
    let address = server.address().to_owned();
    let ended = create_python(&address, &counter_code(20)).await?;
    let before = read_all(&address, &ended).await?;
    let program = Program { index: 1, lines: 120, pause_ms: 10, exitstatus: 5 };
    let id = client::create(&address, &program, "older").await?;
    let cancelled = create_python(&address, &counter_code(10_000)).await?;
    let code = json!({"runtime": "bash", "code": "echo of a guest; sleep 60"});
    let of_guest = request_as_guest(&address, "POST", "/sessions", Some(&code)).await?.expect(201)?;
    let of_guest = of_guest["id"].as_str().context("there is no id")?;
    await_first_output(&address, &id).await?;
    await_first_output(&address, &cancelled).await?;
    let supervisor = server.supervisor(&cancelled).context("the session has no state file")?;
    let state = std::fs::read_to_string(server.data().join("sessions").join(&id).join("state.json"))?;
    let state: Value = serde_json::from_str(&state)?;
    server.kill();
    server.set_binary(&common.binary);
    server.restart()?;
    // The owners are found again: each has its own sessions in its list.
    let guests = listed(request_as_guest(&address, "GET", "/sessions", None).await?)?;
    ensure!(guests == [of_guest], "the guest has {guests:?}");
    let own = listed(get(&address, "/sessions").await?)?;
    ensure!([&ended, &id, &cancelled].iter().all(|id| own.contains(id)), "the local user has {own:?}");
    let path = format!("/sessions/{of_guest}");
    let answer = request_as_guest(&address, "DELETE", &path, None).await?;
    ensure!(answer.status == 204, "the guest's session is not its own: {}", answer.status);
    let answer = delete(&address, &cancelled).await?;
    ensure!(answer.status == 204, "the cancellation was answered {}", answer.status);
    // The supervisor syncs its journal before it exits; the deletion does not wait for that.
    eventually("the cancelled session's supervisor has exited", || (!is_running(supervisor)).then_some(()))
        .await?;
    let report = client::follow(&address, &id, 5, Duration::from_millis(500)).await?;
    ensure!(
        report.transcript.stdout == program.stdout() && report.transcript.stderr == program.stderr(),
        "{report:?}"
    );
    ensure!(report.transcript.exitstatus() == Some(5), "{:?}", report.transcript.exit);
    ensure!(
        report.transcript.messages[0]["got"] == json!([0, 1, 2, 3, 4]),
        "{:?}",
        report.transcript.messages
    );
    let after = read_all(&address, &ended).await?;
    ensure!(
        after.stdout == before.stdout && after.after == before.after && after.exit == before.exit,
        "the ended session was {before:?}, and is {after:?} after the upgrade"
    );
    Ok(state["version"].clone())
}

/// The server is killed and restarted while 100 sessions run.
pub async fn hundred_recovered(common: &CommonOptions) -> Result<String> {
    const SESSIONS: usize = 100;
    let mut server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    let mut ids = vec![];
    for _ in 0..SESSIONS {
        let code = "echo up; read -r line; echo \"$line\"";
        ids.push(create(&address, &json!({"runtime": "bash", "code": code})).await?);
    }
    for id in &ids {
        await_first_output(&address, id).await?;
    }
    server.kill();
    let began = Instant::now();
    server.restart()?;
    for id in &ids {
        let document = session(&address, id).await?;
        ensure!(document["state"] == "running", "{document}");
        await_first_output(&address, id).await?;
    }
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(1), "the recovery took {took:?}");
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
        ensure!(read_all(&address, id).await?.stdout == "up\non\n", "a session is incomplete");
    }
    Ok(format!(
        "{SESSIONS} recovered and read within {} ms of the start of the server's process",
        took.as_millis()
    ))
}
