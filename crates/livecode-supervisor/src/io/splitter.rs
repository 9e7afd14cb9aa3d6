//! Splits a program's output into entries: text that ends between two characters, and messages.
//!
//! A line that starts with `--MSG--` and contains a valid message is that message. Every other
//! line is output. The splitter holds back bytes that may still become such a line, and the start
//! of a character whose other bytes are missing, but only for a short time: see [`Hold`].

use std::{mem, time::Duration};

use bytes::Bytes;
use livecode_protocol::stream::{MAX_PROGRAM_MESSAGE_BYTES, MAX_WRITE_BYTES};
use memchr::memmem;

use crate::io::messages;

/// Starts a line that may contain a message.
const MARKER: &[u8] = b"--MSG--";
const NEWLINE_AND_MARKER: &[u8] = b"\n--MSG--";

/// A part of a program's output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Output as the program printed it, at most [`MAX_WRITE_BYTES`].
    Output(Bytes),
    /// A valid message: one line of JSON.
    Message(Bytes),
}

/// What the splitter holds back. This decides how long the bytes may be held back, counted from
/// the last byte that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The marker or its start. The time is short, so that a prompt such as `- ` appears soon.
    Marker,
    /// The start of a character. It cannot be displayed yet. A program that writes byte by byte
    /// may lose the processor in the middle of a character, for a scheduler period or two.
    Character,
    /// The start of a message: `--MSG-- {`. No prompt looks like this. A program that is short of
    /// CPU time may pause in the middle of a message, for a scheduler period or more.
    Message,
}

impl Hold {
    /// The longest time for which the bytes are held back.
    pub fn duration(self) -> Duration {
        Duration::from_millis(match self {
            Self::Marker => 5,
            Self::Character => 250,
            Self::Message => 1000,
        })
    }
}

/// The state of one output pipe between two reads.
pub(crate) struct Splitter {
    /// The bytes that are held back.
    held: Vec<u8>,
    /// Whether the held bytes are the start of a message: the marker, then at most white space,
    /// then `{`.
    holds_message_start: bool,
    /// Whether the next bytes to be split start a line.
    is_at_line_start: bool,
    /// Whether the pipe may carry messages.
    has_messages: bool,
}

impl Splitter {
    /// Makes a splitter for standard output (with `has_messages`) or standard error (without).
    pub fn new(has_messages: bool) -> Self {
        Self { held: Vec::new(), holds_message_start: false, is_at_line_start: true, has_messages }
    }

    /// Adds bytes that were read, and appends to `pieces` every piece that is certain now.
    pub fn push(&mut self, bytes: Bytes, pieces: &mut Vec<Piece>) {
        if self.extend_held_message(&bytes) {
            return;
        }
        let mut held = mem::take(&mut self.held);
        let all = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(&bytes);
            Bytes::from(held)
        };
        let rest = self.split(&all, pieces);
        self.held = all[rest..].to_vec();
        let after = self.held.strip_prefix(MARKER);
        self.holds_message_start = after.is_some_and(|after| after.trim_ascii_start().starts_with(b"{"));
    }

    /// Adds bytes to a held line that starts with the marker, if it is certain that the line
    /// stays held back. Returns whether it did so. Without this, every small read of a long
    /// message would examine all of its bytes again.
    fn extend_held_message(&mut self, bytes: &[u8]) -> bool {
        let is_marked = self.held.len() >= MARKER.len() && self.held.starts_with(MARKER);
        if !is_marked
            || self.held.len() + bytes.len() > MARKER.len() + MAX_PROGRAM_MESSAGE_BYTES
            || memchr::memchr(b'\n', bytes).is_some()
        {
            return false;
        }
        if !self.holds_message_start {
            match bytes.trim_ascii_start() {
                [] => {}
                [b'{', ..] => self.holds_message_start = true,
                _ => return false,
            }
        }
        self.held.extend_from_slice(bytes);
        true
    }

    /// Releases the held bytes as output, because their time has expired or no more bytes follow.
    pub fn release(&mut self, pieces: &mut Vec<Piece>) {
        if !self.held.is_empty() {
            push_output(mem::take(&mut self.held).into(), pieces);
            self.holds_message_start = false;
            self.is_at_line_start = false;
        }
    }

    /// Whether the held bytes are the marker or its start. They may as well be a complete prompt.
    /// The start of a character never is: its other bytes follow. Such a start is held when a
    /// read ends in the middle of a large write.
    pub fn holds_partial_marker(&self) -> bool {
        !self.holds_message_start && self.held.first() == MARKER.first()
    }

    /// What is held back, if anything is.
    pub fn hold(&self) -> Option<Hold> {
        match self.held.is_empty() {
            true => None,
            false if self.holds_message_start => Some(Hold::Message),
            false if !self.held[0].is_ascii() => Some(Hold::Character),
            false => Some(Hold::Marker),
        }
    }

    /// Splits `all` into pieces. Returns the position from which on bytes must be held back.
    fn split(&mut self, all: &Bytes, pieces: &mut Vec<Piece>) -> usize {
        let mut from = 0; // start of the output that is not in `pieces` yet
        let mut at = 0; // current position
        loop {
            if self.has_messages && self.is_at_line_start && at < all.len() {
                match classify_line(&all[at..]) {
                    LineKind::Output => {}
                    LineKind::Undecided => {
                        push_output(all.slice(from..at), pieces);
                        return at;
                    }
                    LineKind::Message { json, length } => {
                        push_output(all.slice(from..at), pieces);
                        pieces.push(Piece::Message(json.into()));
                        at += length;
                        from = at;
                        continue;
                    }
                }
                self.is_at_line_start = false;
            }
            match self.next_marked_line(&all[at..]) {
                Some(length) => {
                    at += length;
                    self.is_at_line_start = true;
                }
                None => {
                    // After a newline at the very end, the next read starts a line.
                    if let Some(last) = all.last().filter(|_| at < all.len()) {
                        self.is_at_line_start = *last == b'\n';
                    }
                    let end = from + complete_characters_len(&all[from..]);
                    push_output(all.slice(from..end), pieces);
                    return end;
                }
            }
        }
    }

    /// Returns the position in `rest` of the next line that starts with the marker, or with a
    /// part of the marker at the end of `rest`.
    fn next_marked_line(&self, rest: &[u8]) -> Option<usize> {
        if !self.has_messages {
            return None;
        }
        if let Some(newline) = memmem::find(rest, NEWLINE_AND_MARKER) {
            return Some(newline + 1);
        }
        let tail = rest.len().saturating_sub(MARKER.len());
        let start = tail + memchr::memrchr(b'\n', &rest[tail..])? + 1;
        (start < rest.len() && MARKER.starts_with(&rest[start..])).then_some(start)
    }
}

