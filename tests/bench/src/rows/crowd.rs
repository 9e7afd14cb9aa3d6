//! What many sessions cost: those that have ended, those that run, those that are watched.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::event::epoll;
use serde_json::json;

use super::{Bench, start::hello};
use crate::{
    client::{Connection, Creation, Websocket, await_output, contains},
    machine::pss_mib,
    server::{Server, Warm},
    stats::{median, ms, percentile},
    table::{Row, Target, Unit},
};

pub const MANY_NAMES: [&str; 2] = ["memory-ended", "exit-crowded-p50"];
pub const WATCHED_NAMES: [&str; 1] = ["watched-p99"];

/// Threads that make a crowd.
const CLIENTS: usize = 8;

/// Runs a program that does nothing `count` times, to its end.
fn run_many(server: &Server, count: usize) -> Result<()> {
    let creation = Creation::new(&json!({"runtime": "bash", "code": "", "command": ["true"]}));
    let left = AtomicUsize::new(count);
    std::thread::scope(|scope| {
        let client = || -> Result<()> {
            let mut client = Connection::connect(server.address())?;
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                client.run(&creation)?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}

pub fn measure_many(bench: &Bench) -> Result<Vec<Row>> {
    let (crowded, empty) =
        (Server::start(&bench.binary, Warm::Default)?, Server::start(&bench.binary, Warm::Default)?);
    let (ended, running) = (bench.count(10_000, 20), bench.count(500, 4));
    // What a server needs for its work at all is there before anything is counted.
    run_many(&crowded, bench.count(200, 4))?;
    let before = pss_mib(crowded.pid());
    run_many(&crowded, ended)?;
    let grown = pss_mib(crowded.pid()) - before;

    let mut client = Connection::connect(crowded.address())?;
    let mut undisturbed = Connection::connect(empty.address())?;
    let creation = hello();
    let (mut ours, mut alone) = (vec![], vec![]);
    if bench.wants(MANY_NAMES[1]) {
        let sleeper = Creation::new(
            &json!({"runtime": "bash", "code": "", "command": ["bash", "-c", "echo up; exec sleep 3600"]}),
        );
        let samples = bench.count(100, 3);
        let round = |client: &mut Connection| -> Result<f64> {
            let runs = (0..samples).map(|_| client.run(&creation)).collect::<Result<Vec<_>>>()?;
            Ok(median(&runs.iter().map(|run| ms(run.exit)).collect::<Vec<_>>()))
        };
        for _ in 0..bench.count(5, 2) {
            // The other server has the machine to itself: what the crowd costs the kernel counts too.
            alone.push(round(&mut undisturbed)?);
            let ids = (0..running).map(|_| client.create(&sleeper)).collect::<Result<Vec<_>>>()?;
            ids.iter().try_for_each(|id| await_output(crowded.address(), id))?;
            ours.push(round(&mut client)?);
            ids.iter().try_for_each(|id| client.delete(id))?;
        }
    }
    Ok(vec![
        Row {
            name: MANY_NAMES[0],
            what: format!("memory of the server for {ended} ended sessions, over none"),
            unit: Unit::Mebibytes,
            ours: vec![grown],
            reference: vec![],
            reference_name: String::new(),
            target: Target::AtMost(10.0),
            note: "proportional set size".into(),
        },
        Row {
            name: MANY_NAMES[1],
            what: format!("POST to exitstatus with {running} sessions running and {ended} ended, p50"),
            unit: Unit::Milliseconds,
            ours,
            reference: alone,
            reference_name: "with none".into(),
            target: Target::AtMostTimes(1.2),
            note: String::new(),
        },
    ])
}

/// Prints a number and the time, a line a second; waits at an input that never comes.
const TICKER: &str = "for ((n = 1; ; n++)); do echo \"$n $EPOCHREALTIME\"; read -rt 1; done";

/// One session that is watched.
struct Watched {
    websocket: Websocket,
    /// Number of the last line that came.
    last: u64,
}

impl Watched {
    /// Takes in what is here, and notes how late each line is. An error where one is missing.
    fn take(&mut self, late_ms: &mut Vec<f64>) -> Result<()> {
        let last = &mut self.last;
        let is_open = self.websocket.take(|message| {
            if !contains(message, br#""msgtype":"write""#) {
                return Ok(());
            }
            let text = std::str::from_utf8(message)?;
            let (_, data) = text.split_once(r#""data":""#).context("no data")?;
            let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
            for line in data.split(r"\n").take_while(|line| !line.starts_with('"')) {
                let (number, printed_s) =
                    line.split_once(' ').with_context(|| format!("half a line: {text}"))?;
                let number: u64 = number.parse()?;
                ensure!(number == *last + 1, "after line {last} came line {number}");
                *last = number;
                late_ms.push((now_s - printed_s.parse::<f64>()?) * 1000.0);
            }
            Ok(())
        })?;
        ensure!(is_open, "a stream ended");
        Ok(())
    }
}

pub fn measure_watched(bench: &Bench) -> Result<Vec<Row>> {
    let server = Server::start(&bench.binary, Warm::Default)?;
    let count = bench.count(1000, 10);
    let ticker = Creation::new(&json!({"runtime": "bash", "code": TICKER, "limits": {"cpu_ms": 60_000}}));
    let mut client = Connection::connect(server.address())?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut watched = vec![];
    for index in 0..count {
        let id = client.create(&ticker)?;
        let path = format!("/sessions/{id}/stream");
        let websocket = Websocket::open_with(server.address(), &path, 4096)?;
        websocket.set_nonblocking()?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&epoll, websocket.socket(), data, epoll::EventFlags::IN)?;
        watched.push(Watched { websocket, last: 0 });
    }
    let (began, mut late_ms) = (Instant::now(), vec![]);
    // First until all run and what came meanwhile is read; then what counts.
    let settling = Duration::from_millis(bench.count(10_000, 1000) as u64);
    watch(&epoll, &mut watched, settling, &mut vec![])?;
    let (mut p99, mut lines) = (vec![], 0);
    for _ in 0..bench.count(3, 2) {
        late_ms.clear();
        watch(&epoll, &mut watched, Duration::from_millis(bench.count(10_000, 1500) as u64), &mut late_ms)?;
        p99.push(percentile(&late_ms, 0.99));
        lines += late_ms.len();
    }
    // A program that is held up prints later; one that is not heard any more is another matter.
    let seconds = began.elapsed().as_secs();
    let fewest = watched.iter().map(|watched| watched.last).min().unwrap_or(0);
    ensure!(fewest * 10 >= seconds * 8, "of one of {count} sessions only {fewest} lines came in {seconds} s");
    Ok(vec![Row {
        name: WATCHED_NAMES[0],
        what: format!("{count} sessions running, a line a second each, all watched: print to client, p99"),
        unit: Unit::Milliseconds,
        ours: p99,
        reference: vec![],
        reference_name: String::new(),
        target: Target::AtMost(50.0),
        note: format!("{lines} lines, none lost"),
    }])
}

fn watch(
    epoll: &impl std::os::fd::AsFd,
    watched: &mut [Watched],
    time: Duration,
    late_ms: &mut Vec<f64>,
) -> Result<()> {
    let until = Instant::now() + time;
    let mut events = Vec::with_capacity(256);
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        let timeout = rustix::event::Timespec::try_from(left)?;
        events.clear();
        epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
        for event in &events {
            let index = usize::try_from(event.data.u64())?;
            watched[index].take(late_ms)?;
        }
    }
    Ok(())
}
