//! What is measured. Each group measures together the rows that belong together.

pub mod compiled;
mod crowd;
pub mod echo;
mod memory;
pub mod rate;
pub mod start;
pub mod stream;

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::table::Row;

/// A line of 80 bytes.
pub const LINE: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg\n";

/// A group of rows, by their names, and what measures them.
struct Group {
    names: &'static [&'static str],
    measure: fn(&Bench) -> Result<Vec<Row>>,
}

const GROUPS: [Group; 8] = [
    Group { names: &start::NAMES, measure: start::measure },
    Group { names: &rate::NAMES, measure: rate::measure },
    Group { names: &compiled::NAMES, measure: compiled::measure },
    Group { names: &stream::NAMES, measure: stream::measure },
    Group { names: &echo::NAMES, measure: echo::measure },
    Group { names: &memory::NAMES, measure: memory::measure },
    Group { names: &crowd::MANY_NAMES, measure: crowd::measure_many },
    Group { names: &crowd::WATCHED_NAMES, measure: crowd::measure_watched },
];

/// What is asked for.
pub struct Bench {
    pub binary: PathBuf,
    quick: bool,
    only: Vec<String>,
}

impl Bench {
    pub fn new(binary: PathBuf, quick: bool, only: Vec<String>) -> Self {
        Self { binary, quick, only }
    }

    /// A count, or the small one.
    pub fn count(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// Whether a row is asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only.as_str()))
    }
}

/// Names of all rows.
pub fn names() -> Vec<&'static str> {
    GROUPS.iter().flat_map(|group| group.names.iter().copied()).collect()
}

/// Whether this names rows.
pub fn is_known(only: &str) -> bool {
    names().iter().any(|name| name.starts_with(only))
}

/// Measures what is asked for.
pub fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = vec![];
    for Group { names, measure } in GROUPS {
        if names.iter().any(|name| bench.wants(name)) {
            eprintln!("measuring {}", names.join(", "));
            let measured = measure(bench).with_context(|| format!("measuring {}", names.join(", ")))?;
            rows.extend(measured.into_iter().filter(|row| bench.wants(row.name)));
        }
    }
    Ok(rows)
}
