//! 100 MB of short lines, from a program to one websocket client that only counts bytes.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Bench, LINE};
use crate::{
    client::{Connection, Creation, Websocket},
    reference::{Listening, Program},
    server::{Server, Warm},
    stats::median,
    table::{Row, Target, Unit},
};

pub const NAMES: [&str; 2] = ["stream-websocketd", "stream-memory"];

const MEGABYTE: usize = 1_000_000;

/// Megabytes a second of what `open` gives, from the request to the close. At least `least` bytes must arrive.
fn rate(bytes: usize, least: usize, open: impl FnOnce() -> Result<Websocket>) -> Result<f64> {
    let began = Instant::now();
    let counted = open()?.count()?;
    let took = began.elapsed();
    ensure!(counted >= least as u64, "of {bytes} bytes, as {least} at least, only {counted} arrived");
    Ok(bytes as f64 / MEGABYTE as f64 / took.as_secs_f64())
}

/// How many lines are printed.
fn lines(bench: &Bench) -> usize {
    bench.count(100 * MEGABYTE, MEGABYTE) / LINE.len()
}

/// A program that prints them, in large writes, so that the program is not what is measured.
fn source(bytes: usize) -> String {
    format!(
        "import os\nblock = {LINE:?}.encode() * 1000\nleft = {bytes}\n\
         while left:\n    left -= os.write(1, block[:left])\n"
    )
}

/// The rate of one session that is made, watched to its end and deleted, in megabytes a second.
pub fn run_once(bench: &Bench, client: &mut Connection, address: &str) -> Result<f64> {
    let lines = lines(bench);
    let bytes = lines * LINE.len();
    let limits = json!({"output_bytes": 2 * bytes, "cpu_ms": 60_000});
    let creation = Creation::new(&json!({"runtime": "python", "code": source(bytes), "limits": limits}));
    let mut id = String::new();
    // The ends of lines are two characters each in JSON.
    let rate = rate(bytes, bytes + lines, || {
        id = client.create(&creation)?;
        Websocket::open(address, &format!("/sessions/{id}/stream"))
    })?;
    client.delete(&id)?;
    Ok(rate)
}

pub fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let lines = lines(bench);
    let bytes = lines * LINE.len();
    let program = Program::new("lines.py", &source(bytes))?;
    let server = Server::start(&bench.binary, Warm::Default)?;
    let mut client = Connection::connect(server.address())?;
    let (websocketd, memory) = (Listening::websocketd(&program.path)?, Listening::memory(bytes)?);
    let (mut ours, mut piped, mut limit) = (vec![], vec![], vec![]);
    let times = bench.count(5, 1);
    for _ in 0..bench.count(5, 2) {
        let mut rates = vec![];
        for _ in 0..times {
            rates.push(run_once(bench, &mut client, server.address())?);
        }
        ours.push(median(&rates));
        if let Some(websocketd) = websocketd.as_ref().filter(|_| bench.wants(NAMES[0])) {
            // It makes a message of each line, without its end.
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
        row(NAMES[0], what, piped, websocketd, Target::AtLeastTimes(15.0)),
        row(
            NAMES[1],
            "the same",
            limit,
            "axum websocket from memory, 64 KiB frames",
            Target::AtLeastTimes(0.3),
        ),
    ])
}
