//! Tests the journal as its users see it: real files are written, read, cut and damaged.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use livecode_journal::{
    CloseResult, EXIT_RECORD_BYTES, Entry, FlushResult, HEADER_BYTES, Kind, ReadError, Reader, Writer,
    close_abandoned, closing_entry, intact_prefix,
};
use proptest::prelude::*;

const KINDS: [Kind; 3] = [Kind::Stdout, Kind::Stderr, Kind::Message];

fn write(path: &Path, payloads: &[Vec<u8>]) -> Writer {
    let mut writer = Writer::create(path).unwrap();
    for (index, payload) in payloads.iter().enumerate() {
        writer.push(KINDS[index % 3], index as u64, payload);
        if index % 2 == 1 {
            assert_eq!(writer.flush(), FlushResult::Written);
        }
    }
    assert_eq!(writer.flush(), FlushResult::Written);
    writer
}

fn read_all(path: &Path, until_bytes: u64) -> Result<Vec<Entry>, ReadError> {
    let mut reader = Reader::open(path)?;
    let mut all = vec![];
    loop {
        let entries = reader.read(until_bytes, 1000)?;
        if entries.is_empty() {
            return Ok(all);
        }
        all.extend(entries);
    }
}

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)
}

#[test]
fn written_entries_are_read_and_the_file_ends_after_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let payloads: Vec<Vec<u8>> = (0..100).map(|n| vec![n as u8; n * 7]).collect();
    let writer = write(&path, &payloads);
    let bytes = writer.finish(7, br#"{"exitstatus":0}"#).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), bytes);

    let entries = read_all(&path, bytes).unwrap();
    assert_eq!(entries.len(), 101);
    for (index, entry) in entries[..100].iter().enumerate() {
        assert_eq!(
            (entry.seq, entry.kind, &*entry.data),
            (index as u64 + 1, KINDS[index % 3], &*payloads[index])
        );
    }
    let last = closing_entry(&path).unwrap().unwrap();
    assert_eq!((last.seq, last.kind, &*last.data), (101, Kind::Exit, &br#"{"exitstatus":0}"#[..]));
    assert_eq!(close_abandoned(&path, 0, b"{}").unwrap(), CloseResult::AlreadyClosed);
}

#[test]
fn the_journal_of_a_living_writer_is_not_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let writer = write(&path, &[b"a".to_vec()]);
    assert_eq!(close_abandoned(&path, 0, b"{}").unwrap(), CloseResult::WriterAlive);
    assert!(closing_entry(&path).unwrap().is_none());
    assert!(Writer::create(&path).is_err());
    drop(writer);
    assert_eq!(close_abandoned(&path, 0, b"{}").unwrap(), CloseResult::ClosedNow);
    assert_eq!(closing_entry(&path).unwrap().unwrap().seq, 2);
}

#[test]
fn a_missing_journal_is_created_with_a_closing_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    assert_eq!(close_abandoned(&path, 5, b"{}").unwrap(), CloseResult::ClosedNow);
    assert_eq!(closing_entry(&path).unwrap().unwrap().seq, 1);
}

#[test]
fn an_entry_larger_than_the_read_buffer_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let payloads = [vec![1], vec![2; 4 * 1024 * 1024], vec![3]];
    let writer = write(&path, &payloads);
    let entries = read_all(&path, writer.written_bytes()).unwrap();
    assert!(entries.iter().map(|entry| &entry.data).eq(&payloads));
    let mut reader = Reader::open(&path).unwrap();
    reader.skip_to(2, writer.written_bytes()).unwrap();
    assert_eq!(reader.read(writer.written_bytes(), 1).unwrap()[0].seq, 3);
}

/// Tests a full file system. The test starts itself again in a mount namespace of its own, in
/// which a tmpfs is too small for the entries.
#[test]
fn a_full_disk_drops_entries_but_not_the_closing_entry() {
    if let Some(folder) = std::env::var_os("SMALL_DISK") {
        return on_a_small_disk(folder.as_ref());
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=400k tmpfs \"$1\" && exec \"$2\" --exact \"$3\"";
    let status = std::process::Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script, "sh"])
        .args([folder.path().as_os_str(), std::env::current_exe().unwrap().as_os_str()])
        .arg("a_full_disk_drops_entries_but_not_the_closing_entry")
        .env("SMALL_DISK", folder.path())
        .status()
        .unwrap();
    assert!(status.success());
}

