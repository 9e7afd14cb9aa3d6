//! Spans of time on the command line.

use std::str::FromStr;

/// The longest span, in seconds: a hundred years, as the server has it for the lives of tokens.
const SPAN_MAX_S: u64 = 100 * 365 * 24 * 60 * 60;

/// A span of time, such as that until a token expires, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan(u64);

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60), ('w', 7 * 24 * 60 * 60)];
        let parse = || {
            let (_, unit_s) = units.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
            let number = text.get(..text.len() - 1)?;
            let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
            let number = number.parse::<u64>().ok().filter(|number| is_number && *number > 0)?;
            number.checked_mul(unit_s).filter(|seconds| *seconds <= SPAN_MAX_S)
        };
        parse().map(Self).ok_or_else(|| {
            "a time is a number and a unit, as in 90d (s, m, h, d and w are seconds to weeks), and at most a hundred \
             years"
                .to_owned()
        })
    }
}

impl TimeSpan {
    /// The time in seconds.
    pub fn seconds(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit() {
        assert_eq!("90d".parse(), Ok(TimeSpan(90 * 86_400)));
        assert_eq!("30m".parse(), Ok(TimeSpan(1_800)));
        for text in ["", "d", "90", "0d", "-1d", "+1d", "1.5h", "1y", "99999999999999999999w", "9999w", "ä"]
        {
            assert!(text.parse::<TimeSpan>().is_err(), "{text:?}");
        }
    }
}
