//! Many sessions, cuts and kills at random; at the end every byte is accounted for.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use rustix::process::Signal;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Common,
    client::{self, Seen},
    http::read_all,
    machine,
    program::Program,
    proxy::Proxy,
    server::{Options as ServerOptions, Server, signal_pid},
};

/// Between two kills of the server, on the average.
const KILL_INTERVAL: Duration = Duration::from_millis(700);
/// Sessions whose server loses the connection to their supervisor, and nothing else, before each kill.
const SUPERVISOR_CUTS: usize = 4;
/// Sessions are begun in the course of this.
const BEGIN_WITHIN: Duration = Duration::from_secs(8);

#[derive(Args)]
pub struct Options {
    /// How many sessions.
    #[arg(long, default_value_t = 200)]
    sessions: usize,
    /// How many connections are cut by the proxy; those that end with a killed server come on top.
    #[arg(long, default_value_t = 1000)]
    cuts: u64,
    /// How often the server is killed.
    #[arg(long, default_value_t = 50)]
    kills: u64,
    /// How many supervisors are killed.
    #[arg(long, default_value_t = 5)]
    supervisor_kills: usize,
    /// Inputs that each client sends.
    #[arg(long, default_value_t = 10)]
    inputs: u64,
}

/// What was done, and what came of it.
#[derive(Default)]
struct Tally {
    server_stops: u64,
    supervisor_stops: u64,
    supervisor_cuts: u64,
    slowest_start: Duration,
    connections: u64,
    bytes: u64,
    lost_bytes: u64,
    doubled_bytes: u64,
    wrong_sums: u64,
    wrong_statuses: u64,
    inputs_sent: u64,
    inputs_delivered: u64,
    inputs_wrong: u64,
    lost_sessions: u64,
}

pub async fn run(common: &Common, options: &Options, seed: u64) -> Result<()> {
    let began = Instant::now();
    let mut server = Server::start(ServerOptions::new(common))?;
    let proxy = Proxy::start(server.address(), options.cuts).await?;
    // Programs print about until the last kill, and then wait for it.
    let wall = KILL_INTERVAL * u32::try_from(options.kills)? + Duration::from_secs(4);
    let programs: Vec<_> = (0..options.sessions).map(|index| program(index, wall)).collect();
    let (over, is_over) = watch::channel(false);
    let clients = begin_clients(&proxy, &programs, options, wall, seed, &is_over);

    let mut tally = Tally::default();
    let killed_ids = break_things(&mut server, options, &mut tally).await?;
    over.send_replace(true);
    let mut seen = clients.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    seen.sort_by_key(|(index, _)| *index);

    for ((_, seen), program) in seen.iter().zip(&programs) {
        check(program, seen, options, killed_ids.contains(&seen.id), &mut tally)?;
        // Who comes when all is over gets the same.
        let again = read_all(server.address(), &seen.id).await?;
        let same = (&again.stdout, &again.stderr, &again.messages, &again.exit)
            == (&seen.whole.stdout, &seen.whole.stderr, &seen.whole.messages, &seen.whole.exit);
        ensure!(same, "session {} reads otherwise when read again", seen.id);
    }
    let sessions = crate::http::get(server.address(), "/sessions").await?.expect(200)?;
    let made = sessions.as_array().map_or(0, Vec::len);
    ensure!(made == options.sessions, "{made} sessions were made for {} keys", options.sessions);
    report(options, &proxy, &tally, began.elapsed());
    let wrong =
        tally.lost_bytes + tally.doubled_bytes + tally.wrong_sums + tally.wrong_statuses + tally.inputs_wrong;
    ensure!(wrong == 0, "something was lost, doubled or wrong; see above");
    ensure!(
        tally.lost_sessions == killed_ids.len() as u64,
        "{} sessions say lost, but {} supervisors were killed",
        tally.lost_sessions,
        killed_ids.len()
    );
    ensure!(tally.supervisor_cuts > 0 || options.kills == 0, "no connection to a supervisor could be cut");
    ensure!(
        proxy.cuts() == options.cuts,
        "only {} connections could be cut: too little was sent",
        proxy.cuts()
    );
    Ok(())
}

/// Each prints for about as long as things are broken, each at its own pace.
fn program(index: usize, wall: Duration) -> Program {
    let pause_ms = fastrand::u64(20..80);
    let lines = (wall.as_millis() as u64 / pause_ms) as usize;
    Program { index, lines, pause_ms, exitstatus: (index % 100) as i64 }
}

fn begin_clients(
    proxy: &Proxy,
    programs: &[Program],
    options: &Options,
    wall: Duration,
    seed: u64,
    is_over: &watch::Receiver<bool>,
) -> JoinSet<Result<(usize, Seen)>> {
    let mut clients = JoinSet::new();
    let pause = BEGIN_WITHIN.min(wall) / u32::try_from(programs.len()).unwrap_or(1).max(1);
    for program in programs.iter().copied() {
        let (address, inputs, is_over) = (proxy.address().to_owned(), options.inputs, is_over.clone());
        clients.spawn(async move {
            sleep(pause * program.index as u32).await;
            let id = client::create(&address, &program, &format!("{seed}-{}", program.index)).await?;
            let seen = client::follow_until(&address, &id, inputs, wall.mul_f64(0.8), is_over).await?;
            anyhow::Ok((program.index, seen))
        });
    }
    clients
}

