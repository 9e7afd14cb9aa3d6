//! Runs attacks and collects their outcomes.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::Instant,
};

use serde_json::json;

use crate::{
    attack::{Attack, Method, Verdict, label},
    common,
    fixture::{Column, Fixture, assert_held},
    machine::Hash,
    rows,
};

/// How many attacks run at once.
const THREADS: usize = 3;

/// The outcome of one attack in one column.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    pub row: u16,
    pub what: String,
    /// The verdict in the table: `holds`, `holds (degraded)` or `FAILS`.
    pub word: String,
    /// A measured value, a reason, or the message of the panic. May be empty.
    pub detail: String,
}

/// The outcomes of one column.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Results {
    pub column: String,
    pub seconds: u64,
    pub outcomes: Vec<Outcome>,
}

thread_local! {
    /// The message of this thread's last panic.
    static PANIC_MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs the attacks of the rows with these labels, or all attacks if there are none.
pub fn run(column: &Column, labels: &[&str]) -> Results {
    std::panic::set_hook(Box::new(|info| {
        PANIC_MESSAGE.with_borrow_mut(|message| *message = info.to_string().replace('\n', " "));
    }));
    let began = Instant::now();
    let selected: Vec<Attack> = rows::attacks()
        .into_iter()
        .filter(|attack| labels.is_empty() || labels.contains(&&*label(attack.row)))
        .collect();
    let binary = Hash::of(&common::binary());
    let fixture = Arc::new(Fixture::new(column.clone()));
    let (alone, parallel): (Vec<_>, Vec<_>) =
        selected.into_iter().partition(|attack| matches!(attack.method, Method::CheckAlone(_)));
    let outcomes = Arc::new(Mutex::new(vec![]));
    let queue = Arc::new(Mutex::new(parallel));
    let workers: Vec<_> = (0..THREADS)
        .map(|_| {
            let (fixture, queue, outcomes) = (fixture.clone(), queue.clone(), outcomes.clone());
            std::thread::spawn(move || {
                loop {
                    // The last rows run first: some of them wait for timeouts of the server.
                    let Some(attack) = queue.lock().expect("no holder panics").pop() else { return };
                    let outcome = outcome_of(&fixture, &attack);
                    outcomes.lock().expect("no holder panics").push(outcome);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("panics of attacks are caught");
    }
    let mut outcomes = std::mem::take(&mut *outcomes.lock().expect("no holder panics"));
    outcomes.extend(alone.iter().map(|attack| outcome_of(&fixture, attack)));
    if binary != Hash::of(&common::binary()) {
        let detail = "the server's binary was changed".to_owned();
        outcomes.push(Outcome { row: 10, what: "the host's binary".into(), word: "FAILS".into(), detail });
    }
    outcomes.sort_by_key(|outcome| outcome.row);
    Results { column: column.name.clone(), seconds: began.elapsed().as_secs(), outcomes }
}

/// Makes an attack, prints a line about it, and returns its outcome.
fn outcome_of(fixture: &Fixture, attack: &Attack) -> Outcome {
    let began = Instant::now();
    let verdict = catch_unwind(AssertUnwindSafe(|| make(fixture, attack)));
    let (word, detail) = match verdict {
        Ok(Verdict::Holds) => ("holds", String::new()),
        Ok(Verdict::HoldsWith(detail)) => ("holds", detail),
        Ok(Verdict::Degraded) => ("holds (degraded)", String::new()),
        Err(_) => ("FAILS", PANIC_MESSAGE.take()),
    };
    let row = label(attack.row);
    eprintln!("{:>4} {word:<16} {:>6.1} s  {}  {detail}", row, began.elapsed().as_secs_f32(), attack.what);
    Outcome { row: attack.row, what: attack.what.to_owned(), word: word.to_owned(), detail }
}

/// Makes an attack. Panics if the attack succeeds.
fn make(fixture: &Fixture, attack: &Attack) -> Verdict {
    let run_program = |runtime, code| {
        assert_held(&fixture.run(runtime, code, json!({})).0);
        Verdict::Holds
    };
    match attack.method {
        Method::Python(code) => run_program("python", code),
        Method::Program(runtime, code) => run_program(runtime, code),
        Method::Check(check) | Method::CheckAlone(check) => check(fixture),
    }
}

/// For each row, the worst word of its attacks and their details.
pub fn by_row(results: &Results) -> BTreeMap<u16, (String, String)> {
    let words = ["holds", "holds (degraded)", "FAILS"]; // from best to worst
    let rank = |word: &str| words.iter().position(|known| *known == word);
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
