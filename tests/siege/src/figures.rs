//! Figures beside the rows.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    attacker::AttackerProcess,
    attacks::streams::{first_message, make_journal},
    cgroup::Group,
    client::Caller,
    machine,
    neighbour::{Kind, Neighbour, Operation},
    server::{Server, ServerOptions},
    siege::{P99_RATIO_MAX, SiegeOptions},
    stats::median,
};

const MIB: u64 = 1024 * 1024;

/// The names of the figures.
pub const NAMES: [&str; 4] = ["skip-length", "skip-crowd", "supervisor-files", "own-list"];

/// Bytes that the supervisor of a session with large files may hold beyond that of one without.
const FILES_ALLOWANCE_BYTES: u64 = 2 * MIB;

/// Sessions of the user whose list is measured.
const OWN_SESSIONS: u64 = 20;
/// Sessions of others that the server keeps beside them.
const KEPT_SESSIONS: u64 = 200_000;

/// Measures and prints one figure. Returns whether it is within its bound.
pub async fn measure(name: &str, options: &SiegeOptions, cgroup: &Group) -> Result<bool> {
    let mut settings = vec![("DISK_MIN_FREE_BYTES", (16 * MIB).to_string())];
    let has_users = name == "own-list";
    if has_users {
        settings.push(("SESSIONS_MAX", (2 * KEPT_SESSIONS).to_string()));
    }
    let mut server = Server::start(&ServerOptions {
        binary: options.binary.clone(),
        settings,
        has_users,
        ..ServerOptions::default()
    })?;
    let measured = match name {
        "skip-length" => skip_length(&server, options).await,
        "skip-crowd" => skip_crowd(&server, options, cgroup).await,
        "own-list" => own_list(&mut server, options).await,
        _ => supervisor_files(&server).await,
    };
    server.stop().await;
    let (text, is_within) = measured.with_context(|| name.to_owned())?;
    println!("{name:<17} {text}: {}", if is_within { "yes" } else { "NO" });
    Ok(is_within)
}

/// The time until the first message after a number near the end of a short and of a long journal.
async fn skip_length(server: &Server, options: &SiegeOptions) -> Result<(String, bool)> {
    let caller = Caller::guest(server.address(), std::net::Ipv4Addr::new(127, 0, 0, 2)).with_token(1);
    let mut times_ms = vec![];
    for bytes in [MIB, options.size.pick(1000, 16) * MIB] {
        let (id, last) = make_journal(&caller, bytes).await?;
        let path = format!("/sessions/{id}/stream?after={}", last - 2);
        first_message(&caller, &path).await?; // the first reader may have to build an index
        let mut samples = vec![];
        for _ in 0..21 {
            samples.push(first_message(&caller, &path).await?.as_secs_f64() * 1000.0);
        }
        times_ms.push(median(&samples));
    }
    let ratio = times_ms[1] / times_ms[0];
    let text = format!(
        "`?after=N` near the end, to its first message: {:.2} ms in 1 MiB, {:.2} ms in 1 GiB, {ratio:.2}x (at most 2x)",
        times_ms[0], times_ms[1]
    );
    Ok((text, ratio <= 2.0))
}

/// The echo of a neighbour while a thousand watchers read on near the end of a long journal.
async fn skip_crowd(server: &Server, options: &SiegeOptions, cgroup: &Group) -> Result<(String, bool)> {
    let caller = Caller::guest(server.address(), std::net::Ipv4Addr::new(127, 0, 0, 2)).with_token(1);
    let (id, last) = make_journal(&caller, options.size.pick(1000, 16) * MIB).await?;
    let neighbour = Neighbour::start(server, Kind::Guest).await?;
    let duration = Duration::from_secs(options.size.pick(4, 1));
    neighbour.work(Duration::from_secs(1)).await;
    let (mut with, mut without) = (vec![], vec![]);
    let prepared = json!({"path": format!("/sessions/{id}/stream?after={}", last - 2)});
    for round in 0..options.size.pick(3, 1) {
        let echo = |figures: &crate::neighbour::Figures| figures.of(Operation::Echo).percentile(0.99);
        without.push(echo(&neighbour.work(duration).await));
        let seed = options.seed.wrapping_add(round);
        let crowd = AttackerProcess::start(cgroup, "skip-crowd", server.address(), seed, &prepared)?;
        with.push(echo(&neighbour.work(duration).await));
        println!("{:<17} watchers: {:?}", "", crowd.stop());
    }
    let losses = neighbour.finish().await;
    let ratio = median(&with) / median(&without);
    let text = format!(
        "1,000 watchers do so at once; echo p99 {:.2} ms without, {:.2} ms with, {ratio:.2}x (at most {P99_RATIO_MAX}x); losses {losses:?}",
        median(&without),
        median(&with),
    );
    Ok((text, ratio <= P99_RATIO_MAX && losses.is_empty()))
}