/// Kills and stops until it has done so often enough. Returns the sessions whose supervisors were killed.
async fn break_things(server: &mut Server, options: &Options, tally: &mut Tally) -> Result<Vec<String>> {
    let mut killed = vec![];
    for _ in 0..options.kills {
        sleep(KILL_INTERVAL.mul_f64(fastrand::f64() * 2.0).max(Duration::from_millis(50))).await;
        if fastrand::u8(..4) == 0 {
            tally.server_stops += 1;
            server.signal(Signal::STOP);
            sleep(Duration::from_millis(fastrand::u64(20..300))).await;
            server.signal(Signal::CONT);
        }
        let mut running = running(server).await.unwrap_or_default();
        for (_, pid) in running.iter().take(SUPERVISOR_CUTS) {
            tally.supervisor_cuts += machine::cut(*pid, server.pid()).unwrap_or(0) as u64;
        }
        if let Some((id, pid)) = running.pop() {
            if killed.len() < options.supervisor_kills {
                signal_pid(pid, Signal::KILL);
                killed.push(id);
            } else {
                tally.supervisor_stops += 1;
                signal_pid(pid, Signal::STOP);
                sleep(Duration::from_millis(fastrand::u64(20..200))).await;
                signal_pid(pid, Signal::CONT);
            }
        }
        server.kill();
        let took = server.start_again()?;
        tally.slowest_start = tally.slowest_start.max(took);
    }
    Ok(killed)
}

/// The sessions that run, in no order, and their supervisors.
async fn running(server: &Server) -> Option<Vec<(String, u32)>> {
    let sessions = crate::http::get(server.address(), "/sessions").await.ok()?.expect(200).ok()?;
    let mut ids: Vec<_> = sessions
        .as_array()?
        .iter()
        .filter(|session| session["state"] == "running" && session["elapsed"].as_f64() > Some(0.5))
        .filter_map(|session| Some(session["id"].as_str()?.to_owned()))
        .collect();
    fastrand::shuffle(&mut ids);
    let supervised = ids.into_iter().filter_map(|id| {
        let pid = server.supervisor(&id).filter(|pid| machine::is_livecode(*pid))?;
        Some((id, pid))
    });
    Some(supervised.collect())
}

/// Compares what a client put together with what its program printed.
fn check(
    program: &Program,
    seen: &Seen,
    options: &Options,
    is_killed: bool,
    tally: &mut Tally,
) -> Result<()> {
    let whole = &seen.whole;
    tally.connections += seen.connections;
    tally.inputs_sent += seen.inputs_sent;
    tally.bytes += (whole.stdout.len() + whole.stderr.len()) as u64;
    ensure!(whole.gaps == 0, "session {}: a gap of {} entries", seen.id, whole.gaps);
    if is_killed && whole.reason() == Some("lost") {
        // What its supervisor had read before it died is whole.
        tally.lost_sessions += 1;
        let is_prefix =
            program.stdout().starts_with(&whole.stdout) && program.stderr().starts_with(&whole.stderr);
        tally.wrong_sums += u64::from(!is_prefix);
        tally.wrong_statuses += u64::from(whole.exitstatus() != Some(255));
        return Ok(());
    }
    for (got, printed) in [(&whole.stdout, program.stdout()), (&whole.stderr, program.stderr())] {
        tally.lost_bytes += (printed.len() as u64).saturating_sub(got.len() as u64);
        tally.doubled_bytes += (got.len() as u64).saturating_sub(printed.len() as u64);
    }
    let own = whole.messages.first().with_context(|| {
        format!(
            "session {} did not say what it printed; it ended with {:?}: {}",
            seen.id, whole.exit, whole.stderr
        )
    })?;
    ensure!(
        whole.messages.len() == 1,
        "session {}: its one message came {} times",
        seen.id,
        whole.messages.len()
    );
    let sums = [sum(&whole.stdout), sum(&whole.stderr)];
    tally.wrong_sums += u64::from(own["stdout"] != *sums[0]) + u64::from(own["stderr"] != *sums[1]);
    tally.wrong_statuses += u64::from(whole.exitstatus() != Some(program.exitstatus));
    let got: Vec<_> =
        own["got"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_u64).collect();
    tally.inputs_delivered += got.len() as u64;
    tally.inputs_wrong += u64::from(!got.iter().copied().eq(0..options.inputs));
    Ok(())
}

fn sum(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn report(options: &Options, proxy: &Proxy, tally: &Tally, took: Duration) {
    let rows = [
        ("sessions", options.sessions as u64),
        ("server killed (kill -9)", options.kills),
        ("server stopped for a while", tally.server_stops),
        ("supervisors killed", tally.lost_sessions),
        ("supervisors stopped for a while", tally.supervisor_stops),
        ("connections to supervisors cut", tally.supervisor_cuts),
        ("connections cut", proxy.cuts()),
        ("connections in all", tally.connections),
        ("bytes printed and received", tally.bytes),
        ("bytes lost", tally.lost_bytes),
        ("bytes doubled", tally.doubled_bytes),
        ("sha256 that differ", tally.wrong_sums),
        ("wrong exit statuses", tally.wrong_statuses),
        ("inputs sent, again included", tally.inputs_sent),
        ("inputs delivered", tally.inputs_delivered),
        ("sessions with inputs lost, doubled or out of order", tally.inputs_wrong),
    ];
    for (what, count) in rows {
        println!("{what:<52} {count:>12}");
    }
    println!("{:<52} {:>12}", "slowest start of the server, ms", tally.slowest_start.as_millis());
    println!("{:<52} {:>12.1}", "took, s", took.as_secs_f64());
}
