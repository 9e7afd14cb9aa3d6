//! Faults between a supervisor and its server, at a supervisor's beginning, and at its program's end.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::json;

use super::processes::{begun, counted, spawner};
use crate::{
    Common,
    http::{Received, Stream, Whole, create, create_python, delete, read_all},
    machine::{self, eventually, is_alive},
    server::{Options, Server, signal_pid},
};

/// When a supervisor is stopped.
#[derive(Clone, Copy)]
enum Moment {
    /// So long after it was forked.
    After(Duration),
    /// When its journal has appeared.
    Journal,
}

/// Stops what the spawner forks next for a session in `sessions`, of which `known` are there already.
fn stop_next(spawner: u32, sessions: &Path, known: &[(String, u32)], moment: Moment) -> Result<u32> {
    let until = Instant::now() + Duration::from_secs(10);
    let find = |what: &mut dyn FnMut() -> bool| {
        // Spinning: the moment is shorter than anybody can sleep.
        while !what() {
            ensure!(Instant::now() < until, "the spawner forks nothing, or that makes nothing");
        }
        Ok(())
    };
    let mut pid = 0;
    find(&mut || {
        let new =
            machine::children(spawner).into_iter().find(|pid| known.iter().all(|(_, known)| known != pid));
        pid = new.unwrap_or(0);
        pid != 0
    })?;
    match moment {
        Moment::After(moment) => {
            let began = Instant::now();
            find(&mut || began.elapsed() >= moment)?;
        }
        Moment::Journal => {
            let names =
                fs::read_dir(sessions)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
            let new = names.into_iter().find(|name| known.iter().all(|(known, _)| known != name));
            let journal = sessions.join(new.context("no folder")?).join("journal");
            find(&mut || journal.exists())?;
        }
    }
    signal_pid(pid, Signal::STOP);
    Ok(pid)
}

/// Wherever a supervisor hangs on its way to its program, its session can be deleted.
pub async fn stopped_as_it_begins(common: &Common) -> Result<String> {
    const SESSIONS: usize = 80;
    const LATEST: Duration = Duration::from_millis(4);
    // Without those that are forked ahead, the one that is new is the session's.
    let most = ["--sessions-running-max", "200", "--sessions-per-owner-max", "200", "--warm", "off"];
    let server = Server::start(Options::new(common).with(&most))?;
    let (address, spawner) = (server.address().to_owned(), spawner(&server)?);
    eventually("the spawner has swept", || machine::children(spawner).is_empty().then_some(())).await?;
    let sessions = server.data().join("sessions");
    let mut known: Vec<(String, u32)> = vec![];
    for index in 0..SESSIONS {
        // More of them early: what takes a supervisor 4 ms in a debug build takes it less than one in another.
        let after = Moment::After(LATEST.mul_f64((index as f64 / SESSIONS as f64).powi(2)));
        let moment = if index % 2 == 0 { after } else { Moment::Journal };
        let (sessions, before) = (sessions.clone(), known.clone());
        let hunter = thread::spawn(move || stop_next(spawner, &sessions, &before, moment));
        let id = create(&address, &json!({"runtime": "bash", "code": "sleep 600"})).await?;
        let pid = tokio::task::spawn_blocking(|| hunter.join()).await?;
        known.push((id, pid.map_err(|_| anyhow::anyhow!("nobody was stopped"))??));
    }
    let (ids, stopped): (Vec<_>, Vec<_>) = known.into_iter().unzip();
    let has = |id: &String, name: &str| sessions.join(id).join(name).exists();
    let unknown = ids.iter().filter(|id| !has(id, "state.json")).count();
    let begun = ids.iter().filter(|id| has(id, "socket")).count();
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
    stopped.iter().for_each(|pid| signal_pid(*pid, Signal::CONT));
    ensure!(refused == 0, "{refused} of {SESSIONS} could not be deleted");
    let data = server.data().to_owned();
    eventually("everything of them gone", || {
        let nothing = machine::session_cgroups(&data).is_empty()
            && machine::files(&data.join("sessions")) + machine::files(&data.join("trash")) == 0
            && stopped.iter().all(|pid| !is_alive(*pid));
        nothing.then_some(())
    })
    .await?;
    let between = SESSIONS - unknown - begun;
    Ok(format!(
        "{SESSIONS} deleted: {unknown} before they said who they are, {begun} after they listened, {between} between"
    ))
}

