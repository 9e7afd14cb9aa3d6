//! Compares the binary under test with another binary. The rounds of both alternate within one
//! run, so that a difference of a few per cent can be told from the noise.

mod contender;
mod figures;

use std::path::Path;

use anyhow::{Context as _, Result};

use self::{
    contender::{Contender, GROUPS, Group},
    figures::{Figures, Side, report},
};
use crate::{options::BenchOptions, server::Callers};

/// The names of all rows that can be compared.
pub fn names() -> Vec<&'static str> {
    GROUPS.iter().flat_map(|group| group.rows).map(|(name, _)| *name).collect()
}

/// Measures the selected rows of both binaries in `rounds` rounds, and prints how they compare. The
/// binary under test serves `callers`.
pub fn compare(options: &BenchOptions, callers: Callers, other: &Path, rounds: usize) -> Result<()> {
    let ours = Contender::start(&options.binary, callers)?;
    let theirs = Contender::start(other, Callers::Local)?;
    let mut contenders = [(Side::Ours, ours), (Side::Theirs, theirs)];
    let mut compared = vec![];
    for group in GROUPS {
        let names: Vec<_> = group.rows.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        if group.rows.iter().any(|(name, _)| options.selects(name)) {
            eprintln!("comparing {names}");
            let rounds = if group.is_slow { rounds.div_ceil(2) } else { rounds };
            let figures = compare_group(options, &mut contenders, &group, rounds)
                .with_context(|| format!("compare {names}"))?;
            compared.extend(figures);
        }
    }
    print!("{}", report(&compared));
    Ok(())
}

/// Measures the rows of one group. Returns the figures of the selected rows.
fn compare_group(
    options: &BenchOptions,
    contenders: &mut [(Side, Contender); 2],
    group: &Group,
    rounds: usize,
) -> Result<Vec<Figures>> {
    let mut rows: Vec<_> = group.rows.iter().map(|(name, unit)| Figures::new(name, *unit)).collect();
    for _ in 0..rounds {
        for (side, contender) in &mut *contenders {
            let figures = (group.measure)(options, contender)?;
            rows.iter_mut().zip(figures).for_each(|(row, figure)| row.add(*side, figure));
        }
        // The next round starts with the other binary. A load that always came late in a round
        // would otherwise affect only one of them.
        contenders.reverse();
    }
    let is_selected = |(_, (name, _)): &(Figures, &(&str, _))| options.selects(name);
    Ok(rows.into_iter().zip(group.rows).filter(is_selected).map(|(row, _)| row).collect())
}
