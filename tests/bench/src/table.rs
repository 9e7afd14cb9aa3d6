//! The rows of the result, and their table in Markdown.

use std::fmt::Write as _;

use crate::stats::{median, spread};

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Milliseconds,
    PerSecond,
    MegabytesPerSecond,
    Mebibytes,
}

impl Unit {
    /// A figure with its unit. Larger figures have fewer decimals.
    pub fn show(self, value: f64) -> String {
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

/// The target of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Our figure divided by the reference's is at most this.
    RatioAtMost(f64),
    /// Our figure divided by the reference's is at least this.
    RatioAtLeast(f64),
    /// The reference's figure divided by ours is at least this.
    SpeedupAtLeast(f64),
    /// Our figure exceeds the reference's by at most this.
    DifferenceAtMost(f64),
    /// Our figure is at most this.
    AtMost(f64),
    /// The row has no target; its figure is there for comparison.
    None,
}

/// One row of the table.
pub struct Row {
    pub name: &'static str,
    /// What was measured, in words.
    pub what: String,
    pub unit: Unit,
    /// Our figure of each round.
    pub ours: Vec<f64>,
    /// The reference's figure of each round; empty if the row has no reference.
    pub reference: Vec<f64>,
    /// The reference's name, or the reason why there is none. May be empty.
    pub reference_name: String,
    pub target: Target,
    /// A remark that is needed to read the row. May be empty.
    pub note: String,
}

impl Row {
    /// Our median divided by the reference's.
    fn ratio(&self) -> f64 {
        median(&self.ours) / median(&self.reference)
    }

    /// Whether the target is met. `None` if the row has no target or nothing to compare with.
    pub fn is_met(&self) -> Option<bool> {
        let (ours, ratio) = (median(&self.ours), self.ratio());
        let difference = ours - median(&self.reference);
        let met = match self.target {
            Target::None => return None,
            Target::AtMost(most) => ours <= most,
            _ if self.ours.is_empty() || self.reference.is_empty() => return None,
            Target::RatioAtMost(most) => ratio <= most,
            Target::RatioAtLeast(least) => ratio >= least,
            Target::SpeedupAtLeast(least) => 1.0 / ratio >= least,
            Target::DifferenceAtMost(most) => difference <= most,
        };
        (!self.ours.is_empty()).then_some(met)
    }

    /// The row's cells, in the order of [`HEAD`].
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
            Target::SpeedupAtLeast(_) => format!("1/{:.2}", 1.0 / self.ratio()),
            Target::DifferenceAtMost(_) => {
                format!("+{}", self.unit.show(median(&self.ours) - median(&self.reference)))
            }
            _ => format!("{:.2}", self.ratio()),
        };
        let target = match self.target {
            Target::RatioAtMost(most) => format!("≤ {most}x"),
            Target::RatioAtLeast(least) => format!("≥ {least}x"),
            Target::SpeedupAtLeast(least) => format!("≤ 1/{least}"),
            Target::DifferenceAtMost(most) => format!("≤ +{}", self.unit.show(most)),
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

/// The names of the columns.
const HEAD: [&str; 8] = ["row", "what", "ours", "reference", "ratio", "target", "met", "noise"];

/// The table of all rows in Markdown, with aligned columns.
pub fn markdown(rows: &[Row]) -> String {
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
    fn each_target_is_met_or_missed() {
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
            (Target::RatioAtMost(0.5), 4.9, 10.0, true),
            (Target::RatioAtMost(0.5), 5.1, 10.0, false),
            (Target::RatioAtLeast(2.0), 21.0, 10.0, true),
            (Target::RatioAtLeast(2.0), 19.0, 10.0, false),
            (Target::SpeedupAtLeast(5.0), 1.9, 10.0, true),
            (Target::SpeedupAtLeast(5.0), 2.1, 10.0, false),
            (Target::DifferenceAtMost(0.3), 10.2, 10.0, true),
            (Target::DifferenceAtMost(0.3), 10.4, 10.0, false),
            (Target::AtMost(50.0), 49.0, 0.0, true),
            (Target::AtMost(50.0), 51.0, 0.0, false),
        ];
        for (target, ours, reference, met) in cases {
            assert_eq!(row(target, &[ours], &[reference]).is_met(), Some(met), "{target:?} {ours}");
        }
        assert_eq!(row(Target::RatioAtMost(1.0), &[1.0], &[]).is_met(), None);
        assert_eq!(row(Target::AtMost(1.0), &[], &[]).is_met(), None);
        let text = markdown(&[row(Target::RatioAtMost(0.5), &[4.0, 5.0, 6.0], &[10.0, 11.0, 12.0])]);
        assert!(
            text.contains("| 5.00 ms |") && text.contains("| 0.45 ") && text.contains("40% / 18%"),
            "{text}"
        );
    }
}
