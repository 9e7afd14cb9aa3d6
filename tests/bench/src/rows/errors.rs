//! The cost of notified system calls: programs that write all the time to standard error, whose
//! shell redirects all the time, or that read their input byte by byte.

use std::process::Command;

use anyhow::Result;
use serde_json::json;

use crate::{
    client::{Connection, CreateRequest},
    options::BenchOptions,
    reference::{PYTHON, Program, run},
    server::{Server, WarmSandboxes},
    stats::ms,
    table::{Row, Target, Unit},
};

/// The names of the rows.
pub const NAMES: [&str; 6] =
    ["stderr", "stderr-inexact", "redirect", "redirect-inexact", "read-bytes", "read-bytes-inexact"];

/// How many lines the first program writes.
fn lines(options: &BenchOptions) -> usize {
    options.count(50_000, 500)
}

/// A program that writes each line to standard error by a call of its own.
fn flood(options: &BenchOptions) -> String {
    format!("import os\nfor _ in range({}):\n    os.write(2, b'{}\\n')\n", lines(options), "x".repeat(79))
}

/// A script that redirects the output of a builtin command, again and again.
fn redirects(options: &BenchOptions) -> String {
    format!("for ((n = 0; n < {}; n++)); do echo x >> file; done\necho done\n", options.count(5000, 50))
}

/// A script that reads lines. Bash reads a pipe byte by byte.
const READ_LINES: &str = "while read -r line; do :; done\necho done\n";

/// The input of that script.
fn input(options: &BenchOptions) -> String {
    format!("{}\n", "x".repeat(99)).repeat(options.count(1000, 10))
}

fn request(runtime: &str, code: &str, stdin: &str) -> CreateRequest {
    let limits = json!({"output_bytes": 100_000_000, "cpu_ms": 60_000});
    CreateRequest::new(&json!({"runtime": runtime, "code": code, "stdin": stdin, "limits": limits}))
}

/// Runs the program that floods standard error. Returns its lines per second.
pub fn flood_rate(options: &BenchOptions, client: &mut Connection) -> Result<f64> {
    let took = client.run(&request("python", &flood(options), ""))?.exit;
    Ok(lines(options) as f64 / took.as_secs_f64())
}

/// Runs the script that redirects. Returns its time in milliseconds.
pub fn redirects_ms(options: &BenchOptions, client: &mut Connection) -> Result<f64> {
    Ok(ms(client.run(&request("bash", &redirects(options), ""))?.exit))
}

/// Runs the script that reads. Returns its time in milliseconds.
pub fn reads_ms(options: &BenchOptions, client: &mut Connection) -> Result<f64> {
    Ok(ms(client.run(&request("bash", READ_LINES, &input(options)))?.exit))
}

/// Measures all three, on a server with default settings and on one that does not keep the
/// exact order, beside bare programs whose output is read from a pipe.
pub fn measure(options: &BenchOptions) -> Result<Vec<Row>> {
    let servers =
        [Server::start(&options.binary, WarmSandboxes::Default)?, Server::start_inexact(&options.binary)?];
    let mut clients =
        [Connection::connect(servers[0].address())?, Connection::connect(servers[1].address())?];
    let python = Program::new("flood.py", &flood(options))?;
    let bash = Program::new("redirects.sh", &redirects(options))?;
    let reader = Program::new("reads.sh", READ_LINES)?;
    let lines_file = Program::new("lines", &input(options))?;
    let mut ours: [Vec<f64>; 6] = Default::default();
    let mut bare: [Vec<f64>; 3] = Default::default();
    for _ in 0..options.count(7, 2) {
        for (index, client) in clients.iter_mut().enumerate() {
            ours[index].push(flood_rate(options, client)?);
            ours[2 + index].push(redirects_ms(options, client)?);
            ours[4 + index].push(reads_ms(options, client)?);
        }
        let to_stdout = ["-c", "\"$0\" \"$1\" 2>&1; echo done", PYTHON];
        let took = run(Command::new("bash").args(to_stdout).arg(&python.path))?.exit;
        bare[0].push(lines(options) as f64 / took.as_secs_f64());
        let folder = bash.path.parent().unwrap_or(&bash.path);
        bare[1].push(ms(run(Command::new("bash").arg(&bash.path).current_dir(folder))?.exit));
        let from_pipe = ["-c", "cat \"$1\" | bash \"$0\""];
        bare[2].push(ms(
            run(Command::new("bash").args(from_pipe).arg(&reader.path).arg(&lines_file.path))?.exit
        ));
    }
    let row = |index: usize, what: &str, unit| Row {
        name: NAMES[index],
        what: what.to_owned(),
        unit,
        ours: ours[index].clone(),
        reference: bare[index / 2].clone(),
        reference_name: "bare, to a pipe".into(),
        target: Target::None,
        note: String::new(),
    };
    Ok(vec![
        row(0, "lines that a Python program writes to standard error", Unit::PerSecond),
        row(1, "the same without `exact_order`", Unit::PerSecond),
        row(2, "a bash script with 5,000 times `echo x >> file`", Unit::Milliseconds),
        row(3, "the same without `exact_order`", Unit::Milliseconds),
        row(4, "a bash script that reads 100 KB byte by byte", Unit::Milliseconds),
        row(5, "the same without `exact_order`", Unit::Milliseconds),
    ])
}
