//! Properties of the parsers of a program's output, its messages and a server's requests that
//! hold for every sequence of bytes and for every division of it into reads. The parsers are
//! compared with slow and simple ones in this file. The fuzz targets in `fuzz/` check the
//! properties, and so does a test with the seeds of the fuzz targets.
#![allow(clippy::unwrap_used, missing_docs)] // a panic reports a property that does not hold

use std::{io::Write as _, os::unix::net::UnixStream};

use bytes::Bytes;
use livecode_protocol::{
    FileName,
    control::{SupervisorNotice, SupervisorRequest},
    stream::{MAX_PROGRAM_MESSAGE_BYTES, MAX_WRITE_BYTES, RESERVED},
};
use serde_json::Value;

use crate::{
    diagnostics::Diagnostics,
    io::{
        messages::{MessageError, MessageLines, rejection_note, validate},
        splitter::{Hold, Piece, Splitter},
    },
    session::connection::Connection,
};

const MARKER: &[u8] = b"--MSG--";

/// Checks the splitter. The first byte of `data` selects the size of the reads and the number of
/// reads after which held bytes are released. The second byte selects how often the other bytes
/// are repeated.
pub fn splitter(data: &[u8]) {
    let [first, repeat, rest @ ..] = data else { return };
    let printed = rest.repeat(usize::from(repeat / 8).max(1));
    let size = usize::from(first % 32) + 1;
    let release_after = usize::from(first / 32); // 0 means never
    check_split(&printed, size, release_after, true);
    check_split(&printed, size, release_after, false);
    check_split(&printed, 64 * 1024, 0, true);
}

fn check_split(printed: &[u8], size: usize, release_after: usize, has_messages: bool) {
    let mut splitter = Splitter::new(has_messages);
    let mut pieces = vec![];
    let mut releases = vec![]; // positions at which held bytes were released
    for (index, part) in printed.chunks(size).enumerate() {
        splitter.push(Bytes::copy_from_slice(part), &mut pieces);
        if splitter.hold() == Some(Hold::Marker) {
            // Only bytes that may still become a message or a character are held back.
            let released_bytes: usize = pieces.iter().map(length).sum();
            assert!(has_messages || (index * size + part.len()).saturating_sub(released_bytes) <= 3);
        }
        if release_after != 0 && index % release_after == 0 {
            splitter.release(&mut pieces);
            assert_eq!(splitter.hold(), None);
            releases.push(index * size + part.len());
        }
    }
    splitter.release(&mut pieces);
    for piece in &pieces {
        match piece {
            Piece::Output(bytes) => {
                assert!((1..=MAX_WRITE_BYTES).contains(&bytes.len()));
                let is_text = std::str::from_utf8(printed).is_ok();
                assert!(!is_text || !releases.is_empty() || std::str::from_utf8(bytes).is_ok());
            }
            Piece::Message(json) => check_message(json),
        }
    }
    let expected = split_slowly(printed, &releases, has_messages);
    assert!(joined(pieces) == expected, "reads of {size} bytes, released after {releases:?}");
}

fn length(piece: &Piece) -> usize {
    match piece {
        Piece::Output(bytes) | Piece::Message(bytes) => bytes.len(),
    }
}

/// Joins neighbouring pieces of output. Returns each piece with whether it is a message.
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

/// Splits line by line: a line is a message if it contains a valid one and was not released in its
/// middle. Every other line is output.
fn split_slowly(printed: &[u8], releases: &[usize], has_messages: bool) -> Vec<(bool, Vec<u8>)> {
    let mut pieces = vec![];
    let mut start = 0;
    for line in printed.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        let is_held = !releases.iter().any(|at| start < *at && *at < end);
        let message = line.strip_prefix(MARKER).and_then(|line| line.strip_suffix(b"\n"));
        let message = message.filter(|_| has_messages && is_held).and_then(|line| validate(line).ok());
        pieces.push(match message {
            Some(json) => Piece::Message(json.into_owned().into()),
            None => Piece::Output(Bytes::copy_from_slice(line)),
        });
        start = end;
    }
    joined(pieces)
}

