//! Faults between a supervisor and its server, during a supervisor's start, and at its program's
//! end.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::json;

use super::processes::{await_first_output, counter_output, spawner};
use crate::{
    http::{Received, Stream, Transcript, create, create_python, delete, read_all},
    machine::{self, eventually, is_running},
    options::CommonOptions,
    server::{Server, ServerOptions, send_signal},
};

/// When a supervisor is stopped.
#[derive(Clone, Copy)]
enum StopPoint {
    /// This long after its fork.
    AfterFork(Duration),
    /// Once its journal exists.
    JournalExists,
}

/// Stops the next supervisor that the spawner forks, and returns its process number. `known` are
/// the sessions in the folder `sessions` that exist already, with their supervisors.
fn stop_next_supervisor(
    spawner: u32,
    sessions: &Path,
    known: &[(String, u32)],
    stop_point: StopPoint,
) -> Result<u32> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let spin_until = |condition: &mut dyn FnMut() -> bool| {
        // The time to wait is shorter than any sleep.
        while !condition() {
            ensure!(Instant::now() < deadline, "there is no new supervisor, or it creates no journal");
        }
        Ok(())
    };
    let mut pid = 0;
    spin_until(&mut || {
        let new =
            machine::children(spawner).into_iter().find(|pid| known.iter().all(|(_, known)| known != pid));
        pid = new.unwrap_or(0);
        pid != 0
    })?;
    match stop_point {
        StopPoint::AfterFork(delay) => {
            let began = Instant::now();
            spin_until(&mut || began.elapsed() >= delay)?;
        }
        StopPoint::JournalExists => {
            let names =
                fs::read_dir(sessions)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
            let new = names.into_iter().find(|name| known.iter().all(|(known, _)| known != name));
            let journal = sessions.join(new.context("the session has no folder")?).join("journal");
            spin_until(&mut || journal.exists())?;
        }
    }
    send_signal(pid, Signal::STOP);
    Ok(pid)
}

/// Supervisors are stopped at different points of their start, and their sessions are deleted.
pub async fn stopped_during_start(common: &CommonOptions) -> Result<String> {
    const SESSIONS: usize = 80;
    const LATEST: Duration = Duration::from_millis(4);
    // Without idle workers, each new child of the spawner is the supervisor of the new session.
    let limits = ["--sessions-running-max", "200", "--sessions-per-owner-max", "200", "--warm", "off"];
    let server = Server::start(ServerOptions::new(common).with(&limits))?;
    let (address, spawner) = (server.address().to_owned(), spawner(&server)?);
    eventually("the spawner has no child left", || machine::children(spawner).is_empty().then_some(()))
        .await?;
    let sessions = server.data().join("sessions");
    let mut known: Vec<(String, u32)> = vec![];
    for index in 0..SESSIONS {
        // Most delays are short, since the start takes a release build less time than a debug
        // build.
        let after = StopPoint::AfterFork(LATEST.mul_f64((index as f64 / SESSIONS as f64).powi(2)));
        let stop_point = if index % 2 == 0 { after } else { StopPoint::JournalExists };
        let (sessions, before) = (sessions.clone(), known.clone());
        let stopper = thread::spawn(move || stop_next_supervisor(spawner, &sessions, &before, stop_point));
        let id = create(&address, &json!({"runtime": "bash", "code": "sleep 600"})).await?;
        let pid = tokio::task::spawn_blocking(|| stopper.join()).await?;
        known.push((id, pid.map_err(|_| anyhow::anyhow!("no supervisor was stopped"))??));
    }
    let (ids, stopped): (Vec<_>, Vec<_>) = known.into_iter().unzip();
    let has = |id: &String, name: &str| sessions.join(id).join(name).exists();
    let unidentified = ids.iter().filter(|id| !has(id, "state.json")).count();
    let listening = ids.iter().filter(|id| has(id, "socket")).count();
    let deleting: Vec<_> = ids
        .iter()
        .map(|id| {
            let (address, id) = (address.clone(), id.clone());
            tokio::spawn(async move { delete(&address, &id).await })
        })
        .collect();
    let mut refused = 0;
    for deleting in deleting {
        refused += usize::from(deleting.await??.status != 204);
    }
    stopped.iter().for_each(|pid| send_signal(*pid, Signal::CONT));
    ensure!(refused == 0, "{refused} of {SESSIONS} could not be deleted");
    let data = server.data().to_owned();
    eventually("everything of the sessions is gone", || {
        let is_all_gone = machine::session_cgroups(&data).is_empty()
            && machine::count_files(&data.join("sessions")) + machine::count_files(&data.join("trash")) == 0
            && stopped.iter().all(|pid| !is_running(*pid));
        is_all_gone.then_some(())
    })
    .await?;
    let between = SESSIONS - unidentified - listening;
    Ok(format!(
        "{SESSIONS} deleted: {unidentified} stopped before they had written their identity, {listening} after they listened, {between} in between"
    ))
}

