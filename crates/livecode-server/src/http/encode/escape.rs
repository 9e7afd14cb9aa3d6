//! Text as the inside of a JSON string, fast: a program's output passes through here, hundreds of megabytes a second of it.
//!
//! Little of it has to be escaped (RFC 8259, section 7: the quotation mark, the backslash, and what is below the space), so
//! the rest is looked for in blocks and copied in runs.

/// Bytes looked at at once, in a form that compilers make vector instructions of.
const BLOCK_BYTES: usize = 32;
const WORD_BYTES: usize = size_of::<u64>();

/// Appends `text`, escaped.
pub(crate) fn push(to: &mut String, text: &str) {
    let mut rest = text;
    loop {
        let plain = plain_bytes(rest.as_bytes());
        to.push_str(&rest[..plain]);
        let Some(byte) = rest.as_bytes().get(plain) else { return };
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
        rest = &rest[plain + 1..]; // what is escaped is one byte of ASCII
    }
}

fn is_escaped(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

/// How many bytes there are before the first that is escaped.
fn plain_bytes(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<BLOCK_BYTES>();
    let has_none = |block: &&[u8; BLOCK_BYTES]| {
        block.iter().fold(0, |found, byte| found | u8::from(is_escaped(*byte))) == 0
    };
    let mut plain = blocks.iter().take_while(has_none).count() * BLOCK_BYTES;
    for word in bytes[plain..].as_chunks::<WORD_BYTES>().0 {
        match escaped_in(u64::from_le_bytes(*word)) {
            0 => plain += WORD_BYTES,
            found => return plain + found.trailing_zeros() as usize / 8,
        }
    }
    plain + bytes[plain..].iter().take_while(|byte| !is_escaped(**byte)).count()
}

/// Has the highest bit of each byte set that is escaped. Above the lowest such byte it may be set for others too, since
/// subtraction borrows.
fn escaped_in(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHEST: u64 = ONES << 7;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let same = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, b' ') | same(b'"') | same(b'\\')) & HIGHEST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut escaped = String::from("\"");
        push(&mut escaped, text);
        escaped + "\""
    }

    #[test]
    fn it_is_what_serde_json_writes() {
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
        fn whatever_there_is_to_escape(text in "[a-z\\x00-\\x21\"\\\\é€\\x7f]{0,300}") {
            assert_eq!(escaped(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
