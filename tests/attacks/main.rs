//! The attack suite: a small program or a fault for each row of the table of known attacks, and
//! for some additional rows, run against the real binary.
//!
//! ```text
//! attacks                           runs all rows and prints the table
//! attacks run COLUMN FILE [ROW…]    runs all or some rows and writes their outcomes to a file
//! attacks table FILE…               prints the table; fails if a row is bad or missing
//! attacks self-check                removes one isolation step at a time; its rows must then fail
//! ```
//!
//! Rows 1 to 57 are those of the table of known attacks. A new attack is added to the row of its
//! subject, or becomes an additional row (`ADDITIONAL + n`). Programs are in `programs/`: `rNN_…`
//! for row NN, `x_…` for an additional row. A row has one or more [`attack::Attack`]s. A program
//! prints each thing that should not have happened, and `held` at its end. A check looks from
//! outside. Rows that do not apply say why.
//!
//! | module | content |
//! | --- | --- |
//! | `attack` | one attack, and how it can end |
//! | `fixture` | the server that is attacked, and what the attacks share |
//! | `files`, `network`, `kernel`, `resources` | attacks by programs, by subject |
//! | `user_limits` | attacks on what sessions of one user share |
//! | `http`, `crash`, `additional` | attacks on the server, crashes, additional attacks |
//! | `rows` | the list of all attacks |
//! | `runner` | runs attacks and collects their outcomes |
//! | `table` | the table of the outcomes |
//! | `self_check` | shows that the suite can fail |
//! | `machine` | processes, files and memory, as seen from outside |

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports)] // the other black-box tests use all of it
mod common;

mod additional;
mod attack;
mod crash;
mod files;
mod fixture;
mod http;
mod kernel;
mod machine;
mod network;
mod resources;
mod rows;
mod runner;
mod self_check;
mod table;
mod user_limits;

use std::process::ExitCode;

use fixture::Column;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &*words {
        [] => {
            let results = runner::run(&Column::here(), &[]);
            table::print(&[results])
        }
        ["run", column, file, rows @ ..] => {
            let results = runner::run(&Column::named(column), rows);
            table::write(&results, file);
            ExitCode::SUCCESS
        }
        ["table", files @ ..] => {
            table::print(&files.iter().map(|file| table::read(file)).collect::<Vec<_>>())
        }
        ["self-check"] => self_check::run(),
        _ => {
            eprintln!("attacks: unknown arguments {words:?}; see the top of tests/attacks/main.rs");
            ExitCode::from(2)
        }
    }
}
