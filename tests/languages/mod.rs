//! Every language does what a program needs, and the same programs have the same output in all of
//! them. The programs are files in a folder for each language: one named after a check, or
//! `checks`, which gets the check's name as its argument. The files in a folder named after a check
//! are beside its program.

mod habits;

use std::{
    any::Any,
    fs,
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use serde_json::{Value, json};

use crate::common::{Run, Server, Stream, id, is_root};

/// A language, and what is special about it.
struct Language {
    runtime: &'static str,
    /// The folder of its programs.
    folder: &'static str,
    /// The name under which a program is saved, if it is not the runtime's.
    file: Option<&'static str>,
    /// The file that errors name, if it is not that.
    named: Option<&'static str>,
    /// Checks of things that the language does not have.
    lacks: &'static [&'static str],
}

const fn language(runtime: &'static str) -> Language {
    Language { runtime, folder: runtime, file: None, named: None, lacks: &[] }
}

const LANGUAGES: &[Language] = &[
    language("python"),
    Language { folder: "python", ..language("python-canvas") },
    Language { folder: "python", ..language("joy") },
    language("javascript"),
    Language { folder: "javascript", file: Some("main.cjs"), ..language("javascript-canvas") },
    language("c"),
    language("cpp"),
    language("go"),
    language("rust"),
    language("bash"),
    language("ruby"),
    language("perl"),
    Language { lacks: &["threads"], ..language("lua") },
    Language { lacks: &["threads"], ..language("php") },
    language("typescript"),
    Language { named: Some("Checks.java"), ..language("java") },
    language("kotlin"),
    language("csharp"),
    language("haskell"),
    language("ocaml"),
    language("fortran"),
    language("pascal"),
    // A wrong instruction is only a signal, and threads are system calls.
    Language { lacks: &["error", "threads"], ..language("assembly") },
    language("r"),
    Language { named: Some("near line"), lacks: &["threads"], ..language("sqlite") },
];

/// Languages that are tried only where they are installed: each takes hundreds of megabytes.
pub const LARGE: &[&str] = &["kotlin", "haskell"];

const CHECKS: [&str; 12] = [
    "hello", "stderr", "exit", "echo", "error", "broken", "module", "process", "threads", "lines", "live",
    "prompt",
];

/// Languages that are installed wherever the tests run, also for an ordinary user.
const ALWAYS: &[&str] = &["python", "javascript", "c", "cpp", "go", "bash"];

/// Programs that have the same output in every language: name, standard input, output.
const SAME: [(&str, &str, &str); 3] = [
    ("sum", "3 4\n 5\n\n-2 100000\n", "100010\n"),
    ("words", "the quick  brown\nfox\n\n jumps over\tthe lazy dog", "9\n"),
    ("queens", "", "1 5 8 6 3 7 2 4\n92\n"),
];

/// Programs that run at the same time.
const WORKERS: usize = 2;

