//! The servers of one binary, and the measurements of one round.

use std::{path::Path, time::Duration};

use anyhow::Result;
use serde_json::json;

use crate::{
    client::{Connection, CreateRequest, RunTimes, Websocket, wait_for_output},
    options::BenchOptions,
    rows::{
        compiled::C,
        echo::{TYPING_PAUSE, cat_request, echo},
        errors, layouts,
        rate::{Client, rate},
        start::hello_request,
        stream,
    },
    server::{Callers, Server, WarmSandboxes},
    stats::{median, ms, percentile},
    table::Unit,
};

/// How many sessions run beside the measured one in the crowded row.
const CROWD: usize = 100;

/// Rows that are measured together.
pub struct Group {
    /// The rows' names and units.
    pub rows: &'static [(&'static str, Unit)],
    /// A slow group takes only half of the rounds.
    pub is_slow: bool,
    /// Measures one round, and returns a figure for each of `rows`.
    pub measure: fn(&BenchOptions, &mut Contender) -> Result<Vec<f64>>,
}

pub const GROUPS: [Group; 10] = [
    Group {
        rows: &[
            ("exit-p50", Unit::Milliseconds),
            ("exit-p99", Unit::Milliseconds),
            ("first-output-p50", Unit::Milliseconds),
        ],
        is_slow: false,
        measure: warm_starts,
    },
    Group { rows: &[("exit-cold-p50", Unit::Milliseconds)], is_slow: false, measure: cold_starts },
    Group { rows: &[("rate", Unit::PerSecond)], is_slow: false, measure: warm_rate },
    Group { rows: &[("rate-cold", Unit::PerSecond)], is_slow: false, measure: cold_rate },
    Group { rows: &[("c-second-run", Unit::Milliseconds)], is_slow: false, measure: second_runs },
    Group { rows: &[("rust-second-run", Unit::Milliseconds)], is_slow: false, measure: second_rust_runs },
    Group { rows: &[("stream", Unit::MegabytesPerSecond)], is_slow: false, measure: stream_rate },
    Group {
        rows: &[("echo-p50", Unit::Milliseconds), ("echo-p99", Unit::Milliseconds)],
        is_slow: false,
        measure: echo_times,
    },
    Group {
        rows: &[
            ("stderr", Unit::PerSecond),
            ("redirect", Unit::Milliseconds),
            ("read-bytes", Unit::Milliseconds),
        ],
        is_slow: false,
        measure: ordered_output,
    },
    Group { rows: &[("exit-crowded-p50", Unit::Milliseconds)], is_slow: true, measure: crowded_starts },
];

/// Two servers of one binary, with a connection to each.
pub struct Contender {
    /// A server with default settings.
    warm: Server,
    /// A server without warm sandboxes.
    cold: Server,
    warm_client: Connection,
    cold_client: Connection,
    /// The request for a C program whose compiled form is in the cache of `warm`.
    compiled: CreateRequest,
    /// The same for a Rust program, whose sandbox may have another layout.
    compiled_rust: CreateRequest,
}

impl Contender {
    pub fn start(binary: &Path, callers: Callers) -> Result<Self> {
        let warm = Server::start_for(binary, WarmSandboxes::Default, callers)?;
        let cold = Server::start_for(binary, WarmSandboxes::Off, callers)?;
        let mut warm_client = Connection::connect(warm.address())?;
        let cold_client = Connection::connect(cold.address())?;
        let compiled = CreateRequest::new(&json!({"runtime": "c", "code": C.replace("NUMBER", "0")}));
        warm_client.run(&compiled)?; // fills the compile cache
        let compiled_rust = layouts::request("rust", layouts::RUST);
        Ok(Self { warm, cold, warm_client, cold_client, compiled, compiled_rust })
    }
}

/// Runs the program `samples` times, one run after another.
fn run_all(client: &mut Connection, request: &CreateRequest, samples: usize) -> Result<Vec<RunTimes>> {
    (0..samples).map(|_| client.run(request)).collect()
}

/// The times until the exit status, in milliseconds.
fn exits_ms(runs: &[RunTimes]) -> Vec<f64> {
    runs.iter().map(|run| ms(run.exit)).collect()
}

