//! The measured rows. Rows that are measured together form a group, with a file of its own.

pub mod compiled;
mod crowd;
pub mod echo;
pub mod errors;
pub mod layouts;
mod memory;
pub mod rate;
pub mod start;
pub mod stream;

use anyhow::{Context as _, Result};

use crate::{options::BenchOptions, table::Row};

/// The names of a group's rows, and the function that measures them.
struct Group {
    names: &'static [&'static str],
    measure: fn(&BenchOptions) -> Result<Vec<Row>>,
}

const GROUPS: [Group; 10] = [
    Group { names: &start::NAMES, measure: start::measure },
    Group { names: &rate::NAMES, measure: rate::measure },
    Group { names: &compiled::NAMES, measure: compiled::measure },
    Group { names: &layouts::NAMES, measure: layouts::measure },
    Group { names: &stream::NAMES, measure: stream::measure },
    Group { names: &echo::NAMES, measure: echo::measure },
    Group { names: &errors::NAMES, measure: errors::measure },
    Group { names: &memory::NAMES, measure: memory::measure },
    Group { names: &crowd::MANY_NAMES, measure: crowd::measure_many },
    Group { names: &crowd::WATCHED_NAMES, measure: crowd::measure_watched },
];

/// The names of all rows.
pub fn names() -> Vec<&'static str> {
    GROUPS.iter().flat_map(|group| group.names.iter().copied()).collect()
}

/// Measures the selected rows.
pub fn measure(options: &BenchOptions) -> Result<Vec<Row>> {
    let mut rows = vec![];
    for Group { names, measure } in GROUPS {
        if names.iter().any(|name| options.selects(name)) {
            eprintln!("measuring {}", names.join(", "));
            let measured = measure(options).with_context(|| format!("measure {}", names.join(", ")))?;
            rows.extend(measured.into_iter().filter(|row| options.selects(row.name)));
        }
    }
    Ok(rows)
}
