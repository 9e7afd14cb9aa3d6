//! The time of one small program from its request on, for one client.

use std::process::Command;

use anyhow::Result;
use serde_json::json;

use crate::{
    client::{Connection, CreateRequest, RunTimes},
    options::BenchOptions,
    reference::{self, PYTHON, Program},
    server::{Server, WarmSandboxes},
    stats::{median, ms, percentile},
    table::{Row, Target, Unit},
};

/// The names of the rows.
pub const NAMES: [&str; 6] =
    ["exit-p50", "exit-p99", "first-output-p50", "exit-cold-p50", "exit-bwrap-p50", "exit-docker-p50"];

/// The small program.
pub const HELLO: &str = "print('hello world')\n";

/// The figures of one way to run the program, one figure per round.
#[derive(Default)]
struct Rounds {
    exit_p50: Vec<f64>,
    exit_p99: Vec<f64>,
    first_output_p50: Vec<f64>,
}

impl Rounds {
    /// Takes `samples` samples and adds their percentiles.
    fn measure_round(&mut self, samples: usize, mut run: impl FnMut() -> Result<RunTimes>) -> Result<()> {
        let runs = (0..samples).map(|_| run()).collect::<Result<Vec<RunTimes>>>()?;
        let exits: Vec<f64> = runs.iter().map(|run| ms(run.exit)).collect();
        self.exit_p50.push(median(&exits));
        self.exit_p99.push(percentile(&exits, 0.99));
        self.first_output_p50.push(median(&runs.iter().map(|run| ms(run.first_output)).collect::<Vec<_>>()));
        Ok(())
    }
}

/// The request that runs [`HELLO`].
pub fn hello_request() -> CreateRequest {
    let files = json!([{"filename": "main.py", "contents": HELLO}]);
    CreateRequest::new(&json!({"runtime": "python", "files": files}))
}

/// Measures the program in a session, beside other ways to run it.
pub fn measure(options: &BenchOptions) -> Result<Vec<Row>> {
    let program = Program::new("hello.py", HELLO)?;
    let server = Server::start(&options.binary, WarmSandboxes::Default)?;
    let cold_server = Server::start(&options.binary, WarmSandboxes::Off)?;
    let (request, mut client) = (hello_request(), Connection::connect(server.address())?);
    let mut cold_client = Connection::connect(cold_server.address())?;
    let docker = reference::docker();
    let samples = options.count(200, 3);
    let (mut ours, mut bare, mut bwrap, mut cold) =
        (Rounds::default(), Rounds::default(), Rounds::default(), Rounds::default());
    let mut docker_rounds = Rounds::default();
    let mut measure_round = || -> Result<()> {
        ours.measure_round(samples, || client.run(&request))?;
        bare.measure_round(samples, || reference::run(Command::new(PYTHON).arg(&program.path)))?;
        cold.measure_round(samples, || cold_client.run(&request))?;
        if options.selects("exit-bwrap-p50")
            && let Some(mut command) = reference::bwrap(&program.path)
        {
            bwrap.measure_round(samples, || reference::run(&mut command))?;
        }
        if options.selects("exit-docker-p50")
            && let Ok(docker) = &docker
        {
            docker_rounds.measure_round(samples.min(10), || {
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
    for _ in 0..options.count(7, 2) {
        measure_round()?;
    }
    let row = |name, what: &str, ours: &[f64], (reference, reference_name): (&[f64], &str), target| Row {
        name,
        what: what.to_owned(),
        unit: Unit::Milliseconds,
        ours: ours.to_vec(),
        reference: reference.to_vec(),
        reference_name: reference_name.to_owned(),
        target,
        note: String::new(),
    };
    let bare_name = "bare python3 hello.py";
    let exit = "POST to exitstatus, one client, p50";
    let bwrap_name = if bwrap.exit_p50.is_empty() { "no bwrap" } else { "bwrap, the same mounts" };
    Ok(vec![
        row(NAMES[0], exit, &ours.exit_p50, (&bare.exit_p50, bare_name), Target::RatioAtMost(0.5)),
        row(NAMES[1], "the same, p99", &ours.exit_p99, (&bare.exit_p99, bare_name), Target::RatioAtMost(1.0)),
        row(
            NAMES[2],
            "POST to first output, p50",
            &ours.first_output_p50,
            (&bare.first_output_p50, "bare, to first output"),
            Target::RatioAtMost(0.4),
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
            (&docker_rounds.exit_p50, docker.err().unwrap_or("docker run")),
            Target::None,
        ),
    ])
}