/// The connection between server and supervisor is broken again and again while a client sends
/// inputs. The client's own connection stays, and the client notices nothing.
pub async fn connection_cut(common: &CommonOptions) -> Result<String> {
    const INPUTS: usize = 400;
    const INPUTS_PER_CUT: usize = 10;
    let mut server = Server::start(ServerOptions::new(common))?;
    let address = server.address().to_owned();
    let code = "import sys\nprint('up', flush=True)\nfor line in sys.stdin: print(line, end='', flush=True)";
    let id = create_python(&address, code).await?;
    await_first_output(&address, &id).await?;
    let supervisor = server.supervisor(&id).context("the session has no state file")?;
    let mut cuts = 0;
    let mut transcript = Transcript::default();
    let mut acknowledged = 0;
    // The first server has the connection that the supervisor inherited. The second server
    // connects to the supervisor's socket.
    for half in 0..2 {
        let mut stream = Stream::connect(&address, &id, transcript.after).await?;
        let until = INPUTS / 2 * (half + 1);
        let (pid, mut sent) = (server.pid(), INPUTS / 2 * half);
        while acknowledged < until {
            if sent < until {
                for number in sent..sent + INPUTS_PER_CUT {
                    stream
                        .send(&json!({"msgtype": "input", "data": format!("{number}\n"), "id": number}))
                        .await;
                }
                sent += INPUTS_PER_CUT;
                cuts +=
                    eventually("there is a connection to cut", || machine::cut_connections(supervisor, pid))
                        .await?;
            }
            match stream.next().await {
                Received::Message(message) => {
                    ensure!(message["msgtype"] != "error", "an input was refused: {message}");
                    acknowledged += usize::from(message["msgtype"] == "ack");
                    transcript.add(&message)?;
                }
                other => bail!("the client's own connection ended: {other:?}"),
            }
        }
        if half == 0 {
            server.kill();
            server.restart()?;
        } else {
            stream.send(&json!({"msgtype": "input", "data": "", "eof": true, "id": "end"})).await;
            loop {
                match stream.next().await {
                    Received::Message(message) => transcript.add(&message)?,
                    Received::Closed(1000) => break,
                    other => bail!("the client's own connection ended: {other:?}"),
                }
            }
        }
    }
    ensure!(transcript.stdout == format!("up\n{}", counter_output(INPUTS)), "{:?}", transcript.stdout);
    ensure!(transcript.exitstatus() == Some(0) && transcript.gaps == 0, "{:?}", transcript.exit);
    Ok(format!(
        "{INPUTS} of {INPUTS} inputs once, in order, over {cuts} cuts, with one connection of the client for each server"
    ))
}

