//! The rate of 100 MB of short lines from a program to one websocket client that only counts
//! bytes.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{
    client::{Connection, CreateRequest, Websocket},
    options::BenchOptions,
    reference::{Program, ReferenceServer},
    server::{Server, WarmSandboxes},
    stats::median,
    table::{Row, Target, Unit},
    text::LINE,
};

/// The names of the rows.
pub const NAMES: [&str; 2] = ["stream-websocketd", "stream-memory"];

const MEGABYTE: usize = 1_000_000;

/// The rate of `bytes` bytes in megabytes per second, from before `open` until the close frame. At
/// least `min_bytes` must arrive.
fn rate(bytes: usize, min_bytes: usize, open: impl FnOnce() -> Result<Websocket>) -> Result<f64> {
    let began = Instant::now();
    let received = open()?.count_payload_bytes()?;
    let took = began.elapsed();
    ensure!(received >= min_bytes as u64, "only {received} of at least {min_bytes} bytes arrived");
    Ok(bytes as f64 / MEGABYTE as f64 / took.as_secs_f64())
}

/// How many lines the program prints.
fn lines(options: &BenchOptions) -> usize {
    options.count(100 * MEGABYTE, MEGABYTE) / LINE.len()
}

/// A program that prints the lines. Its writes are large, so that its own cost is small.
fn source(bytes: usize) -> String {
    format!(
        "import os\nblock = {LINE:?}.encode() * 1000\nleft = {bytes}\n\
         while left:\n    left -= os.write(1, block[:left])\n"
    )
}

/// Creates a session, reads its stream to the end and deletes it. Returns the rate in megabytes
/// per second.
pub fn measure_once(options: &BenchOptions, client: &mut Connection, address: &str) -> Result<f64> {
    let lines = lines(options);
    let bytes = lines * LINE.len();
    let limits = json!({"output_bytes": 2 * bytes, "cpu_ms": 60_000});
    let request = CreateRequest::new(&json!({"runtime": "python", "code": source(bytes), "limits": limits}));
    let mut id = String::new();
    // A line feed takes two characters in JSON.
    let rate = rate(bytes, bytes + lines, || {
        id = client.create(&request)?;
        Websocket::open(address, &format!("/sessions/{id}/stream"))
    })?;
    client.delete(&id)?;
    Ok(rate)
}

/// Measures the stream of a session, beside websocketd and a websocket server without a program.
pub fn measure(options: &BenchOptions) -> Result<Vec<Row>> {
    let lines = lines(options);
    let bytes = lines * LINE.len();
    let program = Program::new("lines.py", &source(bytes))?;
    let server = Server::start(&options.binary, WarmSandboxes::Default)?;
    let mut client = Connection::connect(server.address())?;
    let (websocketd, memory) = (ReferenceServer::websocketd(&program.path)?, ReferenceServer::memory(bytes)?);
    let (mut ours, mut piped, mut limit) = (vec![], vec![], vec![]);
    let times = options.count(5, 1);
    for _ in 0..options.count(5, 2) {
        let mut rates = vec![];
        for _ in 0..times {
            rates.push(measure_once(options, &mut client, server.address())?);
        }
        ours.push(median(&rates));
        if let Some(websocketd) = websocketd.as_ref().filter(|_| options.selects(NAMES[0])) {
            // It sends each line as a message, without the line feed.
            piped.push(rate(bytes, bytes - lines, || Websocket::open(&websocketd.address, "/"))?);
        }
        let rates = (0..times).map(|_| rate(bytes, bytes, || Websocket::open(&memory.address, "/")));
        limit.push(median(&rates.collect::<Result<Vec<_>>>()?));
    }
    let row = |name, what: &str, reference: Vec<f64>, reference_name: &str, target| Row {
        name,
        what: what.to_owned(),
        unit: Unit::MegabytesPerSecond,
        ours: ours.clone(),
        reference,
        reference_name: reference_name.to_owned(),
        target,
        note: String::new(),
    };
    let websocketd = if websocketd.is_some() { "websocketd" } else { "no websocketd" };
    let what = "100 MB of 80-byte lines to one websocket that counts bytes";
    Ok(vec![
        row(NAMES[0], what, piped, websocketd, Target::RatioAtLeast(15.0)),
        row(
            NAMES[1],
            "the same",
            limit,
            "axum websocket from memory, 64 KiB frames",
            Target::RatioAtLeast(0.3),
        ),
    ])
}
