//! The cost of many sessions: ended ones, running ones and watched ones.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::event::epoll;
use serde_json::json;

use super::start::hello_request;
use crate::{
    client::{Connection, CreateRequest, Websocket, contains, wait_for_output},
    machine::pss_mib,
    options::BenchOptions,
    server::{Server, WarmSandboxes},
    stats::{median, ms, percentile},
    table::{Row, Target, Unit},
};

/// The names of the rows of [`measure_many`].
pub const MANY_NAMES: [&str; 2] = ["memory-ended", "exit-crowded-p50"];
/// The names of the rows of [`measure_watched`].
pub const WATCHED_NAMES: [&str; 1] = ["watched-p99"];

/// How many clients run programs at once.
const CLIENTS: usize = 8;

/// Runs a program that does nothing `count` times, each time to its end.
fn run_many(server: &Server, count: usize) -> Result<()> {
    let request = CreateRequest::new(&json!({"runtime": "bash", "code": "", "command": ["true"]}));
    let left = AtomicUsize::new(count);
    std::thread::scope(|scope| {
        let client = || -> Result<()> {
            let mut client = Connection::connect(server.address())?;
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                client.run(&request)?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}

/// Measures a server with many ended and running sessions.
pub fn measure_many(options: &BenchOptions) -> Result<Vec<Row>> {
    let (crowded, empty) = (
        Server::start(&options.binary, WarmSandboxes::Default)?,
        Server::start(&options.binary, WarmSandboxes::Default)?,
    );
    let (ended, running) = (options.count(10_000, 20), options.count(500, 4));
    // A first batch makes the server allocate what it needs for any session at all.
    run_many(&crowded, options.count(200, 4))?;
    let before = pss_mib(crowded.pid());
    run_many(&crowded, ended)?;
    let growth_mib = pss_mib(crowded.pid()) - before;

    let mut client = Connection::connect(crowded.address())?;
    let mut empty_client = Connection::connect(empty.address())?;
    let request = hello_request();
    let (mut ours, mut uncrowded) = (vec![], vec![]);
    if options.selects(MANY_NAMES[1]) {
        let sleeper = CreateRequest::new(
            &json!({"runtime": "bash", "code": "", "command": ["bash", "-c", "echo up; exec sleep 3600"]}),
        );
        let samples = options.count(100, 3);
        let round = |client: &mut Connection| -> Result<f64> {
            let runs = (0..samples).map(|_| client.run(&request)).collect::<Result<Vec<_>>>()?;
            Ok(median(&runs.iter().map(|run| ms(run.exit)).collect::<Vec<_>>()))
        };
        for _ in 0..options.count(5, 2) {
            // In the reference's rounds no other session runs on the machine, so that the crowd's
            // cost for the kernel counts too.
            uncrowded.push(round(&mut empty_client)?);
            let ids = (0..running).map(|_| client.create(&sleeper)).collect::<Result<Vec<_>>>()?;
            ids.iter().try_for_each(|id| wait_for_output(crowded.address(), id))?;
            ours.push(round(&mut client)?);
            ids.iter().try_for_each(|id| client.delete(id))?;
        }
    }
    Ok(vec![
        Row {
            name: MANY_NAMES[0],
            what: format!("memory of the server for {ended} ended sessions, over none"),
            unit: Unit::Mebibytes,
            ours: vec![growth_mib],
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
            reference: uncrowded,
            reference_name: "with none".into(),
            target: Target::RatioAtMost(1.2),
            note: String::new(),
        },
    ])
}

/// Prints a number and the time once per second. `read` waits for input that never arrives.
const TICKER: &str = "for ((n = 1; ; n++)); do echo \"$n $EPOCHREALTIME\"; read -rt 1; done";

/// One watched session.
struct WatchedSession {
    websocket: Websocket,
    /// The number of the last line that arrived.
    last: u64,
}

impl WatchedSession {
    /// Reads the lines that have arrived and appends the delay of each to `delays_ms`. A missing
    /// line is an error.
    fn read_lines(&mut self, delays_ms: &mut Vec<f64>) -> Result<()> {
        let last = &mut self.last;
        let is_open = self.websocket.poll_messages(|message| {
            if !contains(message, br#""msgtype":"write""#) {
                return Ok(());
            }
            let text = std::str::from_utf8(message)?;
            let (_, data) = text.split_once(r#""data":""#).context("a write without data")?;
            let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
            for line in data.split(r"\n").take_while(|line| !line.starts_with('"')) {
                let (number, printed_s) =
                    line.split_once(' ').with_context(|| format!("an incomplete line: {text}"))?;
                let number: u64 = number.parse()?;
                ensure!(number == *last + 1, "line {number} follows line {last}");
                *last = number;
                delays_ms.push((now_s - printed_s.parse::<f64>()?) * 1000.0);
            }
            Ok(())
        })?;
        ensure!(is_open, "a stream ended");
        Ok(())
    }
}

/// Measures the delay of lines from many sessions that are all watched.
pub fn measure_watched(options: &BenchOptions) -> Result<Vec<Row>> {
    let server = Server::start(&options.binary, WarmSandboxes::Default)?;
    let count = options.count(1000, 10);
    let ticker =
        CreateRequest::new(&json!({"runtime": "bash", "code": TICKER, "limits": {"cpu_ms": 60_000}}));
    let mut client = Connection::connect(server.address())?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut watched = vec![];
    for index in 0..count {
        let id = client.create(&ticker)?;
        let path = format!("/sessions/{id}/stream");
        let websocket = Websocket::open_with_capacity(server.address(), &path, 4096)?;
        websocket.set_nonblocking()?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&epoll, websocket.socket(), data, epoll::EventFlags::IN)?;
        watched.push(WatchedSession { websocket, last: 0 });
    }
    let (began, mut delays_ms) = (Instant::now(), vec![]);
    // Until all programs run, lines are read but not counted.
    let warm_up = Duration::from_millis(options.count(10_000, 1000) as u64);
    read_for(warm_up, &epoll, &mut watched, &mut vec![])?;
    let (mut p99, mut lines) = (vec![], 0);
    for _ in 0..options.count(3, 2) {
        delays_ms.clear();
        let round = Duration::from_millis(options.count(10_000, 1500) as u64);
        read_for(round, &epoll, &mut watched, &mut delays_ms)?;
        p99.push(percentile(&delays_ms, 0.99));
        lines += delays_ms.len();
    }
    // A delayed program prints fewer lines. A stream that has stopped would deliver far fewer.
    let seconds = began.elapsed().as_secs();
    let fewest = watched.iter().map(|watched| watched.last).min().unwrap_or(0);
    ensure!(
        fewest * 10 >= seconds * 8,
        "one of {count} sessions delivered only {fewest} lines in {seconds} s"
    );
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

/// Reads the lines of all sessions for `time`.
fn read_for(
    time: Duration,
    epoll: &impl std::os::fd::AsFd,
    watched: &mut [WatchedSession],
    delays_ms: &mut Vec<f64>,
) -> Result<()> {
    let deadline = Instant::now() + time;
    let mut events = Vec::with_capacity(256);
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        let timeout = rustix::event::Timespec::try_from(left)?;
        events.clear();
        epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
        for event in &events {
            let index = usize::try_from(event.data.u64())?;
            watched[index].read_lines(delays_ms)?;
        }
    }
    Ok(())
}
