//! What sessions cost in memory.

use std::{
    io::Read as _,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Bench;
use crate::{
    client::{Connection, Creation, await_output},
    machine::{available_mib, pss_mib},
    reference::PYTHON,
    server::{Server, Warm},
    table::{Row, Target, Unit},
};

pub const NAMES: [&str; 2] = ["memory-pss", "memory-machine"];

/// Says that it is up, and sleeps.
const SLEEPER: &str = "import time\nprint('up', flush=True)\ntime.sleep(3600)\n";

/// Programs that run bare, and are killed when they are dropped.
struct Bare(Vec<Child>);

impl Bare {
    fn start(count: usize) -> Result<Self> {
        let mut all = Self(vec![]);
        for _ in 0..count {
            let mut command = Command::new(PYTHON);
            command.args(["-c", SLEEPER]).stdin(Stdio::null()).stdout(Stdio::piped());
            all.0.push(command.spawn()?);
        }
        for child in &mut all.0 {
            child.stdout.as_mut().context("no pipe")?.read_exact(&mut [0; 3])?;
        }
        Ok(all)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

/// Starts sessions and waits until each program is up.
fn start_sleepers(server: &Server, client: &mut Connection, count: usize) -> Result<Vec<String>> {
    let creation = Creation::new(&json!({"runtime": "python", "code": SLEEPER}));
    let ids = (0..count).map(|_| client.create(&creation)).collect::<Result<Vec<_>>>()?;
    ids.iter().try_for_each(|id| await_output(server.address(), id))?;
    server.await_rest(count)?;
    Ok(ids)
}

fn end(server: &Server, client: &mut Connection, ids: &[String]) -> Result<()> {
    ids.iter().try_for_each(|id| client.delete(id))?;
    server.await_rest(0)
}

pub fn measure(bench: &Bench) -> Result<Vec<Row>> {
    // What waits for sessions to come is no part of one that runs.
    let server = Server::start(&bench.binary, Warm::One)?;
    let mut client = Connection::connect(server.address())?;
    let count = bench.count(100, 4);
    let available_mib = || available_mib(bench.count(40, 2));
    let own_mib = || server.own_processes().into_iter().map(pss_mib).sum::<f64>();
    // What is needed once is there before anything is counted.
    let first = start_sleepers(&server, &mut client, 1)?;
    end(&server, &mut client, &first)?;
    let (mut own, mut sessions, mut bare) = (vec![], vec![], vec![]);
    for _ in 0..bench.count(5, 2) {
        let (own_before, available_before) = (own_mib(), available_mib()?);
        let ids = start_sleepers(&server, &mut client, count)?;
        sessions.push((available_before - available_mib()?) / count as f64);
        own.push((own_mib() - own_before) / count as f64);
        end(&server, &mut client, &ids)?;

        let available_before = available_mib()?;
        let programs = Bare::start(count)?;
        bare.push((available_before - available_mib()?) / count as f64);
        drop(programs);
    }
    let over: Vec<f64> = sessions.iter().zip(&bare).map(|(ours, bare)| ours - bare).collect();
    let row = |name, what: &str, ours, target, note: &str| Row {
        name,
        what: what.to_owned(),
        unit: Unit::Mebibytes,
        ours,
        reference: vec![],
        reference_name: String::new(),
        target,
        note: note.to_owned(),
    };
    let machine = format!("of {count} sleeping sessions less that of {count} bare programs");
    Ok(vec![
        row(
            NAMES[0],
            "memory of one running session besides its program",
            own,
            Target::AtMost(1.0),
            "proportional set size of server, spawner, supervisors and inits, over none",
        ),
        row(NAMES[1], "the same as the machine sees it, MemAvailable", over, Target::AtMost(2.0), &machine),
    ])
}
