//! One fault at a time: what was expected of it, and what was seen.

mod clients;
mod data;
mod processes;
mod queue;
mod resources;
mod supervisors;

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::time::timeout;

use crate::Common;

/// How long one fault may take in all.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a fault's test saw, in words.
type Seen<'c> = Pin<Box<dyn Future<Output = Result<String>> + 'c>>;

/// One row of the table.
struct Fault {
    name: &'static str,
    expected: &'static str,
    test: fn(&Common) -> Seen<'_>,
}

macro_rules! faults {
    ($($module:ident::$test:ident: $name:literal => $expected:literal,)*) => {
        [$(Fault { name: $name, expected: $expected, test: |common| Box::pin($module::$test(common)) }),*]
    };
}

/// Runs each test whose name contains `only`, and prints the table.
pub async fn run(common: &Common, only: Option<&str>) -> Result<()> {
    let faults = faults![
        processes::server_killed: "server killed in mid-output" => "the program runs on; who comes back misses nothing",
        processes::server_stopped: "server stopped (SIGSTOP), then continued" => "the program runs on; the stream goes on",
        processes::server_asked_to_stop: "server asked to stop (SIGTERM)" => "streams closed with 1012, programs left running",
        processes::server_drained: "server asked to stop, with --drain" => "503 for new sessions, ends when the last has ended",
        processes::killed_in_create: "server killed in create" => "each key one session, each session runs once",
        processes::killed_in_delete: "server killed in delete" => "each session gone, or ended; nothing left of it",
        processes::supervisor_killed: "supervisor killed" => "program dead, session lost, journal whole, nothing left",
        processes::input_before_kill: "server killed with inputs that its supervisor has not read" => "no ack before it has them; sent again, each once",
        processes::supervisor_stopped: "supervisor stopped, session deleted" => "204 within 10 s, nothing left",
        supervisors::stopped_as_it_begins: "supervisor stopped as it begins, session deleted" => "204, nothing left, wherever it was",
        supervisors::connection_cut: "connection between server and supervisor broken" => "clients notice nothing, inputs once, in order",
        supervisors::full_pipes: "program ends with full pipes" => "all of it is read",
        processes::spawner_killed: "spawner killed" => "sessions run on, new ones are made",
        queue::spawner_stopped: "spawner stopped (SIGSTOP), then continued" => "server answers, what waits can be deleted, the rest runs",
        queue::spawner_hangs: "spawner stopped for good" => "replaced; what waits runs; the server answers, however many are created",
        queue::template_hangs: "template stopped for good" => "replaced; what waits runs without it",
        queue::killed_while_waiting: "server killed while sessions wait their turn" => "each runs once, with the input it was sent",
        queue::deleted_while_waiting: "deleted before it began" => "its watchers get exitstatus (cancelled) and 1000",
        processes::older_supervisor: "supervisor of an older version" => "read, fed, cancelled and ended by the new server",
        processes::hundred_found: "100 running sessions at start" => "all found within 1 s, and read on",
        resources::out_of_descriptors: "no descriptors left (EMFILE)" => "nothing lost; answered again when clients leave",
        resources::full_disk: "full disk (ENOSPC)" => "program ends, exit status there, gap told; 507 for new ones",
        resources::full_disk_v01: "full disk, for a client of v0.1" => "it sees that output is missing",
        resources::full_before_it_begins: "full disk before a session begins" => "lost, and every watcher is told",
        resources::nearly_full_disk: "nearly full disk" => "507 with a reason, what runs goes on",
        resources::flood_without_readers: "flood while nobody reads" => "reaches its cap, server's memory flat",
        clients::slow_reader: "a reader that does not read" => "others get everything meanwhile, memory flat",
        clients::half_open: "a half-open connection" => "found by pings, closed; the session runs on",
        clients::thousand_watchers: "a thousand watchers" => "all get everything",
        clients::redelivery: "input sent again over new connections and servers" => "delivered once, in order",
        data::second_server: "a second server on the same data" => "refuses, and names the first",
        data::torn_tail: "machine dies: journals torn at any byte" => "ended sessions whole, others lost after the longest prefix",
        data::another_boot: "another boot; process numbers come back" => "lost; no stranger is signalled",
        data::retention: "ended sessions too old or too large" => "output a gap, then 404, oldest first",
    ];
    let faults: Vec<_> =
        faults.into_iter().filter(|fault| only.is_none_or(|only| fault.name.contains(only))).collect();
    if faults.is_empty() {
        bail!("no fault is named so");
    }
    println!("| fault | expected | seen | s |");
    println!("| --- | --- | --- | --- |");
    let mut failed = vec![];
    for fault in faults {
        let began = Instant::now();
        let seen = timeout(PATIENCE, (fault.test)(common)).await.context("it hangs").and_then(|seen| seen);
        let seen = seen.unwrap_or_else(|error| {
            failed.push(fault.name);
            format!("FAILED: {error:#}")
        });
        println!("| {} | {} | {seen} | {:.1} |", fault.name, fault.expected, began.elapsed().as_secs_f64());
    }
    if !failed.is_empty() {
        bail!("{} of the faults: {}", failed.len(), failed.join("; "));
    }
    Ok(())
}
