//! Escapes text for the inside of a JSON string, fast enough for a program's output: hundreds of
//! megabytes a second pass through this file.
//!
//! Few characters must be escaped (RFC 8259, section 7: the quotation mark, the backslash and
//! everything below U+0020). The text is therefore scanned in blocks, and the runs between the
//! escaped characters are copied whole.

/// Bytes that are scanned at once. The loop over a block compiles to vector instructions.
const BLOCK_BYTES: usize = 32;
const WORD_BYTES: usize = size_of::<u64>();

/// Appends `text` to `to`, escaped.
pub(crate) fn push_escaped(to: &mut String, text: &str) {
    let mut rest = text;
    loop {
        let plain_bytes = unescaped_prefix_bytes(rest.as_bytes());
        to.push_str(&rest[..plain_bytes]);
        let Some(byte) = rest.as_bytes().get(plain_bytes) else { return };
        match byte {
            b'\n' => to.push_str("\\n"),
            b'"' => to.push_str("\\\""),
            b'\\' => to.push_str("\\\\"),
            b'\r' => to.push_str("\\r"),
            b'\t' => to.push_str("\\t"),
            0x08 => to.push_str("\\b"),
            0x0c => to.push_str("\\f"),
            other => {
                let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
                to.push_str("\\u00");
                to.push(digit(other >> 4));
                to.push(digit(*other));
            }
        }
        rest = &rest[plain_bytes + 1..]; // an escaped character is always one byte of ASCII
    }
}

fn needs_escape(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

/// The number of bytes before the first one that must be escaped.
fn unescaped_prefix_bytes(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<BLOCK_BYTES>();
    let is_plain = |block: &&[u8; BLOCK_BYTES]| {
        block.iter().fold(0, |found, byte| found | u8::from(needs_escape(*byte))) == 0
    };
    let mut plain_bytes = blocks.iter().take_while(is_plain).count() * BLOCK_BYTES;
    for word in bytes[plain_bytes..].as_chunks::<WORD_BYTES>().0 {
        match escape_mask(u64::from_le_bytes(*word)) {
            0 => plain_bytes += WORD_BYTES,
            mask => return plain_bytes + mask.trailing_zeros() as usize / 8,
        }
    }
    plain_bytes + bytes[plain_bytes..].iter().take_while(|byte| !needs_escape(**byte)).count()
}

/// Sets the highest bit of each byte that must be escaped. The lowest set bit is exact; bits above
/// it may be set for other bytes too, because the subtraction borrows.
fn escape_mask(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHEST_BITS: u64 = ONES << 7;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equals = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, b' ') | equals(b'"') | equals(b'\\')) & HIGHEST_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut escaped = String::from("\"");
        push_escaped(&mut escaped, text);
        escaped + "\""
    }

    #[test]
    fn every_character_is_escaped_as_serde_json_escapes_it() {
        for code in 0..=0x2ff {
            let character = char::from_u32(code).unwrap();
            for before in 0..70 {
                let text = format!("{}{character}{}", "x".repeat(before), "€!~\u{7f}".repeat(7));
                assert_eq!(escaped(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_escaped_as_serde_json_escapes_it(text in "[a-z\\x00-\\x21\"\\\\é€\\x7f]{0,300}") {
            assert_eq!(escaped(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
