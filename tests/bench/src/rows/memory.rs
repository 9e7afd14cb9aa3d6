//! The memory that sessions cost.

use std::{
    io::Read as _,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    client::{Connection, CreateRequest, wait_for_output},
    machine::{available_mib, pss_mib},
    options::BenchOptions,
    reference::PYTHON,
    server::{Server, WarmSandboxes},
    table::{Row, Target, Unit},
};

/// The names of the rows.
pub const NAMES: [&str; 2] = ["memory-pss", "memory-machine"];

/// A program that prints a line once it runs, and then sleeps.
const SLEEPER: &str = "import time\nprint('up', flush=True)\ntime.sleep(3600)\n";

/// Sleeping programs without a sandbox. They are killed on drop.
struct BareSleepers(Vec<Child>);

impl BareSleepers {
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

impl Drop for BareSleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

/// Starts `count` sessions that sleep, and waits until each program runs.
fn start_sleepers(server: &Server, client: &mut Connection, count: usize) -> Result<Vec<String>> {
    let request = CreateRequest::new(&json!({"runtime": "python", "code": SLEEPER}));
    let ids = (0..count).map(|_| client.create(&request)).collect::<Result<Vec<_>>>()?;
    ids.iter().try_for_each(|id| wait_for_output(server.address(), id))?;
    server.wait_until_steady(count)?;
    Ok(ids)
}

/// Deletes the sessions and waits until their processes are gone.
fn end_sessions(server: &Server, client: &mut Connection, ids: &[String]) -> Result<()> {
    ids.iter().try_for_each(|id| client.delete(id))?;
    server.wait_until_steady(0)
}

/// Measures the memory of sleeping sessions.
pub fn measure(options: &BenchOptions) -> Result<Vec<Row>> {
    // Warm sandboxes do not belong to a running session, so their number is fixed at one.
    let server = Server::start(&options.binary, WarmSandboxes::One)?;
    let mut client = Connection::connect(server.address())?;
    let count = options.count(100, 4);
    let available_mib = || available_mib(options.count(40, 2));
    let own_mib = || server.own_processes().into_iter().map(pss_mib).sum::<f64>();
    // A first session makes the server allocate what it needs only once.
    let first = start_sleepers(&server, &mut client, 1)?;
    end_sessions(&server, &mut client, &first)?;
    let (mut own, mut sessions, mut bare) = (vec![], vec![], vec![]);
    for _ in 0..options.count(5, 2) {
        let (own_before, available_before) = (own_mib(), available_mib()?);
        let ids = start_sleepers(&server, &mut client, count)?;
        sessions.push((available_before - available_mib()?) / count as f64);
        own.push((own_mib() - own_before) / count as f64);
        end_sessions(&server, &mut client, &ids)?;

        let available_before = available_mib()?;
        let programs = BareSleepers::start(count)?;
        bare.push((available_before - available_mib()?) / count as f64);
        drop(programs);
    }
    let difference: Vec<f64> = sessions.iter().zip(&bare).map(|(ours, bare)| ours - bare).collect();
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
        row(
            NAMES[1],
            "the same as the machine sees it, MemAvailable",
            difference,
            Target::AtMost(2.0),
            &machine,
        ),
    ])
}
