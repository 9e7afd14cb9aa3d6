//! The figures of two binaries, and whether they differ by more than the noise.

use std::fmt::Write as _;

use crate::{stats::median, table::Unit};

/// The binary that a figure belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The binary under test.
    Ours,
    /// The binary that it is compared with.
    Theirs,
}

/// The figures of one row, one of each side for each round.
pub struct Figures {
    name: &'static str,
    unit: Unit,
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Figures {
    pub fn new(name: &'static str, unit: Unit) -> Self {
        Self { name, unit, ours: vec![], theirs: vec![] }
    }

    /// Adds the figure of one side and round.
    pub fn add(&mut self, side: Side, figure: f64) {
        match side {
            Side::Ours => self.ours.push(figure),
            Side::Theirs => self.theirs.push(figure),
        }
    }

    /// Our figure divided by theirs, for each round.
    fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours / theirs).collect()
    }

    /// How much better our figure is, in per cent of theirs: the median over the rounds. A gain is
    /// positive if our times are shorter or our rates are higher.
    fn gain_percent(&self) -> f64 {
        let change = median(&self.ratios()) - 1.0;
        let is_rate = matches!(self.unit, Unit::PerSecond | Unit::MegabytesPerSecond);
        100.0 * if is_rate { change } else { -change }
    }

    /// The noise of the gain in per cent: twice the standard error of the logarithms of the
    /// rounds' ratios. NaN with fewer than two rounds, which tell nothing about noise.
    fn noise_percent(&self) -> f64 {
        let logarithms: Vec<f64> = self.ratios().iter().map(|ratio| ratio.ln()).collect();
        let count = logarithms.len() as f64;
        let mean = logarithms.iter().sum::<f64>() / count;
        let squares: f64 = logarithms.iter().map(|logarithm| (logarithm - mean).powi(2)).sum();
        let variance = if logarithms.len() < 2 { f64::NAN } else { squares / (count - 1.0) };
        200.0 * (variance / count).sqrt()
    }

    /// What the gain and its noise say about our binary.
    fn verdict(&self) -> &'static str {
        let (gain, noise) = (self.gain_percent(), self.noise_percent());
        match () {
            () if noise.is_nan() => "too few rounds",
            () if gain > noise => "better",
            () if gain < -noise => "worse",
            () => "within the noise",
        }
    }
}

/// A table with a line for each row, and a text that says how to read it.
pub fn report(rows: &[Figures]) -> String {
    let mut text =
        format!("{:<18} {:>11} {:>11} {:>9} {:>9}  verdict\n", "row", "ours", "theirs", "gain", "noise");
    for row in rows {
        let _ = writeln!(
            text,
            "{:<18} {:>11} {:>11} {:>+7.1} % {:>7.1} %  {}",
            row.name,
            row.unit.show(median(&row.ours)),
            row.unit.show(median(&row.theirs)),
            row.gain_percent(),
            row.noise_percent(),
            row.verdict()
        );
    }
    text + "\nA positive gain means that our binary takes less time or reaches a higher rate. The gain is the\n\
            median over the rounds, and the noise is twice its standard error. A gain within the noise\n\
            decides nothing; more rounds reduce the noise.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(unit: Unit, ours: &[f64], theirs: &[f64]) -> Figures {
        Figures { name: "row", unit, ours: ours.to_vec(), theirs: theirs.to_vec() }
    }

    #[test]
    fn shorter_times_and_higher_rates_are_gains() {
        let (smaller, larger) = ([8.0, 8.0, 8.0], [10.0, 10.0, 10.0]);
        let time = figures(Unit::Milliseconds, &smaller, &larger);
        assert!((time.gain_percent() - 20.0).abs() < 1e-9, "{}", time.gain_percent());
        assert_eq!((time.noise_percent(), time.verdict()), (0.0, "better"));
        let rate = figures(Unit::PerSecond, &smaller, &larger);
        assert!((rate.gain_percent() + 20.0).abs() < 1e-9, "{}", rate.gain_percent());
        assert_eq!(rate.verdict(), "worse");
    }

    #[test]
    fn a_gain_within_the_noise_decides_nothing() {
        // The logarithms of these ratios are ±0.1 and 0.0: their standard error is 0.1 / √3.
        let theirs = [(-0.1_f64).exp(), 1.0, 0.1_f64.exp()];
        let noisy = figures(Unit::Milliseconds, &[1.0, 1.0, 1.0], &theirs);
        assert!((noisy.noise_percent() - 20.0 / 3.0_f64.sqrt()).abs() < 1e-9);
        assert_eq!(noisy.verdict(), "within the noise");
        let single = figures(Unit::Milliseconds, &[1.0], &[2.0]);
        assert_eq!(single.verdict(), "too few rounds");
        let text = report(&[noisy, single]);
        assert!(text.contains("1.00 ms") && text.contains("11.5 %  within the noise"), "{text}");
    }
}
