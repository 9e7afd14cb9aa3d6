//! One fault at a time, with its expected and its observed outcome.

mod clients;
mod data;
mod processes;
mod queue;
mod resources;
mod starts;
mod supervisors;

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::time::timeout;

use crate::options::CommonOptions;

/// Timeout of one fault's test.
const FAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// The observed outcome of a fault, in words.
type Outcome<'c> = Pin<Box<dyn Future<Output = Result<String>> + 'c>>;

/// One row of the table: a fault, its expected outcome, and the test that injects it.
struct Fault {
    name: &'static str,
    expected: &'static str,
    test: fn(&CommonOptions) -> Outcome<'_>,
}

macro_rules! faults {
    ($($module:ident::$test:ident: $name:literal => $expected:literal,)*) => {
        [$(Fault { name: $name, expected: $expected, test: |common| Box::pin($module::$test(common)) }),*]
    };
}

/// Injects each fault whose name contains `only`, and prints the table.
pub async fn run(common: &CommonOptions, only: Option<&str>) -> Result<()> {
    let faults = faults![
        processes::server_killed: "server killed while a program prints" => "the program continues; a client that reconnects misses nothing",
        processes::server_stopped: "server stopped (SIGSTOP), then continued" => "the program and its stream continue",
        processes::server_asked_to_stop: "server asked to stop (SIGTERM)" => "streams are closed with 1012, programs continue",
        processes::server_drained: "server asked to stop, with --drain" => "503 for new sessions; the server exits after the last session",
        processes::killed_during_create: "server killed during create" => "one session for each key, and each session runs once",
        processes::killed_during_delete: "server killed during delete" => "each session can be deleted again, and nothing of it is left",
        processes::supervisor_killed: "supervisor killed" => "the program is killed, the session lost, its journal intact, nothing left",
        processes::input_before_kill: "server killed with inputs that its supervisor has not read" => "no ack before the supervisor has an input; after redelivery each arrives once",
        processes::supervisor_stopped: "supervisor stopped, session deleted" => "204 within 10 s, and nothing is left",
        supervisors::stopped_during_start: "supervisor stopped during its start, session deleted" => "204 and nothing left, at whatever point it was stopped",
        supervisors::connection_cut: "connection between server and supervisor broken" => "clients notice nothing; inputs arrive once, in order",
        supervisors::full_pipes: "program ends with full pipes" => "all of the output is read",
        supervisors::stopped_while_ordering: "supervisor stopped while a program writes to both streams" => "the program waits; its lines keep their order",
        processes::spawner_killed: "spawner killed" => "running sessions continue, new ones are created",
        queue::spawner_stopped: "spawner stopped (SIGSTOP), then continued" => "the server answers; queued sessions can be deleted, and the others run",
        queue::spawner_hangs: "spawner hangs" => "it is replaced and queued sessions run; the server answers, however many are created",
        queue::zygote_hangs: "interpreter zygote hangs" => "it is replaced; waiting sessions run without it",
        queue::killed_while_queued: "server killed while sessions are queued" => "each runs once, with the input that it was sent",
        queue::deleted_before_start: "session deleted before its program starts" => "its followers get exitstatus (cancelled) and close code 1000",
        processes::older_supervisor: "supervisor of an older version" => "the new server reads its stream, sends it inputs and cancels it",
        processes::hundred_recovered: "server started with 100 running sessions" => "all are recovered within 1 s, and can be read and written",
        resources::out_of_descriptors: "no descriptors left (EMFILE)" => "nothing is lost; the server answers again once clients have left",
        resources::full_disk: "full disk (ENOSPC)" => "the program ends, its exit status is kept, a gap is reported; 507 for new sessions",
        resources::full_disk_v01: "full disk, for a client of v0.1" => "the client is told that output is missing",
        resources::full_before_start: "full disk before a session starts" => "it stays queued, also for servers that are started then, and runs once there is room",
        starts::out_of_processes: "no process can be forked during a start (EAGAIN)" => "the session stays queued, then runs once, whichever fork failed",
        starts::out_of_memory: "no memory can be mapped during a start (ENOMEM)" => "the session stays queued, then runs once, whichever step failed",
        starts::out_of_descriptors: "no descriptors left during a start (EMFILE)" => "the session stays queued, then runs once, whichever step failed",
        starts::out_of_disk_space: "no room on the disk during a start (ENOSPC)" => "the session stays queued, then runs once, whichever file had no room",
        resources::nearly_full_disk: "nearly full disk" => "507 with a reason; running sessions continue",
        resources::flood_without_readers: "output flood without a reader" => "it ends at its output limit; the server's memory does not grow",
        clients::slow_reader: "a client that does not read" => "other clients get everything meanwhile; memory does not grow",
        clients::half_open: "a half-open connection" => "it is found by pings and closed; the session continues",
        clients::thousand_followers: "a thousand followers" => "all get everything",
        clients::redelivery: "input redelivered over new connections and servers" => "delivered once, in order",
        data::second_server: "a second server on the same data" => "it refuses to start, and names the first",
        data::torn_tail: "machine crash: journals torn at any byte" => "ended sessions are intact, others are lost after the longest intact prefix",
        data::another_boot: "another boot with the same process numbers" => "lost; no unrelated process is signalled",
        data::retention: "ended sessions too old or too large" => "output becomes a gap, then 404, the oldest first",
    ];
    let faults: Vec<_> =
        faults.into_iter().filter(|fault| only.is_none_or(|only| fault.name.contains(only))).collect();
    if faults.is_empty() {
        bail!("no fault's name contains {:?}", only.unwrap_or_default());
    }
    println!("| fault | expected | observed | s |");
    println!("| --- | --- | --- | --- |");
    let mut failed = vec![];
    for fault in faults {
        let began = Instant::now();
        let outcome = timeout(FAULT_TIMEOUT, (fault.test)(common))
            .await
            .context("the test hangs")
            .and_then(|outcome| outcome);
        let outcome = outcome.unwrap_or_else(|error| {
            failed.push(fault.name);
            format!("FAILED: {error:#}")
        });
        println!(
            "| {} | {} | {outcome} | {:.1} |",
            fault.name,
            fault.expected,
            began.elapsed().as_secs_f64()
        );
    }
    if !failed.is_empty() {
        bail!("{} faults failed: {}", failed.len(), failed.join("; "));
    }
    Ok(())
}