/// What a line may contain, judged by its start.
enum LineKind {
    /// The line is not a message.
    Output,
    /// More bytes are needed to decide.
    Undecided,
    /// The line is a message. `length` is the length of the line with its newline.
    Message { json: Vec<u8>, length: usize },
}

/// Classifies the line at the start of `rest`.
fn classify_line(rest: &[u8]) -> LineKind {
    let Some(after) = rest.strip_prefix(MARKER) else {
        return if MARKER.starts_with(rest) { LineKind::Undecided } else { LineKind::Output };
    };
    match memchr::memchr(b'\n', after) {
        Some(end) => match messages::validate(&after[..end]) {
            Ok(json) => LineKind::Message { json: json.into_owned(), length: MARKER.len() + end + 1 },
            Err(_) => LineKind::Output,
        },
        None if after.len() > MAX_PROGRAM_MESSAGE_BYTES => LineKind::Output,
        None => match after.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None | Some(b'{') => LineKind::Undecided,
            Some(_) => LineKind::Output,
        },
    }
}

/// Appends output in pieces of at most [`MAX_WRITE_BYTES`], cut between characters.
fn push_output(mut bytes: Bytes, pieces: &mut Vec<Piece>) {
    while bytes.len() > MAX_WRITE_BYTES {
        let is_inside_character = |at: usize| bytes[at] & 0xc0 == 0x80;
        let cut = (MAX_WRITE_BYTES - 3..=MAX_WRITE_BYTES)
            .rev()
            .find(|at| !is_inside_character(*at))
            .unwrap_or(MAX_WRITE_BYTES);
        pieces.push(Piece::Output(bytes.split_to(cut)));
    }
    if !bytes.is_empty() {
        pieces.push(Piece::Output(bytes));
    }
}

