//! Rows, and how they are run.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    common::{Run, Server, id, is_root},
    machine::Hash,
    *,
};

/// Rows beyond the table have numbers from here on.
pub const BEYOND: u16 = 100;
/// Rows that run side by side.
const THREADS: usize = 3;

/// One attack of a row.
pub struct Attack {
    pub row: u16,
    pub what: &'static str,
    pub way: Way,
}

/// A line of the lists of attacks.
pub fn attack(row: u16, what: &'static str, way: Way) -> Attack {
    Attack { row, what, way }
}

/// How an attack is made.
pub enum Way {
    /// A Python program that prints `held`, and what else it prints did not hold.
    Python(&'static str),
    /// A program in another language, likewise.
    Program(&'static str, &'static str),
    /// Looked at from outside.
    Check(fn(&Place) -> Verdict),
    /// The same, when nothing else runs.
    Alone(fn(&Place) -> Verdict),
    /// Nothing to attack, and why.
    NoSubject(&'static str),
}

/// How an attack ended, unless it panicked.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Holds,
    /// With a number worth telling.
    HoldsWith(String),
    /// As well as can be without a cgroup.
    Degraded,
    NoSubject(&'static str),
}

/// What became of one row in one column.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    pub row: u16,
    pub what: String,
    pub word: String,
    pub detail: String,
}

/// The rows of one column.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Results {
    pub column: String,
    pub seconds: u64,
    pub outcomes: Vec<Outcome>,
}

/// Who runs the server, and on which kind of cgroups.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub is_root: bool,
    pub is_v2: bool,
}

impl Column {
    /// As it is here.
    pub fn here() -> Self {
        let is_v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let name =
            format!("{}/{}", if is_root() { "root" } else { "rootless" }, if is_v2 { "v2" } else { "v1" });
        Self { name, is_root: is_root(), is_v2 }
    }

    /// As it is here, which must be what the name says.
    pub fn named(name: &str) -> Self {
        let here = Self::here();
        assert_eq!(here.name, name, "this column cannot be run here");
        here
    }

    /// Whether limits are to be enforced for a session as a whole. An ordinary user has no cgroup on v1.
    pub fn has_cgroups(&self) -> bool {
        self.is_root || self.is_v2
    }
}

/// Where attacks are made: one server for all that do not need their own.
pub struct Place {
    pub server: Server,
    pub column: Column,
}

impl Place {
    fn new(column: Column) -> Self {
        // An emulated machine needs more of its CPU for the same program.
        let arguments: &[&str] = if scale() > 1 { &["--cpu-ms", "60000"] } else { &[] };
        Self { server: Server::start_with(arguments), column }
    }

    /// Holds in full where there are cgroups. Elsewhere the session must say that it is degraded.
    pub fn bounded(&self, session: &Value) -> Verdict {
        let degraded = session["degraded"].as_array().map_or(0, Vec::len);
        if self.column.has_cgroups() {
            assert_eq!(degraded, 0, "degraded, though there are cgroups: {session}");
            Verdict::Holds
        } else {
            assert!(degraded > 0, "degraded, and the session does not say so: {session}");
            Verdict::Degraded
        }
    }

    /// Runs a program of the suite's with these fields, and returns what it did and its session's document.
    pub fn run(&self, runtime: &str, code: &str, fields: Value) -> (Run, Value) {
        let session = self.start(runtime, code, fields);
        let run = Run::collect(self.server.stream(&id(&session), ""));
        (run, self.server.get(&format!("/sessions/{}", id(&session))).json())
    }

    /// Starts one.
    pub fn start(&self, runtime: &str, code: &str, fields: Value) -> Value {
        self.server.create(&request(runtime, code, fields))
    }
}

/// The request for a program of the suite's; those in Python get what they share.
pub fn request(runtime: &str, code: &str, fields: Value) -> Value {
    let mut request = json!({"runtime": runtime, "code": code});
    if runtime == "python" {
        request["files"] = json!([{"filename": "attack.py", "contents": include_str!("programs/attack.py")}]);
    }
    request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    request
}

/// How much slower this machine is than those the bounds were chosen for.
pub fn scale() -> u32 {
    std::env::var("LIVECODE_TEST_TIME_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// So many milliseconds, on a machine that emulates correspondingly more.
pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds) * scale()
}

/// Asserts that a program did nothing but hold.
pub fn assert_held(run: &Run) {
    assert!(run.stdout == "held\n" && run.stderr.is_empty() && run.exitstatus == 0, "{run:?}");
}