fn on_a_small_disk(folder: &Path) {
    let path = folder.join("journal");
    let mut writer = Writer::create(&path).unwrap();
    let mut dropped = None;
    for _ in 0..20 {
        writer.push(Kind::Stdout, 0, &vec![b'x'; 32 * 1024]);
        if let FlushResult::Dropped { from, to } = writer.flush() {
            assert_eq!(from, to);
            dropped.get_or_insert(from);
        }
    }
    // Another file takes all the room that is left in the file system.
    let filler = folder.join("filler");
    while fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&filler)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &[0; 4096]))
        .is_ok()
    {}
    writer.push(Kind::Stdout, 0, &vec![b'y'; 32 * 1024]);
    assert!(matches!(writer.flush(), FlushResult::Dropped { .. }));
    let entries = writer.last_seq();
    let bytes = writer.finish(0, b"{\"exitstatus\":0}").unwrap();
    let read = read_all(&path, bytes).unwrap();
    let (last, before) = read.split_last().unwrap();
    assert_eq!(last.seq, entries + 1);
    assert_eq!(before.last().unwrap().seq, dropped.unwrap() - 1);
    assert!(Writer::create(&folder.join("another")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn entries_keep_their_numbers_wherever_reading_starts(payloads in payloads(), after in 0u64..25) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let bytes = write(&path, &payloads).finish(0, b"{}").unwrap();
        let all = read_all(&path, bytes).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        reader.skip_to(after, bytes).unwrap();
        let rest = reader.read(bytes, usize::MAX).unwrap();
        prop_assert!(rest.iter().eq(all.iter().filter(|entry| entry.seq > after)));
    }

    #[test]
    fn a_flipped_bit_never_becomes_an_entry(payloads in payloads(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let bytes = write(&path, &payloads).finish(0, b"{}").unwrap();
        let original = read_all(&path, bytes).unwrap();
        let mut damaged = fs::read(&path).unwrap();
        let at = at.index(damaged.len());
        damaged[at] ^= 1 << bit;
        fs::write(&path, &damaged).unwrap();
        // The entries that can be read are a prefix of the written ones. An error follows, never
        // garbage.
        let (intact_bytes, last_seq) = intact_prefix(&path).unwrap();
        prop_assert!(intact_bytes <= at as u64);
        let prefix = if intact_bytes == 0 { vec![] } else { read_all(&path, intact_bytes).unwrap() };
        prop_assert_eq!(last_seq, prefix.len() as u64);
        prop_assert!(original.starts_with(&prefix));
        prop_assert!(read_all(&path, bytes).is_err());
    }
}

#[test]
fn a_journal_cut_anywhere_keeps_its_longest_prefix_of_whole_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let payloads: Vec<Vec<u8>> = (0..12).map(|n| vec![n as u8; n * 5]).collect();
    let bytes = write(&path, &payloads).finish(0, b"{}").unwrap();
    let recorded = fs::read(&path).unwrap();
    let original = read_all(&path, bytes).unwrap();
    let mut ends = vec![HEADER_BYTES];
    for entry in &original {
        ends.push(ends.last().unwrap() + 32 + entry.data.len() as u64);
    }
    for cut in 0..=recorded.len() {
        fs::write(&path, &recorded[..cut]).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut as u64).count().saturating_sub(1);
        let expected = if cut < HEADER_BYTES as usize { 0 } else { ends[whole] };
        assert_eq!(intact_prefix(&path).unwrap(), (expected, whole as u64), "cut at {cut}");

        let closed = close_abandoned(&path, 0, b"{\"lost\":true}").unwrap();
        assert_eq!(closed == CloseResult::AlreadyClosed, cut == recorded.len());
        let end = closing_entry(&path).unwrap().unwrap();
        let length = fs::metadata(&path).unwrap().len();
        let read = read_all(&path, length).unwrap();
        assert_eq!(read.len(), (whole + 1).min(original.len()));
        assert_eq!(read.last().unwrap().seq, end.seq);
        assert!(read[..whole.min(read.len() - 1)] == original[..whole.min(read.len() - 1)]);
    }
}

/// The checksum is not a secret, so a program can print bytes that look like an exit record.
#[test]
fn a_program_cannot_forge_its_closing_entry() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    let bytes = Writer::create(&other).unwrap().finish(0, b"{\"exitstatus\":0}").unwrap();
    let forged = fs::read(&other).unwrap().split_off(bytes as usize - EXIT_RECORD_BYTES);

    let path = folder.path().join("journal");
    let writer = write(&path, &[forged]);
    assert_eq!(closing_entry(&path).unwrap(), None);
    drop(writer);
    assert_eq!(closing_entry(&path).unwrap(), None);
    assert_eq!(close_abandoned(&path, 0, b"{\"lost\":true}").unwrap(), CloseResult::ClosedNow);
    assert_eq!(closing_entry(&path).unwrap().unwrap().data, &b"{\"lost\":true}"[..]);
}

#[test]
fn a_flipped_bit_in_the_file_header_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    write(&path, &[b"a".to_vec()]).finish(0, b"{}").unwrap();
    let recorded = fs::read(&path).unwrap();
    for bit in 0..HEADER_BYTES as usize * 8 {
        let mut damaged = recorded.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &damaged).unwrap();
        assert!(matches!(Reader::open(&path), Err(ReadError::Corrupt { offset: 0, .. })), "bit {bit}");
        assert_eq!(closing_entry(&path).unwrap(), None);
    }
}
