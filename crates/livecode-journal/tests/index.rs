//! The index of a journal makes reading from a late entry short, and changes nothing else.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use livecode_journal::{Entry, INDEX_INTERVAL_BYTES, IndexPoint, Kind, Reader, Writer, trim};

const PAYLOAD_BYTES: usize = 50_000;
const ENTRIES: u64 = 100;

/// A closed journal of [`ENTRIES`] entries besides the closing entry, and its folder.
fn journal() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut writer = Writer::create(&path).unwrap();
    for seq in 1..=ENTRIES {
        writer.push(Kind::Stdout, seq, &vec![seq as u8; PAYLOAD_BYTES]);
        let _ = writer.flush();
    }
    writer.finish(1, b"{}").unwrap();
    (folder, path)
}

fn index(path: &Path) -> PathBuf {
    path.with_extension("index")
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// The entry after number `after`, and how many bytes of records had to be skipped to reach it.
fn read_after(path: &Path, after: u64) -> (Entry, u64) {
    let until_bytes = length(path);
    let mut reader = Reader::open(path).unwrap();
    reader.jump_near(after, until_bytes).unwrap();
    let before = reader.remaining_bytes(until_bytes);
    reader.skip_to(after, until_bytes).unwrap();
    let skipped = before - reader.remaining_bytes(until_bytes);
    (reader.read(until_bytes, 1).unwrap().remove(0), skipped)
}

#[test]
fn a_skip_to_any_entry_is_short() {
    let (_folder, path) = journal();
    for after in 0..=ENTRIES {
        let (entry, skipped) = read_after(&path, after);
        assert_eq!(entry.seq, after + 1);
        assert!(skipped <= INDEX_INTERVAL_BYTES + PAYLOAD_BYTES as u64 + 32, "{skipped} bytes were skipped");
    }
}

#[test]
fn a_short_journal_has_no_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut writer = Writer::create(&path).unwrap();
    writer.push(Kind::Stdout, 1, &[0; 100_000]);
    writer.finish(1, b"{}").unwrap();
    assert!(!index(&path).exists());
}

#[test]
fn a_damaged_index_costs_only_time() {
    let (_folder, path) = journal();
    let intact = fs::read(index(&path)).unwrap();
    assert!(intact.len() > 24 * 10);
    let mut versions =
        vec![vec![], vec![0; intact.len()], vec![0xff; 1000], [&intact[..], &[0; 48]].concat()];
    versions.extend((0..intact.len()).map(|at| intact[..at].to_vec()));
    versions.extend((0..intact.len()).map(|at| {
        let mut flipped = intact.clone();
        flipped[at] ^= 4;
        flipped
    }));
    for version in versions {
        fs::write(index(&path), version).unwrap();
        for after in [0, 49, 98, ENTRIES] {
            assert_eq!(read_after(&path, after).0.seq, after + 1);
        }
    }
}

/// A program could fill its output with records, so an index must not lead into the output. The
/// index of an older journal at the same path would.
#[test]
fn the_index_of_another_journal_is_not_used() {
    let (_folder, path) = journal();
    let (_other_folder, other) = journal();
    let foreign = fs::read(index(&path)).unwrap();
    // Both journals have the same entries, except for the time of the first.
    let folder = tempfile::tempdir().unwrap();
    let third = folder.path().join("journal");
    let mut writer = Writer::create(&third).unwrap();
    for seq in 1..=ENTRIES {
        writer.push(Kind::Stdout, seq + 1, &vec![seq as u8; PAYLOAD_BYTES]);
        let _ = writer.flush();
    }
    writer.finish(1, b"{}").unwrap();
    assert!(read_after(&third, 90).1 < 500_000);
    fs::write(index(&third), &foreign).unwrap();
    assert!(read_after(&third, 90).1 > 4_000_000);
    fs::write(index(&other), foreign).unwrap();
    assert!(read_after(&other, 90).1 < 500_000, "the same journal again has the same index");
}

#[test]
fn a_damaged_record_at_the_indexed_place_is_not_read() {
    let (_folder, path) = journal();
    let mut file = fs::read(&path).unwrap();
    for at in 90..=ENTRIES as usize {
        file[16 + at * (PAYLOAD_BYTES + 32) - 1] ^= 1; // the last byte of entry `at`
    }
    fs::write(&path, file).unwrap();
    let until_bytes = length(&path);
    let mut reader = Reader::open(&path).unwrap();
    reader.jump_near(95, until_bytes).unwrap();
    assert!((1..90).contains(&reader.last_seq()), "{}", reader.last_seq());
    assert!(reader.skip_to(95, until_bytes).is_err());
}

#[test]
fn a_trimmed_journal_has_no_index() {
    let (_folder, path) = journal();
    let stale = fs::read(index(&path)).unwrap();
    trim(&path).unwrap();
    assert!(!index(&path).exists());
    // The index may come back from a machine's crash.
    fs::write(index(&path), stale).unwrap();
    assert_eq!(read_after(&path, 50).0.seq, ENTRIES + 1);
}

/// Without an index, a reader can remember what it saw on its way.
#[test]
fn places_seen_during_a_skip_serve_later_readers() {
    let (_folder, path) = journal();
    fs::remove_file(index(&path)).unwrap();
    let until_bytes = length(&path);
    let mut reader = Reader::open(&path).unwrap();
    let mut points: Vec<IndexPoint> = vec![];
    let mut rounds = 0;
    while !reader.skip_some(90, until_bytes, 1_000_000, |point| points.push(point)).unwrap() {
        rounds += 1;
    }
    assert!(rounds >= 4 && points.len() >= 8, "{rounds}, {points:?}");
    let mut later = Reader::open(&path).unwrap();
    let wrong = IndexPoint { seq: points[3].seq + 1, ..points[3] };
    assert!(!later.jump_to(wrong, until_bytes).unwrap());
    assert!(later.jump_to(points[3], until_bytes).unwrap());
    assert_eq!(later.read(until_bytes, 1).unwrap()[0].seq, points[3].seq);
    assert!(!later.jump_to(points[2], until_bytes).unwrap(), "a jump never goes back");
}

#[test]
fn a_large_message_is_read_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut writer = Writer::create(&path).unwrap();
    let payload: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    writer.push(Kind::Stdout, 1, b"before");
    writer.push(Kind::Message, 1, &payload);
    writer.push(Kind::Message, 1, b"{}");
    let _ = writer.flush();
    let until_bytes = writer.written_bytes();
    let mut reader = Reader::open(&path).unwrap();
    assert!(reader.large_message(until_bytes, 1000).unwrap().is_none());
    let seqs = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.seq).collect::<Vec<_>>();
    assert_eq!(seqs(reader.read_small(until_bytes, usize::MAX, 1000).unwrap()), [1]);
    assert_eq!(seqs(reader.read_small(until_bytes, usize::MAX, 1000).unwrap()), []);
    let message = reader.large_message(until_bytes, 1000).unwrap().unwrap();
    assert_eq!((message.seq, message.bytes), (2, payload.len()));
    assert_eq!(seqs(reader.read_small(until_bytes, usize::MAX, 1000).unwrap()), [3]);
    let mut read = vec![];
    while read.len() < message.bytes {
        read.extend(message.read_at(read.len(), 70_000).unwrap());
    }
    assert!(read == payload);

    let mut file = fs::read(&path).unwrap();
    file[2_000_000] ^= 1;
    fs::write(&path, file).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(seqs(reader.read_small(until_bytes, usize::MAX, 1000).unwrap()), [1]);
    assert!(reader.large_message(until_bytes, 1000).is_err());
}