/// Checks that `json` is a message that a program may send: one object on one line, with a name
/// that is not reserved for the server and without a number.
fn check_message(json: &[u8]) {
    assert!(json.len() <= MAX_PROGRAM_MESSAGE_BYTES);
    let text = std::str::from_utf8(json).unwrap();
    assert!(!text.contains(['\n', '\r']) && text.starts_with('{') && text.ends_with('}'));
    // A valid message may be rejected here, for example because its lists are nested too deeply.
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        assert!(!RESERVED.contains(&value["msgtype"].as_str().unwrap()));
        assert!(value.get("seq").is_none());
    }
    // The server appends the number of the entry to the object.
    let numbered = format!("{},\"seq\":7}}", text.strip_suffix('}').unwrap());
    serde_json::from_str::<serde::de::IgnoredAny>(&numbered).unwrap();
    assert_eq!(&*validate(json).unwrap(), json);
}

/// Checks the message channel. The first byte of `data` selects the size of the reads.
pub fn message_channel(data: &[u8]) {
    let Some((size, sent)) = data.split_first() else { return };
    let mut lines = MessageLines::default();
    let mut results = vec![];
    let mut check_line = |line: Result<&[u8], (MessageError, &[u8])>| match line {
        Ok(json) => {
            check_message(json);
            results.push(Ok(json.to_vec()));
        }
        Err((why, line)) => {
            assert_eq!(rejection_note(&why, line).iter().filter(|byte| **byte == b'\n').count(), 1);
            results.push(Err(line.trim_ascii_start().to_vec()));
        }
    };
    sent.chunks(usize::from(*size).max(1)).for_each(|part| lines.push(part, &mut check_line));
    lines.finish(&mut check_line);
    let expected = sent.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let expected = expected.map(|line| {
        validate(line).map(|json| json.into_owned()).map_err(|_| line.trim_ascii_start().to_vec())
    });
    assert!(results == expected.collect::<Vec<_>>());
}

/// Checks what is found in standard error. The first byte of `data` selects the size of the reads.
pub fn diagnostics(data: &[u8]) {
    let Some((size, written)) = data.split_first() else { return };
    let names = ["main.py", "main.c", "main.rs", "main.go", "Main.java", "main.js", "a/b.c"];
    let names = names.map(|name| name.parse::<FileName>().unwrap());
    let found = |size: usize| {
        let mut diagnostics = Diagnostics::new(names.iter());
        let parts = written.chunks(size).map(|part| diagnostics.read(part));
        let mut messages: Vec<Bytes> = parts.collect::<Vec<_>>().concat();
        messages.extend(diagnostics.finish());
        messages
    };
    let messages = found(usize::from(*size).max(1));
    assert!(messages == found(written.len().max(1)), "the reads make a difference");
    assert!(messages.len() <= 100);
    for message in messages {
        let message: Value = serde_json::from_slice(&message).unwrap();
        assert!(names.iter().any(|name| message["file"] == name.to_string()));
        assert!(message["line"].as_u64().unwrap() > 0 && message["column"] != 0);
        assert!(message["message"].as_str().unwrap().len() <= 1000);
    }
}

/// Checks the requests of a server. The first byte of `data` selects the size of the server's
/// writes.
pub fn connection(data: &[u8]) {
    let Some((size, sent)) = data.split_first() else { return };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut connection = Connection::accept(ours).unwrap();
    let mut requests = vec![];
    let mut is_over = false;
    for part in sent.chunks(usize::from(*size).max(1)) {
        theirs.write_all(part).unwrap();
        match connection.read() {
            Some(read) => requests.extend(read),
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
    let requests: Vec<_> = requests.iter().map(json).collect();
    assert_eq!(is_over, good.len() < lines.len());
    assert!(if is_over { good.starts_with(&requests) } else { good == requests });
    // The connection must accept and send an answer.
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
    use super::seeds::for_each_seed;

    #[test]
    fn every_seed_passes() {
        for_each_seed("splitter", super::splitter);
        for_each_seed("message_channel", super::message_channel);
        for_each_seed("control", super::connection);
        for_each_seed("diagnostics", super::diagnostics);
    }
}
