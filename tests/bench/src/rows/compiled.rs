//! Compiled programs: the second run of the same program must not compile again.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::{
    client::{Connection, CreateRequest, RunTimes, contains},
    options::BenchOptions,
    reference,
    server::{Server, WarmSandboxes},
    stats::{median, ms},
    table::{Row, Target, Unit},
};

/// The names of the rows.
pub const NAMES: [&str; 5] = ["c-second-run", "compile-c", "compile-cpp", "compile-rust", "compile-go"];

/// A compiled language, and a program in it that prints `NUMBER`.
struct Language {
    /// The name of its row.
    name: &'static str,
    runtime: &'static str,
    /// The language's name.
    title: &'static str,
    source: &'static str,
}

const LANGUAGES: [Language; 4] = [
    Language { name: NAMES[1], runtime: "c", title: "C", source: C },
    Language {
        name: NAMES[2],
        runtime: "cpp",
        title: "C++",
        source: "#include <iostream>\nint main() { std::cout << \"hello \" << NUMBER << std::endl; }\n",
    },
    Language {
        name: NAMES[3],
        runtime: "rust",
        title: "Rust",
        source: "fn main() { println!(\"hello {}\", NUMBER); }\n",
    },
    Language {
        name: NAMES[4],
        runtime: "go",
        title: "Go",
        source: "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\", NUMBER) }\n",
    },
];

/// A C program that prints `NUMBER`.
pub const C: &str = "#include <stdio.h>\nint main(void) { printf(\"hello %d\\n\", NUMBER); }\n";

/// Runs new programs and then repeats them.
struct RepeatedRuns<'a> {
    client: &'a mut Connection,
    /// The number that the last program printed. No two programs print the same number.
    last_number: u32,
}

impl RepeatedRuns<'_> {
    /// Runs a new program once, and then `repetitions` times more. Each run must print the
    /// program's number, which shows that a changed source is compiled again.
    fn run(&mut self, language: &Language, repetitions: usize) -> Result<(RunTimes, Vec<RunTimes>)> {
        self.last_number += 1;
        let code = language.source.replace("NUMBER", &self.last_number.to_string());
        let request = CreateRequest::new(&json!({"runtime": language.runtime, "code": code}));
        let printed = format!("hello {}\\n", self.last_number);
        let mut run = || {
            let mut lines = vec![];
            let run = self.client.run_collecting(&request, &mut lines)?;
            let is_expected = contains(&lines, printed.as_bytes());
            ensure!(is_expected, "the program must print {printed}: {}", String::from_utf8_lossy(&lines));
            Ok(run)
        };
        let first = run()?;
        let repeated = (0..repetitions).map(|_| run()).collect::<Result<_>>()?;
        Ok((first, repeated))
    }
}

/// Measures the rows of all languages that the server has.
pub fn measure(options: &BenchOptions) -> Result<Vec<Row>> {
    let server = Server::start(&options.binary, WarmSandboxes::Default)?;
    let mut client = Connection::connect(server.address())?;
    let runtimes = client.get("/runtimes")?;
    let is_available = |runtime: &str| {
        let mut all = runtimes.as_array().into_iter().flatten();
        all.any(|known| known["name"] == runtime && known["available"] != false)
    };
    let mut programs = RepeatedRuns { client: &mut client, last_number: 0 };
    let mut rows = vec![];
    if options.selects(NAMES[0]) && is_available("c") {
        rows.push(second_run(options, &mut programs)?);
    }
    for language in
        LANGUAGES.iter().filter(|language| options.selects(language.name) && is_available(language.runtime))
    {
        let (mut first, mut second) = (vec![], vec![]);
        for _ in 0..options.count(5, 1) {
            let (compiled, repeated) = programs.run(language, options.count(3, 1))?;
            first.push(ms(compiled.exit));
            second.push(median(&repeated.iter().map(|run| ms(run.exit)).collect::<Vec<_>>()));
        }
        rows.push(Row {
            name: language.name,
            what: format!("second run of the same {} program, POST to exitstatus", language.title),
            unit: Unit::Milliseconds,
            ours: second,
            reference: first,
            reference_name: "its first run, after a change".into(),
            target: Target::SpeedupAtLeast(5.0),
            note: String::new(),
        });
    }
    Ok(rows)
}

/// Measures repeated runs of a C program, beside the bare program.
fn second_run(options: &BenchOptions, programs: &mut RepeatedRuns<'_>) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let (source, program) = (folder.path().join("main.c"), folder.path().join("program"));
    std::fs::write(&source, C.replace("NUMBER", "0"))?;
    let compiled = Command::new("gcc").args(["-O1", "-o"]).arg(&program).arg(&source).status();
    ensure!(compiled.context("start gcc")?.success(), "gcc cannot compile hello world");
    let (mut ours, mut bare) = (vec![], vec![]);
    let samples = options.count(100, 2);
    for _ in 0..options.count(5, 2) {
        let (_, repeated) = programs.run(&LANGUAGES[0], samples)?;
        ours.push(median(&repeated.iter().map(|run| ms(run.exit)).collect::<Vec<_>>()));
        let runs =
            (0..samples).map(|_| reference::run(&mut Command::new(&program))).collect::<Result<Vec<_>>>()?;
        bare.push(median(&runs.iter().map(|run| ms(run.exit)).collect::<Vec<_>>()));
    }
    Ok(Row {
        name: NAMES[0],
        what: "C hello, second run, POST to exitstatus, p50".into(),
        unit: Unit::Milliseconds,
        ours,
        reference: bare,
        reference_name: "the compiled binary, bare".into(),
        target: Target::RatioAtMost(5.0),
        note: String::new(),
    })
}
