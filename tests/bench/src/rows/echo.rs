//! The time from a key press until its echo arrives as output.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    client::{Connection, CreateRequest, Websocket, contains},
    options::BenchOptions,
    reference::CatProcess,
    server::{Server, WarmSandboxes},
    stats::{median, ms, percentile},
    table::{Row, Target, Unit},
};

/// The names of the rows.
pub const NAMES: [&str; 2] = ["echo-p50", "echo-p99"];

/// Sends a line to a program that copies its input, and waits for the copy.
pub fn echo(websocket: &mut Websocket) -> Result<Duration> {
    let began = Instant::now();
    websocket.send(r#"{"msgtype":"input","data":"k\n"}"#)?;
    loop {
        let message = websocket.next_message()?.context("the program ended")?;
        if contains(message, br#""msgtype":"write""#) {
            return Ok(began.elapsed());
        }
    }
}

/// The pause between two key presses.
pub const TYPING_PAUSE: Duration = Duration::from_millis(1);

/// The request for a session whose program copies its input to its output.
pub fn cat_request() -> CreateRequest {
    CreateRequest::new(&json!({"runtime": "bash", "command": ["cat"], "code": ""}))
}

/// Measures the echo of a session, beside a pipe to a bare program.
pub fn measure(options: &BenchOptions) -> Result<Vec<Row>> {
    let server = Server::start(&options.binary, WarmSandboxes::Default)?;
    let mut client = Connection::connect(server.address())?;
    let id = client.create(&cat_request())?;
    let mut websocket = Websocket::open(server.address(), &format!("/sessions/{id}/stream"))?;
    let mut cat = CatProcess::start()?;
    let (mut ours, mut bare) = ([vec![], vec![]], [vec![], vec![]]);
    let samples = options.count(1000, 10);
    let (mut session_samples, mut bare_samples) = (vec![], vec![]);
    for _ in 0..options.count(7, 2) {
        session_samples.clear();
        bare_samples.clear();
        for _ in 0..samples {
            session_samples.push(ms(echo(&mut websocket)?));
            // As a person types: after the last echo was seen, and not at once.
            std::thread::sleep(TYPING_PAUSE);
        }
        for _ in 0..samples {
            bare_samples.push(ms(cat.echo(b"k\n")?));
            std::thread::sleep(TYPING_PAUSE);
        }
        for (rounds, samples) in [(&mut ours, &session_samples), (&mut bare, &bare_samples)] {
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
        row(0, "keystroke echo: input to its write, p50", Target::DifferenceAtMost(0.3)),
        row(1, "the same, p99", Target::DifferenceAtMost(2.0)),
    ])
}