fn warm_starts(options: &BenchOptions, contender: &mut Contender) -> Result<Vec<f64>> {
    let runs = run_all(&mut contender.warm_client, &hello_request(), options.count(200, 3))?;
    let exits_ms = exits_ms(&runs);
    let first_outputs_ms: Vec<f64> = runs.iter().map(|run| ms(run.first_output)).collect();
    Ok(vec![median(&exits_ms), percentile(&exits_ms, 0.99), median(&first_outputs_ms)])
}

fn cold_starts(options: &BenchOptions, contender: &mut Contender) -> Result<Vec<f64>> {
    let runs = run_all(&mut contender.cold_client, &hello_request(), options.count(60, 3))?;
    Ok(vec![median(&exits_ms(&runs))])
}

fn second_runs(options: &BenchOptions, contender: &mut Contender) -> Result<Vec<f64>> {
    let runs = run_all(&mut contender.warm_client, &contender.compiled, options.count(200, 3))?;
    Ok(vec![median(&exits_ms(&runs))])
}

fn second_rust_runs(options: &BenchOptions, contender: &mut Contender) -> Result<Vec<f64>> {
    let Contender { warm_client, compiled_rust, .. } = contender;
    warm_client.run(compiled_rust)?; // fills the compile cache
    Ok(vec![median(&exits_ms(&run_all(warm_client, compiled_rust, options.count(100, 3))?))])
}

/// Sessions per second on one server.
fn session_rate(options: &BenchOptions, server: &Server) -> Result<f64> {
    let request = hello_request();
    let client = || {
        let mut client = Connection::connect(server.address())?;
        let request = &request;
        Ok(Box::new(move || client.run(request).map(drop)) as Client<'_>)
    };
    rate(Duration::from_millis(options.count(3000, 200) as u64), client)
}

fn warm_rate(options: &BenchOptions, contender: &mut Contender) -> Result<Vec<f64>> {
    Ok(vec![session_rate(options, &contender.warm)?])
}

fn cold_rate(options: &BenchOptions, contender: &mut Contender) -> Result<Vec<f64>> {
    Ok(vec![session_rate(options, &contender.cold)?])
}

fn stream_rate(options: &BenchOptions, contender: &mut Contender) -> Result<Vec<f64>> {
    let mut rates = vec![];
    for _ in 0..options.count(3, 1) {
        let address = contender.warm.address();
        rates.push(stream::measure_once(options, &mut contender.warm_client, address)?);
    }
    Ok(vec![median(&rates)])
}

fn echo_times(options: &BenchOptions, contender: &mut Contender) -> Result<Vec<f64>> {
    // Each round has a session of its own. The client answers no ping between two rounds, so the
    // server would close a websocket that stays open.
    let id = contender.warm_client.create(&cat_request())?;
    let mut websocket = Websocket::open(contender.warm.address(), &format!("/sessions/{id}/stream"))?;
    let mut times_ms = vec![];
    for _ in 0..options.count(700, 5) {
        times_ms.push(ms(echo(&mut websocket)?));
        std::thread::sleep(TYPING_PAUSE);
    }
    contender.warm_client.delete(&id)?;
    Ok(vec![median(&times_ms), percentile(&times_ms, 0.99)])
}

fn ordered_output(options: &BenchOptions, contender: &mut Contender) -> Result<Vec<f64>> {
    let client = &mut contender.warm_client;
    Ok(vec![
        errors::flood_rate(options, client)?,
        errors::redirects_ms(options, client)?,
        errors::reads_ms(options, client)?,
    ])
}

fn crowded_starts(options: &BenchOptions, contender: &mut Contender) -> Result<Vec<f64>> {
    let sleeper = CreateRequest::new(
        &json!({"runtime": "bash", "code": "", "command": ["bash", "-c", "echo up; exec sleep 3600"]}),
    );
    let client = &mut contender.warm_client;
    let ids = (0..options.count(CROWD, 4)).map(|_| client.create(&sleeper)).collect::<Result<Vec<_>>>()?;
    ids.iter().try_for_each(|id| wait_for_output(contender.warm.address(), id))?;
    let runs = run_all(client, &hello_request(), options.count(100, 3))?;
    ids.iter().try_for_each(|id| client.delete(id))?;
    Ok(vec![median(&exits_ms(&runs))])
}
