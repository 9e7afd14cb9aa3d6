//! What must hold of a program's output, its messages and a server's orders whatever bytes they are, and however they are
//! cut. Called by `fuzz/`, and by a test with its seeds. Slow and simple readers stand here beside the ones that are used.
#![allow(clippy::unwrap_used, missing_docs)] // a panic is what says that something does not hold

use std::{io::Write as _, os::unix::net::UnixStream};

use bytes::Bytes;
use livecode_protocol::{
    control::{SupervisorNotice, SupervisorRequest},
    stream::{MAX_PROGRAM_MESSAGE_BYTES, MAX_WRITE_BYTES, RESERVED},
};
use serde_json::Value;

use crate::{
    io::{
        messages::{MessageLines, check, rejection_note},
        splitter::{Hold, Piece, Splitter},
    },
    session::connection::Connection,
};

const MARK: &[u8] = b"--MSG--";

/// The first byte says into how large parts the rest is cut and after how many of them what is held back is let go; the
/// second, how often the rest is repeated.
pub fn splitter(data: &[u8]) {
    let [cuts, times, rest @ ..] = data else { return };
    let printed = rest.repeat(usize::from(times / 8).max(1));
    let size = usize::from(cuts % 32) + 1;
    let release_after = usize::from(cuts / 32); // never, where it is 0
    split(&printed, size, release_after, true);
    split(&printed, size, release_after, false);
    split(&printed, 64 * 1024, 0, true);
}

fn split(printed: &[u8], size: usize, release_after: usize, has_messages: bool) {
    let mut splitter = Splitter::new(has_messages);
    let mut pieces = vec![];
    let mut released = vec![];
    for (index, part) in printed.chunks(size).enumerate() {
        splitter.push(Bytes::copy_from_slice(part), &mut pieces);
        if splitter.hold() == Some(Hold::Briefly) {
            // Nothing but what may yet become a message or a character waits.
            let given: usize = pieces.iter().map(length).sum();
            assert!(has_messages || (index * size + part.len()).saturating_sub(given) <= 3);
        }
        if release_after != 0 && index % release_after == 0 {
            splitter.release(&mut pieces);
            assert_eq!(splitter.hold(), None);
            released.push(index * size + part.len());
        }
    }
    splitter.release(&mut pieces);
    for piece in &pieces {
        match piece {
            Piece::Output(bytes) => {
                assert!((1..=MAX_WRITE_BYTES).contains(&bytes.len()));
                let is_text = std::str::from_utf8(printed).is_ok();
                assert!(!is_text || !released.is_empty() || std::str::from_utf8(bytes).is_ok());
            }
            Piece::Message(json) => is_message(json),
        }
    }
    let expected = split_slowly(printed, &released, has_messages);
    assert!(joined(pieces) == expected, "cut every {size} bytes, released after {released:?}");
}

fn length(piece: &Piece) -> usize {
    match piece {
        Piece::Output(bytes) | Piece::Message(bytes) => bytes.len(),
    }
}

/// Neighbouring output in one; whether each is a message.
fn joined(pieces: Vec<Piece>) -> Vec<(bool, Vec<u8>)> {
    pieces.into_iter().fold(vec![], |mut joined, piece| {
        match (joined.last_mut(), piece) {
            (Some((false, before)), Piece::Output(more)) => before.extend(more),
            (_, Piece::Output(bytes)) => joined.push((false, bytes.into())),
            (_, Piece::Message(json)) => joined.push((true, json.into())),
        }
        joined
    })
}

/// Line by line: one that is a message, and was not let go in the middle, is that message; all else is output.
fn split_slowly(printed: &[u8], released: &[usize], has_messages: bool) -> Vec<(bool, Vec<u8>)> {
    let mut pieces = vec![];
    let mut start = 0;
    for line in printed.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        let is_held = !released.iter().any(|at| start < *at && *at < end);
        let message = line.strip_prefix(MARK).and_then(|line| line.strip_suffix(b"\n"));
        let message = message.filter(|_| has_messages && is_held).and_then(|line| check(line).ok());
        pieces.push(match message {
            Some(json) => Piece::Message(json.into_owned().into()),
            None => Piece::Output(Bytes::copy_from_slice(line)),
        });
        start = end;
    }
    joined(pieces)
}

/// What a program may send: one object on one line, with a name that is not the server's and no number.
fn is_message(json: &[u8]) {
    assert!(json.len() <= MAX_PROGRAM_MESSAGE_BYTES);
    let text = std::str::from_utf8(json).unwrap();
    assert!(!text.contains(['\n', '\r']) && text.starts_with('{') && text.ends_with('}'));
    // It may hold what is no value to us, such as lists that are too deep.
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        assert!(!RESERVED.contains(&value["msgtype"].as_str().unwrap()));
        assert!(value.get("seq").is_none());
    }
    // The server adds the number at the end.
    let numbered = format!("{},\"seq\":7}}", text.strip_suffix('}').unwrap());
    serde_json::from_str::<serde::de::IgnoredAny>(&numbered).unwrap();
    assert_eq!(&*check(json).unwrap(), json);
}

/// The message channel; the first byte says how it is cut.
pub fn message_channel(data: &[u8]) {
    let Some((size, sent)) = data.split_first() else { return };
    let mut lines = MessageLines::default();
    let mut seen = vec![];
    let mut see = |line: Result<&[u8], (crate::io::messages::MessageError, &[u8])>| match line {
        Ok(json) => {
            is_message(json);
            seen.push(Ok(json.to_vec()));
        }
        Err((why, line)) => {
            assert_eq!(rejection_note(&why, line).iter().filter(|byte| **byte == b'\n').count(), 1);
            seen.push(Err(line.to_vec()));
        }
    };
    sent.chunks(usize::from(*size).max(1)).for_each(|part| lines.push(part, &mut see));
    lines.finish(&mut see);
    let expected = sent.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let expected = expected.map(|line| check(line).map(|json| json.into_owned()).map_err(|_| line.to_vec()));
    assert!(seen == expected.collect::<Vec<_>>());
}

/// What a server sends; the first byte says how it is cut.
pub fn connection(data: &[u8]) {
    let Some((size, sent)) = data.split_first() else { return };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut connection = Connection::accept(ours).unwrap();
    let mut heard = vec![];
    let mut is_over = false;
    for part in sent.chunks(usize::from(*size).max(1)) {
        theirs.write_all(part).unwrap();
        match connection.read() {
            Some(requests) => heard.extend(requests),
            None => {
                is_over = true;
                break;
            }
        }
    }
    let lines = sent.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    let lines = lines
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice::<SupervisorRequest>(line).ok());
    let lines: Vec<_> = lines.collect();
    let good: Vec<_> = lines.iter().map_while(Option::as_ref).map(json).collect();
    let heard: Vec<_> = heard.iter().map(json).collect();
    assert_eq!(is_over, good.len() < lines.len());
    assert!(if is_over { good.starts_with(&heard) } else { good == heard });
    // Its answers are lines that it understands.
    let error = String::from_utf8_lossy(sent).into_owned();
    connection.send(&SupervisorNotice::Refused { tag: 1, error, code: None });
    assert!(connection.flush());
}

fn json(request: &SupervisorRequest) -> String {
    serde_json::to_string(request).unwrap()
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    use super::seeds::each_seed;

    #[test]
    fn the_seeds_hold() {
        each_seed("splitter", super::splitter);
        each_seed("message_channel", super::message_channel);
        each_seed("control", super::connection);
    }
}
