//! Programs of other layouts than the usual one find warm sandboxes, too: runtimes that mount a
//! toolchain, and requests for another size of the disk.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{compiled::C, start::HELLO};
use crate::{
    client::{Connection, CreateRequest},
    options::BenchOptions,
    reference,
    server::{Server, WarmSandboxes},
    stats::{median, ms},
    table::{Row, Target, Unit},
};

/// The names of the rows.
pub const NAMES: [&str; 4] = ["rust-second-run", "go-second-run", "java-second-run", "exit-disk-p50"];

/// A Rust program that prints `NUMBER`.
pub const RUST: &str = "fn main() { println!(\"hello {}\", NUMBER); }\n";
const GO: &str = "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\", NUMBER) }\n";
const JAVA: &str = "public class Main {\n    public static void main(String[] args) { System.out.println(\"hello NUMBER\"); }\n}\n";

/// The request for a program of a runtime.
pub fn request(runtime: &str, source: &str) -> CreateRequest {
    CreateRequest::new(&json!({"runtime": runtime, "code": source.replace("NUMBER", "0")}))
}

/// The median time until the exit status of `samples` runs, in milliseconds.
fn exit_p50(client: &mut Connection, request: &CreateRequest, samples: usize) -> Result<f64> {
    let runs = (0..samples).map(|_| client.run(request)).collect::<Result<Vec<_>>>()?;
    Ok(median(&runs.iter().map(|run| ms(run.exit)).collect::<Vec<_>>()))
}

/// Measures the rows of all runtimes that the server has.
pub fn measure(options: &BenchOptions) -> Result<Vec<Row>> {
    let server = Server::start(&options.binary, WarmSandboxes::Default)?;
    let mut client = Connection::connect(server.address())?;
    let runtimes = client.get("/runtimes")?;
    let is_available = |runtime: &str| {
        let mut all = runtimes.as_array().into_iter().flatten();
        all.any(|known| known["name"] == runtime && known["available"] != false)
    };
    let mut rows = vec![];
    for (name, runtime, title, source) in [(NAMES[0], "rust", "Rust", RUST), (NAMES[1], "go", "Go", GO)] {
        if options.selects(name) && is_available(runtime) && is_available("c") {
            let what = format!("{title} hello, second run, POST to exitstatus, p50");
            let reference = (request("c", C), "the same of C");
            let target = Target::RatioAtMost(1.5);
            rows.push(compare(
                options,
                &mut client,
                (name, what),
                request(runtime, source),
                reference,
                target,
            )?);
        }
    }
    if options.selects(NAMES[2]) && is_available("java") {
        rows.push(java(options, &mut client)?);
    }
    if options.selects(NAMES[3]) {
        let sized = json!({"runtime": "python", "code": HELLO, "limits": {"disk_bytes": 128 << 20}});
        let what = "POST to exitstatus of a request with another `disk_bytes`, p50".to_owned();
        let reference = (request("python", HELLO), "without `disk_bytes`");
        let (sized, target) = (CreateRequest::new(&sized), Target::RatioAtMost(1.2));
        rows.push(compare(options, &mut client, (NAMES[3], what), sized, reference, target)?);
    }
    Ok(rows)
}

/// Measures one request beside another.
fn compare(
    options: &BenchOptions,
    client: &mut Connection,
    (name, what): (&'static str, String),
    request: CreateRequest,
    (reference, reference_name): (CreateRequest, &str),
    target: Target,
) -> Result<Row> {
    let (mut ours, mut others) = (vec![], vec![]);
    let samples = options.count(100, 2);
    // The first runs compile the programs.
    client.run(&request)?;
    client.run(&reference)?;
    for _ in 0..options.count(5, 2) {
        ours.push(exit_p50(client, &request, samples)?);
        others.push(exit_p50(client, &reference, samples)?);
    }
    Ok(Row {
        name,
        what,
        unit: Unit::Milliseconds,
        ours,
        reference: others,
        reference_name: reference_name.to_owned(),
        target,
        note: String::new(),
    })
}

/// Measures repeated runs of a Java program, beside the bare `java` with the same classes.
fn java(options: &BenchOptions, client: &mut Connection) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("Main.java");
    std::fs::write(&source, JAVA.replace("NUMBER", "0"))?;
    let compiled = Command::new("javac").arg("-d").arg(folder.path()).arg(&source).status();
    ensure!(compiled.context("start javac")?.success(), "javac cannot compile hello world");
    let request = request("java", JAVA);
    client.run(&request)?;
    let (mut ours, mut bare) = (vec![], vec![]);
    let samples = options.count(20, 2);
    for _ in 0..options.count(5, 2) {
        ours.push(exit_p50(client, &request, samples)?);
        let run = || reference::run(Command::new("java").arg("-cp").arg(folder.path()).arg("Main"));
        let runs = (0..samples).map(|_| run()).collect::<Result<Vec<_>>>()?;
        bare.push(median(&runs.iter().map(|run| ms(run.exit)).collect::<Vec<_>>()));
    }
    Ok(Row {
        name: NAMES[2],
        what: "Java hello, second run, POST to exitstatus, p50".into(),
        unit: Unit::Milliseconds,
        ours,
        reference: bare,
        reference_name: "the bare `java` with the same classes".into(),
        target: Target::RatioAtMost(1.3),
        note: String::new(),
    })
}