/// The folder of the programs. When the tests run again as an ordinary user, it is a copy in the
/// working directory.
fn programs() -> PathBuf {
    let copy = PathBuf::from("tests/languages");
    if copy.exists() { copy } else { Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/languages") }
}

impl Language {
    /// The text of the program with this name.
    fn program(&self, name: &str) -> Option<String> {
        let folder = programs().join(self.folder);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let path = files
            .flatten()
            .map(|file| file.path())
            .find(|path| path.is_file() && path.file_stem().is_some_and(|stem| stem == name))?;
        Some(fs::read_to_string(path).expect("the program can be read"))
    }

    /// The request for a check, and the number of the line that has the mistake.
    fn request(&self, check: &str) -> (Value, usize) {
        let own = self.program(check);
        let has_own = own.is_some();
        let code = own.or_else(|| self.program("checks"));
        let code = code.unwrap_or_else(|| panic!("{} has no program for {check}", self.folder));
        let line = code.lines().position(|line| line.contains(" HERE")).map_or(0, |index| index + 1);
        let mut request = json!({"runtime": self.runtime, "code": code});
        if let Some(file) = self.file {
            request["code_filename"] = file.into();
        }
        if !has_own {
            request["args"] = json!([check]);
        }
        let beside = programs().join(self.folder).join(check);
        if beside.is_dir() {
            request["files"] = files_below(&beside, "").into();
        }
        (request, line)
    }
}

/// All files below a folder, as a request has them. `name` is that of the folder, with a slash.
fn files_below(folder: &Path, name: &str) -> Vec<Value> {
    let entries = fs::read_dir(folder).expect("the folder can be read").flatten();
    let files = entries.flat_map(|entry| {
        let name = format!("{name}{}", entry.file_name().to_str().expect("UTF-8"));
        match fs::read_to_string(entry.path()) {
            Ok(contents) => vec![json!({"filename": name, "contents": contents})],
            Err(_) => files_below(&entry.path(), &format!("{name}/")),
        }
    });
    files.collect()
}

/// Runs one check of one language; returns what its cell shows.
fn run_check(server: &Server, language: &Language, file: &str, check: &str) -> String {
    let (mut request, line) = language.request(check);
    if !["live", "prompt"].contains(&check) {
        request["stdin"] = if check == "echo" { "one\ntwo\n".into() } else { "".into() };
    }
    let started = Instant::now();
    let mut stream = server.stream(&id(&server.create(&request)), "");
    let is_exit = |run: &Run, stdout: &str| {
        assert_eq!((&*run.stdout, &*run.stderr, run.exitstatus), (stdout, "", 0));
    };
    match check {
        "hello" => {
            is_exit(&Run::collect(stream), "Hello, World!\n");
            return format!("{} ms", started.elapsed().as_millis());
        }
        "stderr" => {
            let run = Run::collect(stream);
            assert_eq!((&*run.stdout, &*run.stderr, run.exitstatus), ("", "oops\n", 0));
        }
        "exit" => {
            let run = Run::collect(stream);
            assert_eq!((&*run.stdout, run.exitstatus), ("", 3), "{run:?}");
        }
        "echo" => is_exit(&Run::collect(stream), "one\ntwo\n"),
        "error" | "broken" => {
            let run = Run::collect(stream);
            assert!(run.exitstatus != 0, "{run:?}");
            assert!(
                names_line(&run.stderr, file, line),
                "line {line} of {file} is not named: {}",
                run.stderr
            );
            assert_eq!(run.stdout, "");
        }
        "module" => is_exit(&Run::collect(stream), "Hello, module!\n"),
        "process" => is_exit(&Run::collect(stream), "process\n"),
        "threads" => is_exit(&Run::collect(stream), "10\n"),
        "lines" => {
            let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
            let run = Run::collect(stream);
            let first =
                run.stdout.lines().zip(expected.lines()).position(|(line, expected)| line != expected);
            assert!(run.stdout == expected, "line {first:?} differs, of {} bytes", run.stdout.len());
            is_exit(&run, &expected);
        }
        "live" => {
            // The program goes on for longer than this waits.
            read_both(&mut stream, "live\n");
            stream.send(&json!({"msgtype": "signal", "signal": "kill"}));
            stream.next_of("exitstatus");
        }
        "prompt" => {
            read_both(&mut stream, "name? ");
            stream.send(&json!({"msgtype": "input", "data": "Ada\n"}));
            read_both(&mut stream, "hello Ada");
            assert_eq!(stream.next_of("exitstatus")["exitstatus"], 0);
        }
        other => panic!("there is no check {other}"),
    }
    "ok".to_owned()
}

/// Reads standard output and standard error, as a terminal would show them, until `text` has come.
fn read_both(stream: &mut Stream, text: &str) {
    let mut all = String::new();
    while !all.contains(text) {
        let message = stream.next().unwrap_or_else(|| panic!("closed before {text:?}; there was {all:?}"));
        assert_ne!(message["msgtype"], "exitstatus", "ended before {text:?}; there was {all:?}");
        all += message["data"].as_str().unwrap_or_default();
    }
}

/// Whether a line of an error's text names the file and the number of the line: it is the first
/// number after the file's name, or stands before it as in Pascal's "line 3 of main.pas".
fn names_line(text: &str, file: &str, number: usize) -> bool {
    let number = number.to_string();
    let is_first_number = |rest: &str| {
        let mut numbers = rest.split(|letter: char| !letter.is_ascii_digit());
        numbers.find(|found| !found.is_empty()) == Some(&*number)
    };
    text.lines().any(|line| {
        let mut names = line.match_indices(file);
        line.contains(&format!("line {number} of {file}"))
            || names.any(|(at, name)| is_first_number(&line[at + name.len()..]))
    })
}

/// Runs `job` for each language that is installed, several at a time, and returns what it has
/// returned for each, in order; `None` for those that are not here. For root, as whom the tests run
/// in CI, only large ones may be missing; for others all except [`ALWAYS`].
fn for_each_language<T: Send>(
    server: &Server,
    job: impl Fn(&Language, &Value) -> T + Sync,
) -> Vec<(&'static Language, Option<T>)> {
    let runtimes = server.get("/runtimes").json();
    let next = AtomicUsize::new(0);
    let results = Mutex::new(vec![]);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((index, language)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    LANGUAGES.get(index).map(|language| (index, language))
                } {
                    let known = runtimes.as_array().expect("a list").iter();
                    let runtime =
                        known.clone().find(|known| known["name"] == language.runtime).expect("a runtime");
                    let is_here = runtime["available"] == true;
                    let name = &language.runtime;
                    let may_be_missing = LARGE.contains(name) || !is_root() && !ALWAYS.contains(name);
                    assert!(is_here || may_be_missing, "{runtime}");
                    let result = is_here.then(|| job(language, runtime));
                    results.lock().expect("no holder panics").push((index, language, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no holder panics");
    results.sort_by_key(|(index, ..)| *index);
    results.into_iter().map(|(_, language, result)| (language, result)).collect()
}

/// Runs one cell of a table; returns what it shows, or what is wrong.
fn cell(run: impl FnOnce() -> String) -> Result<String, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// A row of a table; without cells if the language is not here.
type Row = (&'static Language, Option<Vec<Result<String, String>>>);

/// Prints a table with a row for each language, although the test succeeds, and fails if a cell
/// does.
fn print_table(columns: &[&str], rows: &[Row]) {
    let mut table = format!("\n| {:17} |", "language");
    columns.iter().for_each(|column| table += &format!(" {column:8} |"));
    let mut errors = vec![];
    for (language, cells) in rows {
        table += &format!("\n| {:17} |", language.runtime);
        let Some(cells) = cells else {
            table += " not here |";
            continue;
        };
        for (cell, column) in cells.iter().zip(columns) {
            table += &format!(" {:8} |", cell.as_deref().unwrap_or("FAILED"));
            if let Err(error) = cell {
                errors.push(format!("{}, {column}: {error}", language.runtime));
            }
        }
    }
    // The test harness captures only what macros print.
    let _ = std::io::stdout().write_all(format!("{table}\n\n").as_bytes());
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn every_language_does_what_a_program_needs() {
    let server = Server::start();
    let rows = for_each_language(&server, |language, runtime| {
        let file = language.named.or(language.file).or(runtime["file"].as_str()).expect("a name").to_owned();
        let run = |check: &&str| match language.lacks.contains(check) {
            true => Ok("-".to_owned()),
            false => cell(|| run_check(&server, language, &file, check)),
        };
        CHECKS.iter().map(run).collect::<Vec<_>>()
    });
    print_table(&CHECKS, &rows);
}

#[test]
fn the_same_programs_have_the_same_output_in_every_language() {
    let server = Server::start();
    let rows = for_each_language(&server, |language, _| {
        SAME.map(|(name, stdin, stdout)| {
            cell(|| {
                let (mut request, _) = language.request(name);
                request["stdin"] = stdin.into();
                let run = server.run(&request);
                assert_eq!((&*run.stdout, run.exitstatus), (stdout, 0), "{run:?}");
                "ok".to_owned()
            })
        })
        .to_vec()
    });
    print_table(&SAME.map(|(name, ..)| name), &rows);
}

#[test]
fn the_heap_of_a_virtual_machine_is_within_the_sessions_memory() {
    let server = Server::start();
    // Each block is a quarter of a MiB: an object of half a region of G1 would take whole regions.
    let code = "import java.util.ArrayList;\n\nclass Filler {\n    public static void main(String[] arguments) {\n\
                var blocks = new ArrayList<byte[]>();\n        try {\n            while (true) blocks.add(new byte[1 << 18]);\n\
                } catch (OutOfMemoryError full) {\n            var count = blocks.size();\n            blocks.clear();\n\
                System.out.println(count > 400 && count < 1200 ? \"full\" : \"full after \" + count);\n        }\n    }\n}\n";
    let limits = json!({"memory_bytes": 300 << 20});
    let run = server.run(&json!({"runtime": "java", "code": code, "limits": limits}));
    assert_eq!((&*run.stdout, run.exitstatus), ("full\n", 0), "{run:?}");
}