/// A program ends with full pipes and a full message channel while its supervisor is stopped. The
/// supervisor drains all of them afterwards.
pub async fn full_pipes(common: &CommonOptions) -> Result<String> {
    const PRINTED: usize = 600_000;
    // A program whose order of output is exact does not write to standard error before its
    // supervisor has seen that it is about to.
    let server = Server::start(ServerOptions::new(common).with(&["--exact-order", "off"]))?;
    let address = server.address().to_owned();
    let code = "import fcntl, os, signal\n\
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n\
                fcntl.fcntl(1, 1031, 1 << 20) # F_SETPIPE_SZ: pipes hold more than usual\n\
                print('up', flush=True)\n\
                signal.signal(signal.SIGUSR1, lambda *_: None)\n\
                signal.sigwait({signal.SIGUSR1})\n\
                assert os.write(1, b'x' * 600_000) == 600_000 and os.write(2, b'e' * 60_000) == 60_000\n\
                line = b'{\"msgtype\":\"last\",\"data\":\"' + b'm' * 60_000 + b'\"}' # no newline\n\
                assert os.write(int(os.environ['LIVECODE_FD']), line) == len(line)\n\
                os._exit(7)";
    let id = create_python(&address, code).await?;
    await_first_output(&address, &id).await?;
    let supervisor = server.supervisor(&id).context("the session has no state file")?;
    let program =
        eventually("the program waits", || machine::program_handling(supervisor, Signal::USR1)).await?;
    send_signal(supervisor, Signal::STOP);
    send_signal(program, Signal::USR1);
    eventually("the program has ended", || (!is_running(program)).then_some(())).await?;
    send_signal(supervisor, Signal::CONT);
    let transcript = read_all(&address, &id).await?;
    ensure!(
        transcript.exitstatus() == Some(7) && transcript.reason().is_none(),
        "{:?}: {}",
        transcript.exit,
        transcript.stderr
    );
    ensure!(
        transcript.stdout.len() == 3 + PRINTED,
        "{} of {PRINTED} bytes printed",
        transcript.stdout.len() - 3
    );
    ensure!(transcript.stderr.len() == 60_000, "{} bytes of errors", transcript.stderr.len());
    let last = transcript.messages.last().and_then(|message| message["data"].as_str()).map(str::len);
    ensure!(last == Some(60_000), "the last message has a length of {last:?}");
    Ok("660,000 bytes and a message without its newline, all received".into())
}

/// A supervisor is stopped again and again while its program writes to both streams, and waits to
/// write to standard error. Once the server is killed meanwhile. The output is as on a terminal.
pub async fn stopped_while_ordering(common: &CommonOptions) -> Result<String> {
    const LINES: usize = 3000;
    const STOPS: usize = 10;
    let mut server = Server::start(ServerOptions::new(common))?;
    let code = format!(
        "import sys, time\n\
         for n in range({LINES}):\n    \
             print(n, file=sys.stderr if n * 7 // 3 % 2 else sys.stdout)\n    \
             if n % 10 == 0: time.sleep(0.005)"
    );
    let id = create_python(server.address(), &code).await?;
    await_first_output(server.address(), &id).await?;
    let supervisor = server.supervisor(&id).context("the session has no state file")?;
    let sandbox = machine::sandbox_processes(supervisor);
    for stop in 0..STOPS {
        send_signal(supervisor, Signal::STOP);
        eventually("the program waits to write to standard error", || {
            sandbox.iter().any(|pid| machine::waits_to_write_errors(*pid)).then_some(())
        })
        .await?;
        if stop == STOPS / 2 {
            server.kill();
            server.restart()?;
        }
        send_signal(supervisor, Signal::CONT);
    }
    let transcript = read_all(server.address(), &id).await?;
    ensure!(transcript.exitstatus() == Some(0) && transcript.gaps == 0, "{:?}", transcript.exit);
    ensure!(transcript.output == counter_output(LINES), "the order differs: {:?}", transcript.output);
    Ok(format!("{LINES} of {LINES} lines in order, over {STOPS} stops and a killed server"))
}
