//! Many sessions with random cuts and kills. At the end every byte is accounted for.

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
    client::{self, ClientReport},
    http::read_all,
    machine,
    options::CommonOptions,
    program::Program,
    proxy::Proxy,
    server::{Server, ServerOptions, send_signal},
};

/// The mean interval between two kills of the server.
const KILL_INTERVAL: Duration = Duration::from_millis(700);
/// The number of sessions whose connection between server and supervisor is broken before each
/// kill.
const SUPERVISOR_CUTS: usize = 4;
/// The time over which the creation of the sessions is spread.
const CREATION_SPREAD: Duration = Duration::from_secs(8);

#[derive(Args)]
pub struct Options {
    /// The number of sessions.
    #[arg(long, default_value_t = 200)]
    sessions: usize,
    /// How many connections the proxy cuts. Connections that a killed server ends are not counted.
    #[arg(long, default_value_t = 1000)]
    cuts: u64,
    /// How often the server is killed and restarted.
    #[arg(long, default_value_t = 50)]
    kills: u64,
    /// How many supervisors are killed.
    #[arg(long, default_value_t = 5)]
    supervisor_kills: usize,
    /// How many inputs each client sends.
    #[arg(long, default_value_t = 10)]
    inputs: u64,
}

/// Counts of the faults and of their effects.
#[derive(Default)]
struct Tally {
    server_stops: u64,
    supervisor_stops: u64,
    supervisor_cuts: u64,
    slowest_start: Duration,
    connections: u64,
    bytes: u64,
    lost_bytes: u64,
    duplicated_bytes: u64,
    wrong_checksums: u64,
    wrong_statuses: u64,
    inputs_sent: u64,
    inputs_delivered: u64,
    inputs_wrong: u64,
    lost_sessions: u64,
}

pub async fn run(common: &CommonOptions, options: &Options, seed: u64) -> Result<()> {
    let began = Instant::now();
    let mut server = Server::start(ServerOptions::new(common))?;
    let proxy = Proxy::start(server.address(), options.cuts).await?;
    // The programs print until about the last kill, and then wait for the end of input.
    let duration = KILL_INTERVAL * u32::try_from(options.kills)? + Duration::from_secs(4);
    let programs: Vec<_> = (0..options.sessions).map(|index| program(index, duration)).collect();
    let (end_sender, may_end) = watch::channel(false);
    let clients = spawn_clients(&proxy, &programs, options, duration, seed, &may_end);

    let mut tally = Tally::default();
    let killed_ids = inject_faults(&mut server, options, &mut tally).await?;
    end_sender.send_replace(true);
    let mut reports = clients.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    reports.sort_by_key(|(index, _)| *index);

    for ((_, report), program) in reports.iter().zip(&programs) {
        check(program, report, options, killed_ids.contains(&report.id), &mut tally)?;
        // A client that connects after the end receives the same messages.
        let again = read_all(server.address(), &report.id).await?;
        let same = (&again.stdout, &again.stderr, &again.messages, &again.exit)
            == (
                &report.transcript.stdout,
                &report.transcript.stderr,
                &report.transcript.messages,
                &report.transcript.exit,
            );
        ensure!(same, "session {} differs when it is read again", report.id);
    }
    let sessions = crate::http::get(server.address(), "/sessions").await?.expect(200)?;
    let created = sessions.as_array().map_or(0, Vec::len);
    ensure!(created == options.sessions, "{created} sessions were created for {} keys", options.sessions);
    print_report(options, &proxy, &tally, began.elapsed());
    let failures = tally.lost_bytes
        + tally.duplicated_bytes
        + tally.wrong_checksums
        + tally.wrong_statuses
        + tally.inputs_wrong;
    ensure!(failures == 0, "something was lost, duplicated or wrong; see the table");
    ensure!(
        tally.lost_sessions == killed_ids.len() as u64,
        "{} sessions ended as lost, but {} supervisors were killed",
        tally.lost_sessions,
        killed_ids.len()
    );
    ensure!(tally.supervisor_cuts > 0 || options.kills == 0, "no connection to a supervisor could be cut");
    ensure!(
        proxy.cuts() == options.cuts,
        "only {} connections were cut, because too few bytes were sent",
        proxy.cuts()
    );
    Ok(())
}

/// The program of one session. It prints for about `duration`, with a random pause between lines.
fn program(index: usize, duration: Duration) -> Program {
    let pause_ms = fastrand::u64(20..80);
    let lines = (duration.as_millis() as u64 / pause_ms) as usize;
    Program { index, lines, pause_ms, exitstatus: (index % 100) as i64 }
}

