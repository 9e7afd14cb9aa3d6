//! Cuts a program's output into what becomes entries: text that ends between two characters, and `--MSG--` lines.
//!
//! A line that starts with `--MSG--` and holds a message is that message; any other line is output. What may still become
//! such a line, and a character that is not whole yet, is held back, but not for long: see [`Hold`].

use std::{mem, time::Duration};

use bytes::Bytes;
use livecode_protocol::stream::{MAX_PROGRAM_MESSAGE_BYTES, MAX_WRITE_BYTES};
use memchr::memmem;

use crate::io::messages;

const MARK: &[u8] = b"--MSG--";
const MARKED_LINE: &[u8] = b"\n--MSG--";

/// A part of a program's output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Output as printed, at most [`MAX_WRITE_BYTES`].
    Output(Bytes),
    /// A message, checked: one line of JSON.
    Message(Bytes),
}

/// How long the rest of a line may be held back, counted from the last byte that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The start of the mark. Short, so that a prompt such as `- ` shows.
    Briefly,
    /// The start of a character. Nothing can be shown of it, and a program that writes byte by byte may lose the processor in
    /// the middle, for a scheduler period or two.
    UntilWhole,
    /// `--MSG-- {`: a message on its way. Nobody's prompt looks like it, and a program that is short of CPU time may pause
    /// for a scheduler period or more in the middle.
    UntilItsEnd,
}

impl Hold {
    pub fn duration(self) -> Duration {
        Duration::from_millis(match self {
            Self::Briefly => 5,
            Self::UntilWhole => 250,
            Self::UntilItsEnd => 1000,
        })
    }
}

/// One output stream's state between two reads.
pub(crate) struct Splitter {
    held: Vec<u8>,
    /// Whether what is held back is a message on its way: the mark, and after it at most white space and then `{`.
    held_has_brace: bool,
    line_start: bool,
    has_messages: bool,
}

impl Splitter {
    /// For standard output (`has_messages`) or standard error.
    pub fn new(has_messages: bool) -> Self {
        Self { held: Vec::new(), held_has_brace: false, line_start: true, has_messages }
    }

    /// Takes what was read, and appends to `pieces` what is certain by now.
    pub fn push(&mut self, bytes: Bytes, pieces: &mut Vec<Piece>) {
        if self.keep(&bytes) {
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
        let after = self.held.strip_prefix(MARK);
        self.held_has_brace = after.is_some_and(|after| after.trim_ascii_start().starts_with(b"{"));
    }

    /// Takes more of a line that is held back, where it is certain to be held back still. So each byte of a long message is
    /// looked at once, in however small pieces it comes.
    fn keep(&mut self, bytes: &[u8]) -> bool {
        let is_marked = self.held.len() >= MARK.len() && self.held.starts_with(MARK);
        if !is_marked
            || self.held.len() + bytes.len() > MARK.len() + MAX_PROGRAM_MESSAGE_BYTES
            || memchr::memchr(b'\n', bytes).is_some()
        {
            return false;
        }
        if !self.held_has_brace {
            match bytes.trim_ascii_start() {
                [] => {}
                [b'{', ..] => self.held_has_brace = true,
                _ => return false,
            }
        }
        self.held.extend_from_slice(bytes);
        true
    }

    /// Gives out what is held back: its time is up, or nothing follows.
    pub fn release(&mut self, pieces: &mut Vec<Piece>) {
        if !self.held.is_empty() {
            output(mem::take(&mut self.held).into(), pieces);
            self.held_has_brace = false;
            self.line_start = false;
        }
    }

    /// Whether what is held back is the start of the mark, and may as well be all that was meant. (The start of a character
    /// never is: its rest follows, and whoever writes much at once is read in the middle of one.)
    pub fn holds_mark(&self) -> bool {
        !self.held_has_brace && self.held.first() == MARK.first()
    }

    /// Whether and how long the rest may be held back.
    pub fn hold(&self) -> Option<Hold> {
        match self.held.is_empty() {
            true => None,
            false if self.held_has_brace => Some(Hold::UntilItsEnd),
            false if !self.held[0].is_ascii() => Some(Hold::UntilWhole),
            false => Some(Hold::Briefly),
        }
    }

    /// Returns where in `all` the part begins that must wait for more.
    fn split(&mut self, all: &Bytes, pieces: &mut Vec<Piece>) -> usize {
        let mut from = 0; // where output not yet given out begins
        let mut at = 0; // where we look
        loop {
            if self.has_messages && self.line_start && at < all.len() {
                match marked_line(&all[at..]) {
                    Marked::No => {}
                    Marked::Undecided => {
                        output(all.slice(from..at), pieces);
                        return at;
                    }
                    Marked::Message { json, length } => {
                        output(all.slice(from..at), pieces);
                        pieces.push(Piece::Message(json.into()));
                        at += length;
                        from = at;
                        continue;
                    }
                }
                self.line_start = false;
            }
            match self.next_marked_line(&all[at..]) {
                Some(length) => {
                    at += length;
                    self.line_start = true;
                }
                None => {
                    // A newline at the very end leaves the next read at the start of a line.
                    if let Some(last) = all.last().filter(|_| at < all.len()) {
                        self.line_start = *last == b'\n';
                    }
                    let end = from + whole_characters(&all[from..]);
                    output(all.slice(from..end), pieces);
                    return end;
                }
            }
        }
    }

    /// Length of `rest` up to the start of a line that has the mark, or that ends too early to tell.
    fn next_marked_line(&self, rest: &[u8]) -> Option<usize> {
        if !self.has_messages {
            return None;
        }
        if let Some(newline) = memmem::find(rest, MARKED_LINE) {
            return Some(newline + 1);
        }
        let tail = rest.len().saturating_sub(MARK.len());
        let start = tail + memchr::memrchr(b'\n', &rest[tail..])? + 1;
        (start < rest.len() && MARK.starts_with(&rest[start..])).then_some(start)
    }
}

enum Marked {
    No,
    Undecided,
    Message { json: Vec<u8>, length: usize },
}

/// What the line that `rest` starts with is.
fn marked_line(rest: &[u8]) -> Marked {
    let Some(after) = rest.strip_prefix(MARK) else {
        return if MARK.starts_with(rest) { Marked::Undecided } else { Marked::No };
    };
    match memchr::memchr(b'\n', after) {
        Some(end) => match messages::check(&after[..end]) {
            Ok(json) => Marked::Message { json: json.into_owned(), length: MARK.len() + end + 1 },
            Err(_) => Marked::No,
        },
        None if after.len() > MAX_PROGRAM_MESSAGE_BYTES => Marked::No,
        None => match after.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None | Some(b'{') => Marked::Undecided,
            Some(_) => Marked::No,
        },
    }
}

