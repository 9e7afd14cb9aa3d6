//! The attack suite: one small program, or fault, for each row of the table of known attacks, run against the real
//! binary, and some beyond it.
//!
//! ```text
//! attacks                              all rows, and a table
//! attacks run COLUMN FILE [ROW…]       all rows or some, into a file
//! attacks table FILE…                  the table of such files, a column each; fails where a row fails or is missing
//! attacks self-check                   takes out one isolation step at a time: the rows that rest on it must fail
//! ```
//!
//! A row is made of [`Attack`]s. A program prints what should not have happened, and at its end `held`; what it must see is
//! written in it. A check looks from outside. Rows without a subject say why.

#[path = "../common/mod.rs"]
#[allow(dead_code)] // the other black-box tests use the rest
mod common;

mod beyond;
mod crash;
mod files;
mod http;
mod kernel;
mod machine;
mod network;
mod resources;
mod self_check;
mod suite;
mod table;

use std::process::ExitCode;

use suite::Column;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &*words {
        [] => {
            let results = suite::run(&Column::here(), &[]);
            table::print(&[results])
        }
        ["run", column, file, rows @ ..] => {
            let results = suite::run(&Column::named(column), rows);
            table::write(&results, file);
            ExitCode::SUCCESS
        }
        ["table", files @ ..] => {
            table::print(&files.iter().map(|file| table::read(file)).collect::<Vec<_>>())
        }
        ["self-check"] => self_check::run(),
        _ => {
            eprintln!("attacks: what is {words:?}? See the top of tests/attacks/main.rs.");
            ExitCode::from(2)
        }
    }
}
