//! Figures beside the rows.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

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
pub const NAMES: [&str; 3] = ["skip-length", "skip-crowd", "supervisor-files"];

/// Bytes that the supervisor of a session with large files may hold beyond that of one without.
const FILES_ALLOWANCE_BYTES: u64 = 2 * MIB;

/// Measures and prints one figure. Returns whether it is within its bound.
pub async fn measure(name: &str, options: &SiegeOptions, cgroup: &Group) -> Result<bool> {
    let settings = vec![("DISK_MIN_FREE_BYTES", (16 * MIB).to_string())];
    let server = Server::start(&ServerOptions {
        binary: options.binary.clone(),
        settings,
        ..ServerOptions::default()
    })?;
    let measured = match name {
        "skip-length" => skip_length(&server, options).await,
        "skip-crowd" => skip_crowd(&server, options, cgroup).await,
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
