//! How long a key press takes to come back as output.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Bench;
use crate::{
    client::{Connection, Creation, Websocket, contains},
    reference::Cat,
    server::{Server, Warm},
    stats::{median, ms, percentile},
    table::{Row, Target, Unit},
};

pub const NAMES: [&str; 2] = ["echo-p50", "echo-p99"];

pub fn echo(websocket: &mut Websocket) -> Result<Duration> {
    let began = Instant::now();
    websocket.send(r#"{"msgtype":"input","data":"k\n"}"#)?;
    loop {
        let message = websocket.next()?.context("the program ended")?;
        if contains(message, br#""msgtype":"write""#) {
            return Ok(began.elapsed());
        }
    }
}

pub fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let server = Server::start(&bench.binary, Warm::Default)?;
    let mut client = Connection::connect(server.address())?;
    let id = client.create(&Creation::new(&json!({"runtime": "bash", "command": ["cat"], "code": ""})))?;
    let mut websocket = Websocket::open(server.address(), &format!("/sessions/{id}/stream"))?;
    let mut cat = Cat::start()?;
    let (mut ours, mut bare) = ([vec![], vec![]], [vec![], vec![]]);
    let samples = bench.count(1000, 10);
    let (mut there, mut back) = (vec![], vec![]);
    for _ in 0..bench.count(7, 2) {
        there.clear();
        back.clear();
        for _ in 0..samples {
            there.push(ms(echo(&mut websocket)?));
            // As somebody types: not before the last one is seen, and not at once.
            std::thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..samples {
            back.push(ms(cat.echo(b"k\n")?));
            std::thread::sleep(Duration::from_millis(1));
        }
        for (rounds, samples) in [(&mut ours, &there), (&mut bare, &back)] {
            rounds[0].push(median(samples));
            rounds[1].push(percentile(samples, 0.99));
        }
    }
    client.delete(&id)?;
    let row = |index: usize, what: &str, target| Row {
        name: NAMES[index],
        what: what.to_owned(),
        unit: Unit::Milliseconds,
        ours: ours[index].clone(),
        reference: bare[index].clone(),
        reference_name: "a pipe to bare cat and back".into(),
        target,
        note: String::new(),
    };
    Ok(vec![
        row(0, "keystroke echo: input to its write, p50", Target::AtMostOver(0.3)),
        row(1, "the same, p99", Target::AtMostOver(2.0)),
    ])
}
