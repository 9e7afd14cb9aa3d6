//! Statistics of samples.

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

/// Samples of one figure that is measured at regular intervals, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl<'a> FromIterator<&'a Samples> for Samples {
    fn from_iter<I: IntoIterator<Item = &'a Self>>(sets: I) -> Self {
        Self(sets.into_iter().flat_map(|set| set.0.iter().copied()).collect())
    }
}

impl Samples {
    /// Adds a sample of a client that measures once per `interval_ms`. A sample that took longer
    /// stands for the samples that the client could not take meanwhile, as HdrHistogram corrects
    /// coordinated omission: each of them would have waited for one interval less.
    pub fn record(&mut self, took_ms: f64, interval_ms: f64) {
        let mut left = took_ms;
        self.0.push(left);
        while left > 2.0 * interval_ms {
            left -= interval_ms;
            self.0.push(left);
        }
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn percentile(&self, quantile: f64) -> f64 {
        percentile(&self.0, quantile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(median(&samples), 100.0);
        assert_eq!(percentile(&samples, 0.99), 198.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_long_wait_counts_as_often_as_it_hid_a_sample() {
        let mut samples = Samples::default();
        samples.record(15.0, 10.0);
        assert_eq!(samples.count(), 1);
        samples.record(50.0, 10.0);
        assert_eq!(samples.count(), 5);
        assert_eq!(samples.percentile(1.0), 50.0);
        assert_eq!(samples.percentile(0.0), 15.0);
    }
}