/// The list of a user with 20 sessions, on a server that keeps only these, and on one that keeps
/// 200,000 of others; and what another user notices of it.
async fn own_list(server: &mut Server, options: &SiegeOptions) -> Result<(String, bool)> {
    let mut tokens = vec![];
    for user in ["ada", "bob"] {
        tokens.extend(server.new_tokens(user, 1).await?);
    }
    let caller = |server: &Server, index: usize| {
        Caller::user(server.address(), std::net::Ipv4Addr::new(127, 0, 0, 2), &*tokens[index])
    };
    let mut last = String::new();
    for (index, count) in [(0, OWN_SESSIONS), (1, 1)] {
        for _ in 0..count {
            last = caller(server, index).create(&json!({"runtime": "bash", "code": "true"})).await?;
            caller(server, index).wait_for_end(&last).await?;
        }
    }
    let rounds = options.size.pick(2_000, 100);
    let few = list_times(&caller(server, 0), &caller(server, 1), &last, rounds).await?;
    server.terminate();
    copy_session(&server.data().join("sessions"), &last, options.size.pick(KEPT_SESSIONS, 500))?;
    server.restart()?;
    let many = list_times(&caller(server, 0), &caller(server, 1), &last, rounds).await?;
    let ratios = [0, 1].map(|index| many[index] / few[index]);
    let text = format!(
        "p99 of a list of {OWN_SESSIONS} own sessions: {:.2} ms alone, {:.2} ms beside {} of others, {:.2}x (at most \
         {P99_RATIO_MAX}x); of another user's request meanwhile: {:.2} ms, {:.2} ms, {:.2}x (at most {P99_RATIO_MAX}x)",
        few[0],
        many[0],
        options.size.pick(KEPT_SESSIONS, 500),
        ratios[0],
        few[1],
        many[1],
        ratios[1],
    );
    Ok((text, ratios.iter().all(|ratio| *ratio <= P99_RATIO_MAX)))
}

/// The p99 of the list of `lister`, and of a request of `other` for its session while `lister`
/// lists without a pause, in milliseconds.
async fn list_times(lister: &Caller, other: &Caller, session: &str, rounds: u64) -> Result<[f64; 2]> {
    let path = format!("/sessions/{session}");
    let list = time_requests(lister, "/sessions", rounds);
    let show = time_requests(other, &path, rounds);
    let (list, show) = tokio::try_join!(list, show)?;
    Ok([list, show].map(|mut times_ms| {
        times_ms.sort_by(f64::total_cmp);
        times_ms[times_ms.len() * 99 / 100]
    }))
}

/// The times of requests one after the other on one connection, in milliseconds.
async fn time_requests(caller: &Caller, path: &str, rounds: u64) -> Result<Vec<f64>> {
    let mut connection = caller.connect().await?;
    let request = caller.request("GET", path, &[]);
    let mut times_ms = vec![];
    for _ in 0..rounds {
        let began = Instant::now();
        let (status, _) = connection.exchange(&request).await?;
        anyhow::ensure!(status == 200, "{path} is answered {status}");
        times_ms.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times_ms)
}

/// Copies an ended session, for other owners.
fn copy_session(sessions: &Path, id: &str, copies: u64) -> Result<()> {
    let source = sessions.join(id);
    let record: Value = serde_json::from_slice(&fs::read(source.join("session.json"))?)?;
    for number in 1..=copies {
        let copy = format!("{number:032x}");
        let folder = sessions.join(&copy);
        fs::create_dir(&folder)?;
        for entry in fs::read_dir(&source)? {
            let name = entry?.file_name();
            if name != "session.json" {
                fs::copy(source.join(&name), folder.join(&name))?;
            }
        }
        let mut record = record.clone();
        record["id"] = json!(copy);
        record["owner"] = json!({"user": format!("other-{}", number % 1000)});
        let path = folder.join("session.json");
        fs::write(&path, record.to_string())?;
        // The end of the session is in the log already.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400))?;
    }
    Ok(())
}

/// The memory of a supervisor whose session has 15 MiB of files, and of one without.
async fn supervisor_files(server: &Server) -> Result<(String, bool)> {
    let caller = Caller::local(server.address());
    let mut held = vec![];
    for bytes in [0, 15 * MIB] {
        let files = json!([
            {"filename": "main.sh", "contents": "echo begun; sleep 30"},
            {"filename": "large", "contents": "x".repeat(bytes as usize)},
        ]);
        let id = caller.create(&json!({"runtime": "bash", "files": files})).await?;
        first_message(&caller, &format!("/sessions/{id}/stream?after=0")).await?;
        let pid = server.supervisor(&id).context("the session has no supervisor")?;
        held.push(machine::memory_bytes(pid));
        caller.send("DELETE", &format!("/sessions/{id}"), &[]).await?;
    }
    let more = held[1].saturating_sub(held[0]);
    let text = format!(
        "a supervisor with 15 MiB of files holds {:.1} MiB, with none {:.1} MiB; {:.1} MiB more (at most 2)",
        held[1] as f64 / MIB as f64,
        held[0] as f64 / MIB as f64,
        more as f64 / MIB as f64
    );
    Ok((text, more <= FILES_ALLOWANCE_BYTES))
}
