//! The table of outcomes: a line for each row, and a column for each way to run the server.

use std::{collections::BTreeSet, fs, process::ExitCode};

use crate::{
    attack::label,
    rows::attacks,
    runner::{Results, by_row},
};

/// Writes the results of one column to a file.
pub fn write(results: &Results, file: &str) {
    fs::write(file, serde_json::to_string(results).expect("plain data")).expect("a file that can be written");
}

/// Reads the results of one column from a file.
pub fn read(file: &str) -> Results {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Prints the table. The exit code is a failure if a row fails or was not run.
pub fn print(columns: &[Results]) -> ExitCode {
    let all = attacks();
    let rows: BTreeSet<u16> = (1..=57).chain(all.iter().map(|attack| attack.row)).collect();
    let columns: Vec<_> = columns.iter().map(|results| (results, by_row(results))).collect();
    print!("\n{:>4}  {:<58}", "row", "attack");
    for (results, _) in &columns {
        print!("  {:<16}", results.column);
    }
    println!();
    let mut bad = vec![];
    for row in &rows {
        let what: Vec<_> = all.iter().filter(|attack| attack.row == *row).map(|attack| attack.what).collect();
        let what = what.join("; ");
        let short: String = what.chars().take(58).collect();
        print!("{:>4}  {short:<58}", label(*row));
        for (results, found) in &columns {
            let word = found.get(row).map_or("MISSING", |(word, _)| word);
            print!("  {word:<16}");
            if word == "FAILS" || word == "MISSING" {
                bad.push(format!("{} {}: {word}", results.column, label(*row)));
            }
        }
        println!();
    }
    println!();
    for (results, found) in &columns {
        for (row, (word, detail)) in found {
            if !detail.is_empty() {
                println!("{:<12} {:>4}  {word}: {detail}", results.column, label(*row));
            }
        }
        println!("{:<12} {} rows in {} s", results.column, found.len(), results.seconds);
    }
    if bad.is_empty() {
        println!("\nall {} rows hold, none was skipped", rows.len());
        return ExitCode::SUCCESS;
    }
    println!("\n{} rows do not hold:\n{}", bad.len(), bad.join("\n"));
    ExitCode::FAILURE
}
