//! How long one small program takes from the request on, for one client.

use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::Bench;
use crate::{
    client::{Connection, Creation, Run},
    reference::{self, PYTHON, Program},
    server::{Server, Warm},
    stats::{median, ms, percentile},
    table::{Row, Target, Unit},
};

pub const NAMES: [&str; 6] =
    ["exit-p50", "exit-p99", "first-output-p50", "exit-cold-p50", "exit-bwrap-p50", "exit-docker-p50"];

pub const HELLO: &str = "print('hello world')\n";

/// What one way of running it took, round by round.
#[derive(Default)]
struct Rounds {
    exit_p50: Vec<f64>,
    exit_p99: Vec<f64>,
    first_output_p50: Vec<f64>,
}

impl Rounds {
    fn round(&mut self, samples: usize, mut run: impl FnMut() -> Result<Run>) -> Result<()> {
        let runs = (0..samples).map(|_| run()).collect::<Result<Vec<Run>>>()?;
        let exits: Vec<f64> = runs.iter().map(|run| ms(run.exit)).collect();
        self.exit_p50.push(median(&exits));
        self.exit_p99.push(percentile(&exits, 0.99));
        self.first_output_p50.push(median(&runs.iter().map(|run| ms(run.first_output)).collect::<Vec<_>>()));
        Ok(())
    }
}

/// The request that runs the small program.
pub fn hello() -> Creation {
    let files = json!([{"filename": "main.py", "contents": HELLO}]);
    Creation::new(&json!({"runtime": "python", "files": files}))
}

pub fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let program = Program::new("hello.py", HELLO)?;
    let server = Server::start(&bench.binary, Warm::Default)?;
    let cold_server = Server::start(&bench.binary, Warm::Off)?;
    let (creation, mut client) = (hello(), Connection::connect(server.address())?);
    let mut cold_client = Connection::connect(cold_server.address())?;
    let docker = reference::docker();
    let samples = bench.count(200, 3);
    let (mut ours, mut bare, mut bwrap, mut cold) =
        (Rounds::default(), Rounds::default(), Rounds::default(), Rounds::default());
    let mut docked = Rounds::default();
    let mut once = || -> Result<()> {
        ours.round(samples, || client.run(&creation))?;
        bare.round(samples, || reference::run(Command::new(PYTHON).arg(&program.path)))?;
        cold.round(samples, || cold_client.run(&creation))?;
        if bench.wants("exit-bwrap-p50")
            && let Some(mut command) = reference::bwrap(&program.path)
        {
            bwrap.round(samples, || reference::run(&mut command))?;
        }
        if bench.wants("exit-docker-p50")
            && let Ok(docker) = &docker
        {
            docked.round(samples.min(10), || {
                reference::run(Command::new(docker).args([
                    "run",
                    "--rm",
                    "python:3-alpine",
                    "python",
                    "-c",
                    HELLO,
                ]))
            })?;
        }
        Ok(())
    };
    for _ in 0..bench.count(7, 2) {
        once()?;
    }
    let row = |name, what: &str, ours: &[f64], (reference, is): (&[f64], &str), target| Row {
        name,
        what: what.to_owned(),
        unit: Unit::Milliseconds,
        ours: ours.to_vec(),
        reference: reference.to_vec(),
        reference_name: is.to_owned(),
        target,
        note: String::new(),
    };
    let bare_name = "bare python3 hello.py";
    let exit = "POST to exitstatus, one client, p50";
    let bwrap_name = if bwrap.exit_p50.is_empty() { "no bwrap" } else { "bwrap, the same mounts" };
    Ok(vec![
        row(NAMES[0], exit, &ours.exit_p50, (&bare.exit_p50, bare_name), Target::AtMostTimes(0.5)),
        row(NAMES[1], "the same, p99", &ours.exit_p99, (&bare.exit_p99, bare_name), Target::AtMostTimes(1.0)),
        row(
            NAMES[2],
            "POST to first output, p50",
            &ours.first_output_p50,
            (&bare.first_output_p50, "bare, to first output"),
            Target::AtMostTimes(0.4),
        ),
        row(
            NAMES[3],
            "POST to exitstatus, warm starts off, p50",
            &cold.exit_p50,
            (&bare.exit_p50, bare_name),
            Target::None,
        ),
        row(NAMES[4], exit, &ours.exit_p50, (&bwrap.exit_p50, bwrap_name), Target::None),
        row(
            NAMES[5],
            exit,
            &ours.exit_p50,
            (&docked.exit_p50, docker.err().unwrap_or("docker run")),
            Target::None,
        ),
    ])
}
