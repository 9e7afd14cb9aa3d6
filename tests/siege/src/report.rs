//! The table of the rows.

use std::fmt::Write as _;

use crate::{
    neighbour::Operation,
    siege::{BUDGET_BYTES, RowResult, all},
};

/// The width of each column but the last.
const WIDTHS: [usize; 8] = [20, 13, 13, 13, 13, 7, 12, 7];

/// The head of the table.
pub fn head() -> String {
    let names = ["row", "create", "list", "first output", "echo", "losses", "memory, MiB", "back, s"];
    line(&names.map(str::to_owned), "within its bounds")
}

/// One line of the table: p50 and p99 with the attack, as multiples of those without; losses; the
/// server's largest memory and its budget; how soon all was as before.
pub fn row(result: &RowResult, broken: &[String]) -> String {
    let ratio = |operation| {
        if result.with.is_empty() {
            return "-".to_owned();
        }
        format!("{:.2} / {:.2}", result.ratio(operation, 0.5), result.ratio(operation, 0.99))
    };
    let [create, list, first_output, echo] = Operation::ALL.map(ratio);
    let losses: u64 = result.losses.values().sum();
    let memory = format!("{} / {}", result.peak_bytes >> 20, BUDGET_BYTES >> 20);
    let recovery = result.recovery.map_or("no".to_owned(), |took| format!("{:.1}", took.as_secs_f64()));
    let cells =
        [result.name.to_owned(), create, list, first_output, echo, losses.to_string(), memory, recovery];
    line(&cells, if broken.is_empty() { "yes" } else { "NO" })
}

/// The details behind a line: the times without the attack, what the attackers did, what is
/// broken.
pub fn details(result: &RowResult, broken: &[String]) -> String {
    let mut text = format!("{}: {}\n", result.name, result.what);
    let times = |phases: &[crate::neighbour::Figures], operation| {
        let samples = all(phases, operation);
        let of = |quantile| samples.percentile(quantile);
        format!("{:.2} / {:.2} ms ({})", of(0.5), of(0.99), samples.count())
    };
    for operation in Operation::ALL {
        let (without, with) = (times(&result.without, operation), times(&result.with, operation));
        let _ = writeln!(text, "  {:<13} without {without}, with {with}", operation.name());
    }
    let done: Vec<String> = result.done.iter().map(|(what, count)| format!("{count} {what}")).collect();
    let _ = writeln!(text, "  the attackers: {}", done.join(", "));
    for bound in broken {
        let _ = writeln!(text, "  BROKEN: {bound}");
    }
    text
}

fn line(cells: &[String; 8], verdict: &str) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(WIDTHS) {
        let _ = write!(text, "{cell:<width$} ");
    }
    text + verdict
}
