//! Times on the command line.

use std::str::FromStr;

/// The longest time until a token expires, in seconds: a hundred years, as the server has it.
const LIFETIME_MAX_S: u64 = 100 * 365 * 24 * 60 * 60;

/// A time after which a token expires, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(u64);

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60), ('w', 7 * 24 * 60 * 60)];
        let parse = || {
            let (_, unit_s) = units.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
            let number = text.get(..text.len() - 1)?;
            let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
            let number = number.parse::<u64>().ok().filter(|number| is_number && *number > 0)?;
            number.checked_mul(unit_s).filter(|seconds| *seconds <= LIFETIME_MAX_S)
        };
        parse().map(Self).ok_or_else(|| {
            "a time is a number and a unit, as in 90d (s, m, h, d and w are seconds to weeks), and at most a hundred \
             years"
                .to_owned()
        })
    }
}

impl Lifetime {
    /// The time in seconds.
    pub fn seconds(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_has_a_unit() {
        assert_eq!("90d".parse(), Ok(Lifetime(90 * 86_400)));
        assert_eq!("30m".parse(), Ok(Lifetime(1_800)));
        for text in ["", "d", "90", "0d", "-1d", "+1d", "1.5h", "1y", "99999999999999999999w", "9999w", "ä"]
        {
            assert!(text.parse::<Lifetime>().is_err(), "{text:?}");
        }
    }
}
