//! Programs that are compiled: the second run of the same is not to compile again.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::Bench;
use crate::{
    client::{Connection, Creation, Run, contains},
    reference,
    server::{Server, Warm},
    stats::{median, ms},
    table::{Row, Target, Unit},
};

pub const NAMES: [&str; 5] = ["c-second-run", "compile-c", "compile-cpp", "compile-rust", "compile-go"];

/// A compiled language: its runtime, what it is called, and a program that prints a number.
struct Language {
    name: &'static str,
    runtime: &'static str,
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

pub const C: &str = "#include <stdio.h>\nint main(void) { printf(\"hello %d\\n\", NUMBER); }\n";

/// Runs a source whose number nobody has run before, and the same again.
struct Twice<'a> {
    client: &'a mut Connection,
    next: u32,
}

impl Twice<'_> {
    /// A changed source must be compiled again: what it prints says so.
    fn run(&mut self, language: &Language, again: usize) -> Result<(Run, Vec<Run>)> {
        self.next += 1;
        let code = language.source.replace("NUMBER", &self.next.to_string());
        let creation = Creation::new(&json!({"runtime": language.runtime, "code": code}));
        let printed = format!("hello {}\\n", self.next);
        let mut run = || {
            let mut lines = vec![];
            let run = self.client.run_into(&creation, &mut lines)?;
            let is_right = contains(&lines, printed.as_bytes());
            ensure!(is_right, "{printed} was to be printed, not {}", String::from_utf8_lossy(&lines));
            Ok(run)
        };
        let first = run()?;
        let again = (0..again).map(|_| run()).collect::<Result<_>>()?;
        Ok((first, again))
    }
}

pub fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let server = Server::start(&bench.binary, Warm::Default)?;
    let mut client = Connection::connect(server.address())?;
    let runtimes = client.get("/runtimes")?;
    let is_here = |runtime: &str| {
        let mut all = runtimes.as_array().into_iter().flatten();
        all.any(|known| known["name"] == runtime && known["available"] != false)
    };
    let mut twice = Twice { client: &mut client, next: 0 };
    let mut rows = vec![];
    if bench.wants(NAMES[0]) && is_here("c") {
        rows.push(second_run(bench, &mut twice)?);
    }
    for language in
        LANGUAGES.iter().filter(|language| bench.wants(language.name) && is_here(language.runtime))
    {
        let (mut first, mut second) = (vec![], vec![]);
        for _ in 0..bench.count(5, 1) {
            let (compiled, again) = twice.run(language, bench.count(3, 1))?;
            first.push(ms(compiled.exit));
            second.push(median(&again.iter().map(|run| ms(run.exit)).collect::<Vec<_>>()));
        }
        rows.push(Row {
            name: language.name,
            what: format!("second run of the same {} program, POST to exitstatus", language.title),
            unit: Unit::Milliseconds,
            ours: second,
            reference: first,
            reference_name: "its first run, after a change".into(),
            target: Target::SoonerTimes(5.0),
            note: String::new(),
        });
    }
    Ok(rows)
}

/// The second run beside the bare program.
fn second_run(bench: &Bench, twice: &mut Twice<'_>) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let (source, program) = (folder.path().join("main.c"), folder.path().join("program"));
    std::fs::write(&source, C.replace("NUMBER", "0"))?;
    let compiled = Command::new("gcc").args(["-O1", "-o"]).arg(&program).arg(&source).status();
    ensure!(compiled.context("gcc does not start")?.success(), "gcc does not compile hello world");
    let (mut ours, mut bare) = (vec![], vec![]);
    let samples = bench.count(100, 2);
    for _ in 0..bench.count(5, 2) {
        let (_, again) = twice.run(&LANGUAGES[0], samples)?;
        ours.push(median(&again.iter().map(|run| ms(run.exit)).collect::<Vec<_>>()));
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
        target: Target::AtMostTimes(5.0),
        note: String::new(),
    })
}