/// Appends output in entries of at most [`MAX_WRITE_BYTES`], cut between characters.
fn output(mut bytes: Bytes, pieces: &mut Vec<Piece>) {
    while bytes.len() > MAX_WRITE_BYTES {
        let is_inside = |at: usize| bytes[at] & 0xc0 == 0x80;
        let cut = (MAX_WRITE_BYTES - 3..=MAX_WRITE_BYTES)
            .rev()
            .find(|at| !is_inside(*at))
            .unwrap_or(MAX_WRITE_BYTES);
        pieces.push(Piece::Output(bytes.split_to(cut)));
    }
    if !bytes.is_empty() {
        pieces.push(Piece::Output(bytes));
    }
}

/// Length of `bytes` without the start of a UTF-8 character at its end.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let needed = match bytes[at] {
            0x80..=0xbf => continue, // inside a character: look further back
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

    /// Splits `input` given in parts of `size` bytes, everything released at the end; neighbouring output joined.
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
    fn however_it_is_read_the_result_is_the_same() {
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
    fn only_what_may_become_a_message_is_held_back() {
        let hold = |input: &str| {
            let mut splitter = Splitter::new(true);
            let mut pieces = vec![];
            splitter.push(Bytes::copy_from_slice(input.as_bytes()), &mut pieces);
            splitter.hold()
        };
        assert_eq!(hold("name? "), None);
        assert_eq!(hold("a\n- "), None);
        assert_eq!(hold("a\n-"), Some(Hold::Briefly));
        assert_eq!(hold("--MSG-- "), Some(Hold::Briefly));
        assert_eq!(hold("--MSG-- hello"), None);
        let mut splitter = Splitter::new(true);
        splitter.push(Bytes::from_static(&"é".as_bytes()[..1]), &mut vec![]);
        assert_eq!(splitter.hold(), Some(Hold::UntilWhole));
        assert_eq!(hold("--MSG-- {\"msgtype\""), Some(Hold::UntilItsEnd));
    }

    #[test]
    fn a_prompt_that_was_let_go_is_not_the_start_of_a_line() {
        let mut splitter = Splitter::new(true);
        let mut pieces = vec![];
        splitter.push(b"--"[..].into(), &mut pieces);
        splitter.release(&mut pieces);
        splitter.push(b"MSG-- {\"msgtype\":\"x\"}\n"[..].into(), &mut pieces);
        assert_eq!(pieces, [text("--"), text("MSG-- {\"msgtype\":\"x\"}\n")]);
    }

    #[test]
    fn characters_stay_whole_and_entries_small() {
        let input = "a".to_owned() + &"é€😀".repeat(20_000);
        for size in [1000, 4096, 65_536, 300_000] {
            let mut splitter = Splitter::new(false);
            let mut pieces = vec![];
            let parts = input.as_bytes().chunks(size);
            parts.for_each(|part| splitter.push(Bytes::copy_from_slice(part), &mut pieces));
            splitter.release(&mut pieces);
            let mut joined = String::new();
            for piece in pieces {
                let Piece::Output(bytes) = piece else { panic!("no messages here") };
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

    /// Each byte is looked at a few times at most. To look at all that is held back for each byte that comes would take
    /// minutes here.
    #[test]
    fn a_message_that_comes_byte_by_byte_costs_its_length() {
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
    fn the_longest_message_however_it_is_read() {
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