/// Returns the length of `bytes` without an incomplete UTF-8 character at the end.
fn complete_characters_len(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let needed = match bytes[at] {
            0x80..=0xbf => continue, // inside a character: its start is further back
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if needed > back { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Output(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn message(json: &str) -> Piece {
        Piece::Message(Bytes::copy_from_slice(json.as_bytes()))
    }

    /// Splits `input` in reads of `size` bytes and releases all held bytes at the end. Joins
    /// neighbouring pieces of output.
    fn split(input: &[u8], size: usize) -> Vec<Piece> {
        let mut splitter = Splitter::new(true);
        let mut pieces = vec![];
        input.chunks(size).for_each(|part| splitter.push(Bytes::copy_from_slice(part), &mut pieces));
        splitter.release(&mut pieces);
        let mut joined: Vec<(bool, Vec<u8>)> = vec![];
        for piece in pieces {
            match (joined.last_mut(), piece) {
                (Some((false, before)), Piece::Output(more)) => before.extend(more),
                (_, Piece::Output(bytes)) => joined.push((false, bytes.into())),
                (_, Piece::Message(json)) => joined.push((true, json.into())),
            }
        }
        let piece = |(is_message, bytes): (bool, Vec<u8>)| match is_message {
            true => Piece::Message(bytes.into()),
            false => Piece::Output(bytes.into()),
        };
        joined.into_iter().map(piece).collect()
    }

    #[test]
    fn the_result_does_not_depend_on_the_size_of_the_reads() {
        let input = "a\n--MSG-- {\"msgtype\":\"draw\",\"n\":1}\nb ü\n--MSG--{\"msgtype\":\"x\"}\n\
                     --MSG-- not json\n --MSG-- {\"msgtype\":\"y\"}\n--MSG-- {\"msgtype\":\"write\"}\n--\n--MSG-- {\"a\":";
        let expected = [
            text("a\n"),
            message(r#"{"msgtype":"draw","n":1}"#),
            text("b ü\n"),
            message(r#"{"msgtype":"x"}"#),
            text(
                "--MSG-- not json\n --MSG-- {\"msgtype\":\"y\"}\n--MSG-- {\"msgtype\":\"write\"}\n--\n--MSG-- {\"a\":",
            ),
        ];
        for size in 1..=input.len() {
            assert_eq!(split(input.as_bytes(), size), expected, "read {size} bytes at a time");
        }
    }

    #[test]
    fn only_partial_markers_messages_and_characters_are_held_back() {
        let hold = |input: &str| {
            let mut splitter = Splitter::new(true);
            let mut pieces = vec![];
            splitter.push(Bytes::copy_from_slice(input.as_bytes()), &mut pieces);
            splitter.hold()
        };
        assert_eq!(hold("name? "), None);
        assert_eq!(hold("a\n- "), None);
        assert_eq!(hold("a\n-"), Some(Hold::Marker));
        assert_eq!(hold("--MSG-- "), Some(Hold::Marker));
        assert_eq!(hold("--MSG-- hello"), None);
        let mut splitter = Splitter::new(true);
        splitter.push(Bytes::from_static(&"é".as_bytes()[..1]), &mut vec![]);
        assert_eq!(splitter.hold(), Some(Hold::Character));
        assert_eq!(hold("--MSG-- {\"msgtype\""), Some(Hold::Message));
    }

    #[test]
    fn a_released_prompt_is_not_the_start_of_a_message() {
        let mut splitter = Splitter::new(true);
        let mut pieces = vec![];
        splitter.push(b"--"[..].into(), &mut pieces);
        splitter.release(&mut pieces);
        splitter.push(b"MSG-- {\"msgtype\":\"x\"}\n"[..].into(), &mut pieces);
        assert_eq!(pieces, [text("--"), text("MSG-- {\"msgtype\":\"x\"}\n")]);
    }

    #[test]
    fn characters_stay_whole_and_pieces_stay_small() {
        let input = "a".to_owned() + &"é€😀".repeat(20_000);
        for size in [1000, 4096, 65_536, 300_000] {
            let mut splitter = Splitter::new(false);
            let mut pieces = vec![];
            let parts = input.as_bytes().chunks(size);
            parts.for_each(|part| splitter.push(Bytes::copy_from_slice(part), &mut pieces));
            splitter.release(&mut pieces);
            let mut joined = String::new();
            for piece in pieces {
                let Piece::Output(bytes) = piece else { panic!("there are no messages") };
                assert!(bytes.len() <= MAX_WRITE_BYTES);
                joined += std::str::from_utf8(&bytes).unwrap();
            }
            assert_eq!(joined, input);
        }
    }

    #[test]
    fn a_line_too_long_for_a_message_is_output() {
        let mut input = b"--MSG-- {\"msgtype\":\"x\",\"data\":\"".to_vec();
        input.resize(MAX_PROGRAM_MESSAGE_BYTES + 100, b'x');
        let mut splitter = Splitter::new(true);
        let mut pieces = vec![];
        splitter.push(input.into(), &mut pieces);
        assert_eq!(splitter.hold(), None);
        assert!(pieces.len() > 64);
    }

    /// Each byte may be examined only a few times. Examining all held bytes after each read would
    /// take minutes here.
    #[test]
    fn a_message_in_single_bytes_takes_linear_time() {
        for start in ["--MSG-- {\"msgtype\":\"x\",\"data\":\"", "--MSG-- "] {
            let mut splitter = Splitter::new(true);
            let mut pieces = vec![];
            splitter.push(start.into(), &mut pieces);
            for _ in start.len()..MAX_PROGRAM_MESSAGE_BYTES {
                splitter.push(b" "[..].into(), &mut pieces);
                assert!(splitter.hold().is_some());
            }
            assert_eq!(pieces, []);
            splitter.push(b"\"}\n"[..].into(), &mut pieces);
        }
    }

    #[test]
    fn the_longest_message_is_accepted_in_reads_of_any_size() {
        let max = MAX_PROGRAM_MESSAGE_BYTES;
        for (length, is_message) in [(max, true), (max + 1, false)] {
            let mut json = br#"{"msgtype":"x","data":""#.to_vec();
            json.resize(length - 2, b'x');
            json.extend(b"\"}");
            let line = [b"--MSG--", &*json, b"\n"].concat();
            for size in [65_536, 1_000_003, line.len() - 1, line.len()] {
                let expected = if is_message {
                    Piece::Message(json.clone().into())
                } else {
                    Piece::Output(line.clone().into())
                };
                assert!(split(&line, size) == [expected], "{length} bytes, {size} at a time");
            }
        }
    }
}
