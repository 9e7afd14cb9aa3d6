//! Compares what a program has printed with what is expected.

use livecode_protocol::{cases::Compare, run_spec::CaseSpec};

/// Whether a program that has printed `printed` passes the case. A case that expects nothing in
/// particular accepts all output.
pub(super) fn is_expected(case: &CaseSpec, printed: &[u8]) -> bool {
    let Some(expected) = &case.expected else { return true };
    let expected = expected.as_bytes();
    match case.compare {
        Compare::Exact => printed == expected,
        Compare::Trimmed => trimmed_lines(printed).eq(trimmed_lines(expected)),
        Compare::Tokens => words(printed).eq(words(expected)),
        Compare::Floats => {
            let (mut printed, mut expected) = (words(printed), words(expected));
            loop {
                match (printed.next(), expected.next()) {
                    (None, None) => return true,
                    (Some(printed), Some(expected)) if are_close(printed, expected, case.tolerance) => {}
                    _ => return false,
                }
            }
        }
        // The checker decides, if the program has exited with 0.
        Compare::Checker => false,
    }
}

/// The lines without white space at their ends, and without empty lines after the last other one.
fn trimmed_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.trim_ascii_end().split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// Whether two words are the same, or numbers that are close to each other.
fn are_close(printed: &[u8], expected: &[u8], tolerance: f64) -> bool {
    let number = |word| std::str::from_utf8(word).ok()?.parse::<f64>().ok().filter(|one| one.is_finite());
    printed == expected
        || number(printed).zip(number(expected)).is_some_and(|(printed, expected)| {
            (printed - expected).abs() <= tolerance * expected.abs().max(1.0)
        })
}

#[cfg(test)]
mod tests {
    use livecode_protocol::{cases::DEFAULT_TOLERANCE, run_spec::Contents};

    use super::*;

    fn passes(compare: Compare, expected: &str, printed: &str) -> bool {
        let case = CaseSpec {
            name: String::new(),
            stdin: Contents::Text(String::new()),
            args: vec![],
            files: vec![],
            expected: Some(expected.into()),
            compare,
            tolerance: DEFAULT_TOLERANCE,
            wall_ms: 1,
            is_hidden: false,
        };
        is_expected(&case, printed.as_bytes())
    }

    #[test]
    fn each_way_to_compare_ignores_what_it_says() {
        for (printed, ways) in [
            ("a b\nc\n", [true, true, true]),
            ("a b\nc", [false, true, true]),
            ("a b  \r\nc\n\n \n", [false, true, true]),
            ("a  b\nc\n", [false, false, true]),
            (" a b\nc\n", [false, false, true]),
            ("a b\n\nc\n", [false, false, true]),
            ("a\nb c", [false, false, true]),
            ("ab\nc\n", [false, false, false]),
            ("a b\nc\nd\n", [false, false, false]),
            ("a b\n", [false, false, false]),
            ("", [false, false, false]),
        ] {
            for (compare, is_equal) in
                [Compare::Exact, Compare::Trimmed, Compare::Tokens].into_iter().zip(ways)
            {
                assert_eq!(passes(compare, "a b\nc\n", printed), is_equal, "{compare:?} {printed:?}");
            }
        }
        assert!(passes(Compare::Trimmed, "", "\n \n") && !passes(Compare::Trimmed, "", "x"));
    }

    #[test]
    fn numbers_are_close_within_the_tolerance() {
        for (expected, printed, is_equal) in [
            ("x 0.5", "x\n0.5000001", true),
            ("0.5", "0.50001", false),
            ("0", "-0.0000009", true),
            ("1e9", "1000000999", true),
            ("1e9", "1000001001", false),
            ("-3", "-3.0", true),
            ("3", "three", false),
            ("nan", "nan", true),
            ("inf", "infinity", false),
            ("1", "1 2", false),
            ("1 2", "1", false),
        ] {
            assert_eq!(passes(Compare::Floats, expected, printed), is_equal, "{expected:?} {printed:?}");
        }
    }
}
