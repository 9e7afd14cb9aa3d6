//! Properties of a journal that hold for every sequence of bytes in its file and in its index. The
//! fuzz targets in `fuzz/` check them, and so does a test with the seeds of the fuzz targets.
#![allow(clippy::unwrap_used, missing_docs)] // a panic reports a property that does not hold

use std::{fs, path::Path};

use crate::{
    format::{CLOSED_HEADER, EXIT_RECORD_BYTES, HEADER, HEADER_BYTES, RECORD_HEADER_BYTES, TRIMMED_BYTES},
    index::{IndexPoint, index_path, write_index},
    reader::{ReadError, Reader, closing_entry},
    record::{Entry, Kind, fix_checksum},
    recover::{CloseResult, close_abandoned, intact_prefix},
    writer::{Writer, trim},
};

const LOST: &[u8] = br#"{"exitstatus":255,"outcome":"lost","started_us":0,"ended_us":7}"#;

/// Checks one journal. The first byte of `data` selects the meaning of the other bytes: a complete
/// file, the records of an open or a closed journal whose checksums are to be fixed, or a script
/// that writes a journal and then damages it.
pub fn journal(folder: &Path, data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let path = folder.join("journal");
    let _ = fs::remove_file(&path);
    let _ = fs::remove_file(index_path(&path));
    match first % 4 {
        0 => fs::write(&path, rest).unwrap(),
        1 => fs::write(&path, with_fixed_checksums(&HEADER, rest)).unwrap(),
        2 => fs::write(&path, with_fixed_checksums(&CLOSED_HEADER, rest)).unwrap(),
        _ => {
            let written = write_and_damage(&path, rest);
            let (read, _) = read_all(&path, 0, 1);
            assert!(written.starts_with(&read), "an entry was read that was never written");
        }
    }
    check(&path);
}

/// Joins header and records and fixes the checksum of each record, up to the first bytes that are
/// not a record.
fn with_fixed_checksums(header: &[u8], records: &[u8]) -> Vec<u8> {
    let mut file = [header, records].concat();
    let mut at = header.len();
    while let Some(length) = fix_checksum(&mut file[at..]) {
        at += length;
    }
    file
}