/// Starts a task for each client, which creates a session and follows it to its end.
fn spawn_clients(
    proxy: &Proxy,
    programs: &[Program],
    options: &Options,
    duration: Duration,
    seed: u64,
    may_end: &watch::Receiver<bool>,
) -> JoinSet<Result<(usize, ClientReport)>> {
    let mut clients = JoinSet::new();
    let pause = CREATION_SPREAD.min(duration) / u32::try_from(programs.len()).unwrap_or(1).max(1);
    for program in programs.iter().copied() {
        let (address, inputs, may_end) = (proxy.address().to_owned(), options.inputs, may_end.clone());
        clients.spawn(async move {
            sleep(pause * program.index as u32).await;
            let id = client::create(&address, &program, &format!("{seed}-{}", program.index)).await?;
            let report = client::follow_until(&address, &id, inputs, duration.mul_f64(0.8), may_end).await?;
            anyhow::Ok((program.index, report))
        });
    }
    clients
}

/// Kills the server as often as the options say, with stops and broken connections between the
/// kills. Returns the sessions whose supervisors were killed.
async fn inject_faults(server: &mut Server, options: &Options, tally: &mut Tally) -> Result<Vec<String>> {
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
            tally.supervisor_cuts += machine::cut_connections(*pid, server.pid()).unwrap_or(0) as u64;
        }
        if let Some((id, pid)) = running.pop() {
            if killed.len() < options.supervisor_kills {
                send_signal(pid, Signal::KILL);
                killed.push(id);
            } else {
                tally.supervisor_stops += 1;
                send_signal(pid, Signal::STOP);
                sleep(Duration::from_millis(fastrand::u64(20..200))).await;
                send_signal(pid, Signal::CONT);
            }
        }
        server.kill();
        let took = server.restart()?;
        tally.slowest_start = tally.slowest_start.max(took);
    }
    Ok(killed)
}

/// The running sessions in random order, with their supervisors.
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

/// Compares what a client received with what its program printed.
fn check(
    program: &Program,
    report: &ClientReport,
    options: &Options,
    is_killed: bool,
    tally: &mut Tally,
) -> Result<()> {
    let transcript = &report.transcript;
    tally.connections += report.connections;
    tally.inputs_sent += report.inputs_sent;
    tally.bytes += (transcript.stdout.len() + transcript.stderr.len()) as u64;
    ensure!(transcript.gaps == 0, "session {}: a gap of {} entries", report.id, transcript.gaps);
    if is_killed && transcript.reason() == Some("lost") {
        // The entries that its supervisor wrote before it was killed are intact.
        tally.lost_sessions += 1;
        let is_prefix = program.stdout().starts_with(&transcript.stdout)
            && program.stderr().starts_with(&transcript.stderr);
        tally.wrong_checksums += u64::from(!is_prefix);
        tally.wrong_statuses += u64::from(transcript.exitstatus() != Some(255));
        return Ok(());
    }
    for (got, printed) in [(&transcript.stdout, program.stdout()), (&transcript.stderr, program.stderr())] {
        tally.lost_bytes += (printed.len() as u64).saturating_sub(got.len() as u64);
        tally.duplicated_bytes += (got.len() as u64).saturating_sub(printed.len() as u64);
    }
    let own = transcript.messages.first().with_context(|| {
        format!(
            "the program of session {} did not report its output; it ended with {:?}: {}",
            report.id, transcript.exit, transcript.stderr
        )
    })?;
    ensure!(
        transcript.messages.len() == 1,
        "session {}: its only message arrived {} times",
        report.id,
        transcript.messages.len()
    );
    let hashes = [hash(&transcript.stdout), hash(&transcript.stderr)];
    tally.wrong_checksums += u64::from(own["stdout"] != *hashes[0]) + u64::from(own["stderr"] != *hashes[1]);
    tally.wrong_statuses += u64::from(transcript.exitstatus() != Some(program.exitstatus));
    let got: Vec<_> =
        own["got"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_u64).collect();
    tally.inputs_delivered += got.len() as u64;
    tally.inputs_wrong += u64::from(!got.iter().copied().eq(0..options.inputs));
    Ok(())
}

/// The SHA-256 of a text in hexadecimal digits.
fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Prints the counts as a table.
fn print_report(options: &Options, proxy: &Proxy, tally: &Tally, took: Duration) {
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
        ("bytes duplicated", tally.duplicated_bytes),
        ("checksums that differ", tally.wrong_checksums),
        ("wrong exit statuses", tally.wrong_statuses),
        ("inputs sent, with redeliveries", tally.inputs_sent),
        ("inputs delivered", tally.inputs_delivered),
        ("sessions with inputs lost, repeated or reordered", tally.inputs_wrong),
    ];
    for (what, count) in rows {
        println!("{what:<52} {count:>12}");
    }
    println!("{:<52} {:>12}", "slowest start of the server, ms", tally.slowest_start.as_millis());
    println!("{:<52} {:>12.1}", "duration, s", took.as_secs_f64());
}
