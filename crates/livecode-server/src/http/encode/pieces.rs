//! Encodes a large message piece by piece, so that a client that does not read holds only a piece
//! of it in memory.

use std::io;

use livecode_journal::LargeMessage;

use super::Dialect;

/// Bytes of a large message that are read and encoded at once.
const PIECE_BYTES: usize = 64 * 1024;

/// A large message on its way to one client.
pub(crate) struct MessagePieces {
    message: LargeMessage,
    /// Bytes of the message that were encoded.
    at: usize,
    prefix: String,
    suffix: String,
}

/// A part of the text of a message.
pub(crate) struct Piece {
    pub text: String,
    /// Whether the message begins with this piece.
    pub is_first: bool,
    /// Whether the message ends with this piece.
    pub is_last: bool,
}

impl MessagePieces {
    /// The message in `dialect`, between `prefix` and `suffix`.
    pub fn new(message: LargeMessage, dialect: Dialect, prefix: String, suffix: &str) -> Self {
        // The supervisor has checked that the message is one JSON object without a `seq`.
        let end = match dialect {
            Dialect::V02 { with_seq: true } => format!(",\"seq\":{}}}", message.seq),
            Dialect::V01 | Dialect::V02 { with_seq: false } => "}".into(),
        };
        Self { message, at: 0, prefix, suffix: end + suffix }
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn next(&mut self) -> io::Result<Option<Piece>> {
        if self.at >= self.message.bytes {
            return Ok(None);
        }
        let is_first = self.at == 0;
        let mut bytes = self.message.read_at(self.at, PIECE_BYTES)?;
        let is_last = self.at + bytes.len() == self.message.bytes;
        if !is_last {
            bytes.truncate(whole_characters_bytes(&bytes));
        }
        self.at += bytes.len();
        let mut text = String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        if is_first {
            text.insert_str(0, &std::mem::take(&mut self.prefix));
        }
        if is_last {
            if text.ends_with('}') {
                text.pop();
            }
            text.push_str(&self.suffix);
        }
        Ok(Some(Piece { text, is_first, is_last }))
    }
}

/// The length of the beginning of `bytes` that does not end inside a character. It is never 0 for
/// four bytes or more.
fn whole_characters_bytes(bytes: &[u8]) -> usize {
    let is_inside_character = |byte: u8| byte & 0xc0 == 0x80;
    let last_starts = (1..=bytes.len().min(4)).find(|back| !is_inside_character(bytes[bytes.len() - back]));
    let Some(back) = last_starts else { return bytes.len() };
    let character_bytes = match bytes[bytes.len() - back] {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    };
    if character_bytes > back { bytes.len() - back } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use livecode_journal::{Kind, Reader, Writer};

    use super::*;

    fn pieces(payload: &str, dialect: Dialect, prefix: &str, suffix: &str) -> Vec<Piece> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut writer = Writer::create(&path).unwrap();
        writer.push(Kind::Message, 1, payload.as_bytes());
        let _ = writer.flush();
        let mut reader = Reader::open(&path).unwrap();
        let message = reader.large_message(writer.written_bytes(), 10).unwrap().unwrap();
        let mut pieces = MessagePieces::new(message, dialect, prefix.into(), suffix);
        std::iter::from_fn(|| pieces.next().unwrap()).collect()
    }

    #[test]
    fn pieces_join_to_the_message() {
        for before in 0..6 {
            let inner = format!("{{\"a\":\"{}{}\"", "x".repeat(before), "aé€😀".repeat(30_000));
            let payload = format!("{inner}}}");
            for (dialect, end) in [
                (Dialect::V01, "}"),
                (Dialect::V02 { with_seq: false }, "}"),
                (Dialect::V02 { with_seq: true }, ",\"seq\":1}"),
            ] {
                let pieces = pieces(&payload, dialect, "id: 1\n", "\n\n");
                let joined: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
                assert!(joined == format!("id: 1\n{inner}{end}\n\n"));
                assert_eq!(pieces.len(), 5);
                let firsts: Vec<_> = pieces.iter().map(|piece| (piece.is_first, piece.is_last)).collect();
                assert_eq!((firsts[0], firsts[4]), ((true, false), (false, true)));
                assert!(firsts[1..4].iter().all(|flags| *flags == (false, false)));
            }
        }
    }

    #[test]
    fn a_piece_ends_between_characters() {
        for (bytes, whole) in [
            (&b"abc"[..], 3),
            (b"ab\xc3", 2),
            (b"ab\xc3\xa9", 4),
            (b"a\xe2\x82", 1),
            (b"a\xe2\x82\xac", 4),
            (b"a\xf0\x9f\x98", 1),
            (b"\xf0\x9f\x98\x80", 4),
            (b"\x80\x80\x80\x80\x80", 5),
        ] {
            assert_eq!(whole_characters_bytes(bytes), whole, "{bytes:?}");
        }
    }
}
