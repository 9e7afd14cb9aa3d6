//! Statistics of samples.

use std::time::Duration;

/// The quantile of the samples at `quantile`, from 0 to 1, by the nearest-rank method. NaN without
/// samples.
pub fn percentile(samples: &[f64], quantile: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

/// The middle sample; see [`percentile`].
pub fn median(samples: &[f64]) -> f64 {
    percentile(samples, 0.5)
}

/// The spread of a figure's rounds: the largest less the smallest, divided by their median.
pub fn spread(rounds: &[f64]) -> f64 {
    let (least, most) = (percentile(rounds, 0.0), percentile(rounds, 1.0));
    (most - least) / median(rounds)
}

/// A duration in milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(median(&samples), 100.0);
        assert_eq!(percentile(&samples, 0.99), 198.0);
        assert_eq!(percentile(&samples, 0.0), 1.0);
        assert_eq!(percentile(&samples, 1.0), 200.0);
        assert_eq!(median(&[3.0]), 3.0);
        assert!(median(&[]).is_nan());
        assert_eq!(spread(&[9.0, 10.0, 12.0]), 0.3);
    }
}
