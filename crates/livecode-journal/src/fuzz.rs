//! What must hold of a journal whatever bytes it consists of. Called by `fuzz/`, and by a test with its seeds.
#![allow(clippy::unwrap_used, missing_docs)] // a panic is what says that something does not hold

use std::{fs, path::Path};

use crate::{
    Closed, EXIT_RECORD_BYTES, Entry, HEADER_BYTES, Kind, RECORD_HEADER_BYTES, ReadError, Reader,
    TRIMMED_BYTES, Writer, close_abandoned, ending,
    record::{CLOSED_HEADER, HEADER, mend},
    trim, whole_bytes,
};

const LOST: &[u8] = br#"{"exitstatus":255,"outcome":"lost","started_us":0,"ended_us":7}"#;

/// The first byte says what the rest is: a journal as it stands; one that lacks its header and has wrong checksums, open or
/// closed; or what to write into a real one, and then to do to it.
pub fn journal(folder: &Path, data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let path = folder.join("journal");
    let _ = fs::remove_file(&path);
    match first % 4 {
        0 => fs::write(&path, rest).unwrap(),
        1 => fs::write(&path, mended(&HEADER, rest)).unwrap(),
        2 => fs::write(&path, mended(&CLOSED_HEADER, rest)).unwrap(),
        _ => {
            let written = real(&path, rest);
            let (read, _) = read_all(&path, 0, 1);
            assert!(written.starts_with(&read), "what is read was never written");
        }
    }
    check(&path);
}

/// Lets whatever looks like records pass the checksums.
fn mended(header: &[u8], records: &[u8]) -> Vec<u8> {
    let mut file = [header, records].concat();
    let mut at = header.len();
    while let Some(length) = mend(&mut file[at..]) {
        at += length;
    }
    file
}

/// Writes a journal and damages it. Returns what was written.
fn real(path: &Path, script: &[u8]) -> Vec<Entry> {
    let (count, script) = script.split_first().map_or((0, script), |(count, rest)| (count % 8, rest));
    let mut writer = Writer::create(path).unwrap();
    let mut steps = script.chunks_exact(3);
    for (step, index) in steps.by_ref().take(count.into()).zip(0..) {
        let kind = [Kind::Stdout, Kind::Stderr, Kind::Message][usize::from(step[0] % 3)];
        writer.push(kind, index, &vec![step[1]; usize::from(step[2]) * usize::from(step[0] / 64 + 1)]);
        if step[0] & 4 != 0 {
            let _ = writer.flush();
        }
    }
    let _ = writer.flush();
    match count % 2 {
        0 => drop(writer),
        _ => drop(writer.finish(99, b"{}").unwrap()),
    }
    let (written, is_damaged) = read_all(path, 0, usize::MAX);
    assert!(!is_damaged);
    let mut file = fs::read(path).unwrap();
    for step in steps {
        let at = usize::from(u16::from_le_bytes([step[0], step[1]])) % (file.len() + 1);
        match (step[2] % 4, file.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << (step[2] / 4 % 8),
            (1, Some(byte)) => *byte = step[2],
            (2, _) => file.truncate(at),
            _ => file.resize(file.len() + usize::from(step[2]), 0),
        }
    }
    fs::write(path, file).unwrap();
    written
}

/// All that can be read after number `after`, and whether something that is no record follows.
fn read_all(path: &Path, after: u64, max_bytes: usize) -> (Vec<Entry>, bool) {
    let until_bytes = fs::metadata(path).unwrap().len();
    let mut all = vec![];
    let mut read = || -> Result<(), ReadError> {
        let mut reader = Reader::open(path)?;
        reader.skip_to(after, until_bytes)?;
        loop {
            let entries = reader.read(until_bytes, max_bytes)?;
            if entries.is_empty() {
                return Ok(());
            }
            all.extend(entries);
        }
    };
    let is_damaged = match read() {
        Ok(()) => false,
        Err(ReadError::Corrupt { .. }) => true,
        Err(error) => panic!("{error}"),
    };
    (all, is_damaged)
}

fn check(path: &Path) {
    let file = fs::read(path).unwrap();
    let (whole, last_seq) = whole_bytes(path).unwrap();
    assert!(whole <= file.len() as u64 && (whole == 0 || whole >= HEADER_BYTES));
    let (mut before, _) = read_all(path, 0, 1);
    // Nothing follows the exit entry.
    if let Some(exit) = before.iter().position(|entry| entry.kind == Kind::Exit) {
        before.truncate(exit + 1);
    }
    assert_eq!(before.last().map_or(0, |entry| entry.seq), last_seq);
    assert!(before.is_sorted_by(|a, b| a.seq < b.seq));
    let bytes: usize = before.iter().map(|entry| RECORD_HEADER_BYTES + entry.data.len()).sum();
    assert!(before.is_empty() || bytes as u64 + HEADER_BYTES == whole);
    for after in [1, last_seq / 2, last_seq.saturating_sub(1), last_seq] {
        let (rest, _) = read_all(path, after, 1000);
        let expected = before.iter().filter(|entry| entry.seq > after);
        assert!(rest.iter().zip(expected).all(|(a, b)| a == b), "numbers are not the same from {after}");
    }

    let had_end = ending(path).unwrap();
    let closed = close_abandoned(path, 7, LOST).unwrap();
    let end = ending(path).unwrap().expect("a recovered journal says how it ended");
    let recovered = fs::read(path).unwrap();
    if had_end.is_some() {
        assert!(closed == Closed::Already && had_end.as_ref() == Some(&end) && recovered == file);
    } else {
        let (after, is_damaged) = read_all(path, 0, usize::MAX);
        assert!(!is_damaged);
        let (last, others) = after.split_last().unwrap();
        assert_eq!((last.kind, last.seq), (Kind::Exit, end.seq));
        let was_closed = before.last().is_some_and(|entry| entry.kind == Kind::Exit);
        assert_eq!(closed, if was_closed { Closed::Already } else { Closed::Now });
        assert!(others == &before[..before.len() - usize::from(was_closed)], "recovery changed what is read");
    }
    assert_eq!(close_abandoned(path, 8, b"{}").unwrap(), Closed::Already);
    assert!(fs::read(path).unwrap() == recovered, "recovering twice is not the same as once");

    trim(path).unwrap();
    assert_eq!(ending(path).unwrap(), Some(end));
    assert_eq!(fs::metadata(path).unwrap().len(), TRIMMED_BYTES);
    let (read, is_damaged) = read_all(path, 0, EXIT_RECORD_BYTES);
    assert_eq!((read.len(), is_damaged), (1, false));
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_hold() {
        let folder = tempfile::tempdir().unwrap();
        super::seeds::each_seed("journal", |data| super::journal(folder.path(), data));
    }
}