/// The clients' connections stay; what they see is as if nothing had happened.
pub async fn connection_cut(common: &Common) -> Result<String> {
    const INPUTS: usize = 400;
    const INPUTS_PER_CUT: usize = 10;
    let mut server = Server::start(Options::new(common))?;
    let address = server.address().to_owned();
    let code = "import sys\nprint('up', flush=True)\nfor line in sys.stdin: print(line, end='', flush=True)";
    let id = create_python(&address, code).await?;
    begun(&address, &id).await?;
    let supervisor = server.supervisor(&id).context("no state file")?;
    let mut cuts = 0;
    let mut whole = Whole::default();
    let mut acknowledged = 0;
    // First the connection that the supervisor was born with, then those that a server finds it by.
    for half in 0..2 {
        let mut stream = Stream::connect(&address, &id, whole.after).await?;
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
                cuts += eventually("a connection to cut", || machine::cut(supervisor, pid)).await?;
            }
            match stream.next().await {
                Received::Message(message) => {
                    ensure!(message["msgtype"] != "error", "an input was refused: {message}");
                    acknowledged += usize::from(message["msgtype"] == "ack");
                    whole.take(&message)?;
                }
                other => bail!("the client's own connection ended: {other:?}"),
            }
        }
        if half == 0 {
            server.kill();
            server.start_again()?;
        } else {
            stream.send(&json!({"msgtype": "input", "data": "", "eof": true, "id": "end"})).await;
            loop {
                match stream.next().await {
                    Received::Message(message) => whole.take(&message)?,
                    Received::Closed(1000) => break,
                    other => bail!("the client's own connection ended: {other:?}"),
                }
            }
        }
    }
    ensure!(whole.stdout == format!("up\n{}", counted(INPUTS)), "{:?}", whole.stdout);
    ensure!(whole.exitstatus() == Some(0) && whole.gaps == 0, "{:?}", whole.exit);
    Ok(format!(
        "{INPUTS} of {INPUTS} inputs once, in order, over {cuts} cuts and one client's connection a server"
    ))
}

/// What a program leaves in its pipes and in its message channel when it ends is all read, after its end.
pub async fn full_pipes(common: &Common) -> Result<String> {
    const PRINTED: usize = 600_000;
    let server = Server::start(Options::new(common))?;
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
    begun(&address, &id).await?;
    let supervisor = server.supervisor(&id).context("no state file")?;
    let program = eventually("the program waits", || machine::program(supervisor, Signal::USR1)).await?;
    signal_pid(supervisor, Signal::STOP);
    signal_pid(program, Signal::USR1);
    eventually("the program has ended", || (!is_alive(program)).then_some(())).await?;
    signal_pid(supervisor, Signal::CONT);
    let whole = read_all(&address, &id).await?;
    ensure!(whole.exitstatus() == Some(7) && whole.reason().is_none(), "{:?}: {}", whole.exit, whole.stderr);
    ensure!(whole.stdout.len() == 3 + PRINTED, "{} of {PRINTED} bytes printed", whole.stdout.len() - 3);
    ensure!(whole.stderr.len() == 60_000, "{} bytes of errors", whole.stderr.len());
    let last = whole.messages.last().and_then(|message| message["data"].as_str()).map(str::len);
    ensure!(last == Some(60_000), "the last message had {last:?}");
    Ok("660,000 bytes and a message without its newline, all there".into())
}