/// Writes a journal and damages it, as the script says. Returns the entries that were written.
fn write_and_damage(path: &Path, script: &[u8]) -> Vec<Entry> {
    let (count, script) = script.split_first().map_or((0, script), |(count, rest)| (count % 8, rest));
    let mut writer = Writer::create(path).unwrap();
    let mut steps = script.chunks_exact(3);
    for (step, index) in steps.by_ref().take(count.into()).zip(0..) {
        let kind =
            [Kind::Stdout, Kind::Stderr, Kind::Message, Kind::CompilerOutput][usize::from(step[0] % 4)];
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
    check_index(path, &written, steps.clone());
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

/// Gives the journal an index whose entries are valid, but right or wrong as the steps say, and
/// checks that readers get the entries that were written wherever they start.
fn check_index<'s>(path: &Path, written: &[Entry], steps: impl Iterator<Item = &'s [u8]>) {
    let length = fs::metadata(path).unwrap().len();
    let mut offset = HEADER_BYTES;
    let right = written.iter().map(|entry| {
        let point = IndexPoint { seq: entry.seq, offset };
        offset += (RECORD_HEADER_BYTES + entry.data.len()) as u64;
        point
    });
    let right: Vec<_> = right.collect();
    let points: Vec<_> = steps
        .map(|step| match right.get(usize::from(step[0])) {
            Some(point) => *point,
            None => {
                let at = u64::from(u16::from_le_bytes([step[0], step[1]]));
                IndexPoint { seq: u64::from(step[2] % 16), offset: at % (length + 9) }
            }
        })
        .collect();
    if right.is_empty() {
        return;
    }
    write_index(path, &points).unwrap();
    for after in 0..=written.len() as u64 + 1 {
        let (read, is_damaged) = read_all(path, after, 1);
        assert!(!is_damaged, "the index led to a wrong place");
        assert!(read.iter().eq(written.iter().filter(|entry| entry.seq > after)));
    }
}

/// Reads all valid entries after number `after`. Returns them and whether other bytes follow them.
fn read_all(path: &Path, after: u64, max_bytes: usize) -> (Vec<Entry>, bool) {
    let until_bytes = fs::metadata(path).unwrap().len();
    let mut all = vec![];
    let mut read = || -> Result<(), ReadError> {
        let mut reader = Reader::open(path)?;
        reader.jump_near(after, until_bytes)?;
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
    let (intact_bytes, last_seq) = intact_prefix(path).unwrap();
    assert!(intact_bytes <= file.len() as u64 && (intact_bytes == 0 || intact_bytes >= HEADER_BYTES));
    let (mut before, _) = read_all(path, 0, 1);
    // Entries after an exit entry do not count, and neither does an exit entry unless the header
    // says that the journal is closed.
    if let Some(exit) = before.iter().position(|entry| entry.kind == Kind::Exit) {
        before.truncate(exit + usize::from(file.starts_with(&CLOSED_HEADER)));
    }
    assert_eq!(before.last().map_or(0, |entry| entry.seq), last_seq);
    assert!(before.is_sorted_by(|a, b| a.seq < b.seq));
    let bytes: usize = before.iter().map(|entry| RECORD_HEADER_BYTES + entry.data.len()).sum();
    assert!(before.is_empty() || bytes as u64 + HEADER_BYTES == intact_bytes);
    for after in [1, last_seq / 2, last_seq.saturating_sub(1), last_seq] {
        let (rest, _) = read_all(path, after, 1000);
        let expected = before.iter().filter(|entry| entry.seq > after);
        assert!(rest.iter().zip(expected).all(|(a, b)| a == b), "other entries are read after {after}");
    }

    let closing_before = closing_entry(path).unwrap();
    let result = close_abandoned(path, 7, LOST).unwrap();
    let closing = closing_entry(path).unwrap().expect("a recovered journal has a closing entry");
    let recovered = fs::read(path).unwrap();
    if closing_before.is_some() {
        assert_eq!(result, CloseResult::AlreadyClosed);
        assert!(closing_before.as_ref() == Some(&closing) && recovered == file);
    } else {
        let (after, is_damaged) = read_all(path, 0, usize::MAX);
        assert!(!is_damaged);
        let (last, others) = after.split_last().unwrap();
        assert_eq!((last.kind, last.seq), (Kind::Exit, closing.seq));
        let had_exit = before.last().is_some_and(|entry| entry.kind == Kind::Exit);
        assert_eq!(result, if had_exit { CloseResult::AlreadyClosed } else { CloseResult::ClosedNow });
        assert!(
            others == &before[..before.len() - usize::from(had_exit)],
            "recovery changed the entries before the closing entry"
        );
    }
    assert_eq!(close_abandoned(path, 8, b"{}").unwrap(), CloseResult::AlreadyClosed);
    assert!(fs::read(path).unwrap() == recovered, "the second recovery changed the journal");

    trim(path).unwrap();
    assert_eq!(closing_entry(path).unwrap(), Some(closing));
    assert_eq!(fs::metadata(path).unwrap().len(), TRIMMED_BYTES);
    assert!(!index_path(path).exists());
    let (read, is_damaged) = read_all(path, 0, EXIT_RECORD_BYTES);
    assert_eq!((read.len(), is_damaged), (1, false));
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn any_script_passes(script in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let folder = tempfile::tempdir().unwrap();
            super::journal(folder.path(), &[&[3], &script[..]].concat());
        }
    }

    #[test]
    fn every_seed_passes() {
        let folder = tempfile::tempdir().unwrap();
        super::seeds::for_each_seed("journal", |data| super::journal(folder.path(), data));
    }
}