/// All attacks, in the order of their rows.
pub fn attacks() -> Vec<Attack> {
    let mut all: Vec<Attack> = [
        files::attacks(),
        network::attacks(),
        kernel::attacks(),
        resources::attacks(),
        http::attacks(),
        crash::attacks(),
        beyond::attacks(),
    ]
    .into_iter()
    .flatten()
    .collect();
    all.sort_by_key(|attack| attack.row);
    all
}

thread_local! {
    static COMPLAINT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs the rows with these numbers, or all.
pub fn run(column: &Column, rows: &[&str]) -> Results {
    std::panic::set_hook(Box::new(|info| {
        COMPLAINT.with_borrow_mut(|complaint| *complaint = info.to_string().replace('\n', " "));
    }));
    let began = Instant::now();
    let chosen: Vec<Attack> = attacks()
        .into_iter()
        .filter(|attack| rows.is_empty() || rows.contains(&&*label(attack.row)))
        .collect();
    let binary = Hash::of(&common::binary());
    let place = Arc::new(Place::new(column.clone()));
    let (alone, together): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|attack| matches!(attack.way, Way::Alone(_)));
    let outcomes = Arc::new(Mutex::new(vec![]));
    let queue = Arc::new(Mutex::new(together));
    let workers: Vec<_> = (0..THREADS)
        .map(|_| {
            let (place, queue, outcomes) = (place.clone(), queue.clone(), outcomes.clone());
            std::thread::spawn(move || {
                loop {
                    // The last rows first: those that wait for the server's patience are among them.
                    let Some(attack) = queue.lock().expect("no holder panics").pop() else { return };
                    let outcome = outcome(&place, &attack);
                    outcomes.lock().expect("no holder panics").push(outcome);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("panics of rows are caught");
    }
    let mut outcomes = std::mem::take(&mut *outcomes.lock().expect("no holder panics"));
    outcomes.extend(alone.iter().map(|attack| outcome(&place, attack)));
    if binary != Hash::of(&common::binary()) {
        let detail = "the server's binary was changed".to_owned();
        outcomes.push(Outcome { row: 10, what: "the host's binary".into(), word: "FAILS".into(), detail });
    }
    outcomes.sort_by_key(|outcome| outcome.row);
    Results { column: column.name.clone(), seconds: began.elapsed().as_secs(), outcomes }
}

/// A row's number, or that of one beyond the table.
pub fn label(row: u16) -> String {
    if row > BEYOND { format!("+{}", row - BEYOND) } else { row.to_string() }
}

fn outcome(place: &Place, attack: &Attack) -> Outcome {
    let began = Instant::now();
    let verdict = catch_unwind(AssertUnwindSafe(|| make(place, attack)));
    let (word, detail) = match verdict {
        Ok(Verdict::Holds) => ("holds", String::new()),
        Ok(Verdict::HoldsWith(detail)) => ("holds", detail),
        Ok(Verdict::Degraded) => ("holds (degraded)", String::new()),
        Ok(Verdict::NoSubject(why)) => ("no subject", why.to_owned()),
        Err(_) => ("FAILS", COMPLAINT.take()),
    };
    let row = label(attack.row);
    eprintln!("{:>4} {word:<16} {:>6.1} s  {}  {detail}", row, began.elapsed().as_secs_f32(), attack.what);
    Outcome { row: attack.row, what: attack.what.to_owned(), word: word.to_owned(), detail }
}

fn make(place: &Place, attack: &Attack) -> Verdict {
    let program = |runtime, code| {
        assert_held(&place.run(runtime, code, json!({})).0);
        Verdict::Holds
    };
    match attack.way {
        Way::Python(code) => program("python", code),
        Way::Program(runtime, code) => program(runtime, code),
        Way::Check(check) | Way::Alone(check) => check(place),
        Way::NoSubject(why) => Verdict::NoSubject(why),
    }
}

/// The worst of several attacks of one row, and what is to be said of it.
pub fn by_row(results: &Results) -> BTreeMap<u16, (String, String)> {
    let rank =
        |word: &str| ["holds", "no subject", "holds (degraded)", "FAILS"].iter().position(|w| *w == word);
    let mut rows: BTreeMap<u16, (String, String)> = BTreeMap::new();
    for outcome in &results.outcomes {
        let entry = rows.entry(outcome.row).or_insert_with(|| ("holds".into(), String::new()));
        if rank(&outcome.word) > rank(&entry.0) {
            entry.0.clone_from(&outcome.word);
        }
        if !outcome.detail.is_empty() {
            let detail = match &*outcome.word {
                "FAILS" => format!("{}: {}", outcome.what, outcome.detail),
                _ => outcome.detail.clone(),
            };
            entry.1 = if entry.1.is_empty() { detail } else { format!("{}; {detail}", entry.1) };
        }
    }
    rows
}
