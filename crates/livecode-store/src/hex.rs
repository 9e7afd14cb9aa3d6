//! Bytes in hexadecimal.

use std::fmt::Write as _;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of a text of exactly `2 * N` digits.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_digits_and_back() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
        assert_eq!(parse_hex("000aff"), Some([0, 10, 255]));
        for text in ["", "000af", "000afff", "000afg", "+00aff", "äaff"] {
            assert_eq!(parse_hex::<3>(text), None, "{text}");
        }
    }
}
