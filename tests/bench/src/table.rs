//! Rows, and the table they make.

use std::fmt::Write as _;

use crate::stats::{median, spread};

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Milliseconds,
    PerSecond,
    MegabytesPerSecond,
    Mebibytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        let name = match self {
            Self::Milliseconds => "ms",
            Self::PerSecond => "/s",
            Self::MegabytesPerSecond => "MB/s",
            Self::Mebibytes => "MiB",
        };
        match value.abs() {
            ..10.0 => format!("{value:.2} {name}"),
            10.0..100.0 => format!("{value:.1} {name}"),
            _ => format!("{value:.0} {name}"),
        }
    }
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Ours over the reference's is at most this.
    AtMostTimes(f64),
    /// Ours over the reference's is at least this.
    AtLeastTimes(f64),
    /// The reference's over ours is at least this.
    SoonerTimes(f64),
    /// Ours is at most the reference's and this much.
    AtMostOver(f64),
    /// Ours is at most this.
    AtMost(f64),
    /// Nothing: the figure is there to compare with.
    None,
}

/// One line of the table.
pub struct Row {
    pub name: &'static str,
    pub what: String,
    pub unit: Unit,
    /// One figure a round.
    pub ours: Vec<f64>,
    /// The same of the reference; empty where the row has none.
    pub reference: Vec<f64>,
    pub reference_name: String,
    pub target: Target,
    /// What else must be known to read the row.
    pub note: String,
}

impl Row {
    fn ratio(&self) -> f64 {
        median(&self.ours) / median(&self.reference)
    }

    /// Whether the target is reached; `None` where there is none, or nothing to compare with.
    pub fn is_met(&self) -> Option<bool> {
        let (ours, ratio) = (median(&self.ours), self.ratio());
        let over = ours - median(&self.reference);
        let met = match self.target {
            Target::None => return None,
            Target::AtMost(most) => ours <= most,
            _ if self.ours.is_empty() || self.reference.is_empty() => return None,
            Target::AtMostTimes(most) => ratio <= most,
            Target::AtLeastTimes(least) => ratio >= least,
            Target::SoonerTimes(least) => 1.0 / ratio >= least,
            Target::AtMostOver(most) => over <= most,
        };
        (!self.ours.is_empty()).then_some(met)
    }

    fn cells(&self) -> [String; 8] {
        let show = |rounds: &[f64]| {
            if rounds.is_empty() { "-".to_owned() } else { self.unit.show(median(rounds)) }
        };
        let reference = match &*self.reference_name {
            "" => "-".to_owned(),
            name if self.reference.is_empty() => name.to_owned(),
            name => format!("{} ({name})", show(&self.reference)),
        };
        let ratio = match self.target {
            _ if self.ours.is_empty() || self.reference.is_empty() => "-".to_owned(),
            Target::SoonerTimes(_) => format!("1/{:.2}", 1.0 / self.ratio()),
            Target::AtMostOver(_) => {
                format!("+{}", self.unit.show(median(&self.ours) - median(&self.reference)))
            }
            _ => format!("{:.2}", self.ratio()),
        };
        let target = match self.target {
            Target::AtMostTimes(most) => format!("≤ {most}x"),
            Target::AtLeastTimes(least) => format!("≥ {least}x"),
            Target::SoonerTimes(least) => format!("≤ 1/{least}"),
            Target::AtMostOver(most) => format!("≤ +{}", self.unit.show(most)),
            Target::AtMost(most) => format!("≤ {}", self.unit.show(most)),
            Target::None => "-".to_owned(),
        };
        let met = match self.is_met() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        let noise = |rounds: &[f64]| match rounds.len() {
            0 | 1 => "-".to_owned(),
            _ => format!("{:.0}%", spread(rounds) * 100.0),
        };
        let noise = format!("{} / {}", noise(&self.ours), noise(&self.reference));
        let what =
            if self.note.is_empty() { self.what.clone() } else { format!("{} ({})", self.what, self.note) };
        [self.name.into(), what, show(&self.ours), reference, ratio, target, met.into(), noise]
    }
}

const HEAD: [&str; 8] = ["row", "what", "ours", "reference", "ratio", "target", "met", "noise"];

/// All rows, in columns that line up.
pub fn table(rows: &[Row]) -> String {
    let lines: Vec<[String; 8]> =
        [HEAD.map(str::to_owned)].into_iter().chain(rows.iter().map(Row::cells)).collect();
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text += "|\n";
        if index == 0 {
            text += &"| --- ".repeat(HEAD.len());
            text += "|\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_or_not() {
        let row = |target, ours: &[f64], reference: &[f64]| Row {
            name: "row",
            what: "what".into(),
            unit: Unit::Milliseconds,
            ours: ours.to_vec(),
            reference: reference.to_vec(),
            reference_name: "bare".into(),
            target,
            note: String::new(),
        };
        let cases = [
            (Target::AtMostTimes(0.5), 4.9, 10.0, true),
            (Target::AtMostTimes(0.5), 5.1, 10.0, false),
            (Target::AtLeastTimes(2.0), 21.0, 10.0, true),
            (Target::AtLeastTimes(2.0), 19.0, 10.0, false),
            (Target::SoonerTimes(5.0), 1.9, 10.0, true),
            (Target::SoonerTimes(5.0), 2.1, 10.0, false),
            (Target::AtMostOver(0.3), 10.2, 10.0, true),
            (Target::AtMostOver(0.3), 10.4, 10.0, false),
            (Target::AtMost(50.0), 49.0, 0.0, true),
            (Target::AtMost(50.0), 51.0, 0.0, false),
        ];
        for (target, ours, reference, met) in cases {
            assert_eq!(row(target, &[ours], &[reference]).is_met(), Some(met), "{target:?} {ours}");
        }
        assert_eq!(row(Target::AtMostTimes(1.0), &[1.0], &[]).is_met(), None);
        assert_eq!(row(Target::AtMost(1.0), &[], &[]).is_met(), None);
        let text = table(&[row(Target::AtMostTimes(0.5), &[4.0, 5.0, 6.0], &[10.0, 11.0, 12.0])]);
        assert!(
            text.contains("| 5.00 ms |") && text.contains("| 0.45 ") && text.contains("40% / 18%"),
            "{text}"
        );
    }
}
