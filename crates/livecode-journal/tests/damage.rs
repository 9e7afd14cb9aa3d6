//! Cuts and damages journals in every possible way, one after the other. A reader must get the
//! longest prefix of whole entries, and recovery must leave a journal with a closing entry.
//!
//! This file builds the journals itself from the documented format. It does not use the crate's
//! writer, so that the journals can have gaps.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use livecode_journal::{
    CloseResult, EXIT_RECORD_BYTES, Entry, HEADER_BYTES, Kind, RECORD_HEADER_BYTES, ReadError, Reader,
    Writer, close_abandoned, closing_entry, intact_prefix, trim,
};

const OPEN: &[u8] = b"LCJOURNL\x01\0\0\0\0\0\0\0";
const DONE: &[u8] = b"LCJOURNL\x01\0\0\0DONE";
const LOST: &[u8] = br#"{"exitstatus":255,"outcome":"lost"}"#;
const EXITED: &[u8] = br#"{"exitstatus":0,"outcome":"exited"}"#;

fn record(entry: &Entry) -> Vec<u8> {
    let mut bytes = (entry.data.len() as u32).to_le_bytes().to_vec();
    let mut checked = bytes.clone();
    checked.extend(entry.seq.to_le_bytes());
    checked.extend(entry.time_us.to_le_bytes());
    checked.extend([entry.kind as u8, 0, 0, 0, 0, 0, 0, 0]);
    checked.extend(&entry.data);
    bytes.extend(crc32c::crc32c(&checked).to_le_bytes());
    bytes.extend(&checked[4..]);
    bytes
}

fn exit(seq: u64, json: &[u8]) -> Entry {
    let mut data = json.to_vec();
    data.resize(EXIT_RECORD_BYTES - RECORD_HEADER_BYTES, b' ');
    Entry { seq, time_us: 99, kind: Kind::Exit, data: data.into() }
}

/// The state in which the writer left the journal.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The writer died before it wrote a closing entry.
    None,
    /// The writer died between the closing entry and `DONE`.
    Exit,
    /// The writer closed the journal.
    Done,
}

/// The bytes of a journal and the entries in it.
struct RecordedJournal {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Positions in the file at which the header and each of the entries end.
    ends: Vec<usize>,
}

impl RecordedJournal {
    /// Makes entries with payloads of these sizes. The kinds alternate, and there are some gaps.
    fn new(sizes: &[usize], end: End) -> Self {
        let mut entries: Vec<Entry> = vec![];
        let mut seq = 0;
        for (index, size) in sizes.iter().enumerate() {
            seq += if index % 4 == 3 { 1 + index as u64 } else { 1 };
            let kind = [Kind::Stdout, Kind::Stderr, Kind::Message][index % 3];
            let data = (0..*size).map(|at| (at * 7 + index) as u8).collect();
            entries.push(Entry { seq, time_us: 1_000_000 + seq, kind, data });
        }
        if end != End::None {
            entries.push(exit(seq + 3, EXITED));
        }
        Self::of(entries, end)
    }

    fn of(entries: Vec<Entry>, end: End) -> Self {
        let mut bytes = if end == End::Done { DONE } else { OPEN }.to_vec();
        let mut ends = vec![bytes.len()];
        for entry in &entries {
            bytes.extend(record(entry));
            ends.push(bytes.len());
        }
        Self { bytes, entries, ends }
    }

    /// Counts the entries that are whole if only the first `bytes` bytes are intact.
    fn count_whole(&self, bytes: usize) -> usize {
        self.ends.iter().skip(1).filter(|end| **end <= bytes).count()
    }

    fn is_whole(&self, bytes: &[u8]) -> bool {
        bytes == self.bytes
    }
}

struct TempJournal {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl TempJournal {
    fn new() -> Self {
        // The tests replace files a hundred thousand times, so they use memory if possible.
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        Self { path: folder.path().join("journal"), _folder: folder }
    }
}

/// Reads the valid entries after number `after` and below `until_bytes`. Returns them and whether
/// other bytes follow them.
fn read(path: &Path, after: u64, until_bytes: u64) -> (Vec<Entry>, bool) {
    let mut all = vec![];
    let mut next = || -> Result<(), ReadError> {
        let mut reader = Reader::open(path)?;
        reader.skip_to(after, until_bytes)?;
        loop {
            let entries = reader.read(until_bytes, 1)?;
            if entries.is_empty() {
                return Ok(());
            }
            all.extend(entries);
        }
    };
    let is_damaged = match next() {
        Ok(()) => false,
        Err(ReadError::Corrupt { .. }) => true,
        Err(error) => panic!("{error}"),
    };
    (all, is_damaged)
}

/// Checks all promises for a `file` in which only the first `whole_count` entries of `recorded`
/// are intact.
fn check(journal: &TempJournal, recorded: &RecordedJournal, file: &[u8], whole_count: usize, context: &str) {
    let path = &journal.path;
    fs::write(path, file).unwrap();
    let length = file.len() as u64;
    let has_header = file.starts_with(OPEN) || file.starts_with(DONE);
    let whole_bytes = if has_header { recorded.ends[whole_count] as u64 } else { 0 };
    let (entries, is_damaged) = read(path, 0, length);
    assert!(
        entries == recorded.entries[..whole_count],
        "{context}: the entries read are not the intact ones"
    );
    assert_eq!(is_damaged, !has_header || length != whole_bytes, "{context}");

    // Recovery trusts an exit record only if the header says DONE.
    let ends_with_exit = entries.last().is_some_and(|entry| entry.kind == Kind::Exit);
    let had_exit = ends_with_exit && file.starts_with(DONE);
    let trusted_count = whole_count - usize::from(ends_with_exit && !had_exit);
    let truth = &recorded.entries[..trusted_count];
    let last_seq = truth.last().map_or(0, |entry| entry.seq);
    let intact_bytes = if has_header { recorded.ends[trusted_count] as u64 } else { 0 };
    assert_eq!(intact_prefix(path).unwrap(), (intact_bytes, last_seq), "{context}");
    let found_closing = closing_entry(path).unwrap();
    if let Some(end) = &found_closing {
        // The closing entry was found from the end of the file, although an entry before it may be
        // damaged. It must be the closing entry that was written.
        assert_eq!(
            (&*end.data, Some(end.seq)),
            (EXITED, recorded.entries.last().map(|last| last.seq)),
            "{context}"
        );
    }
    let result = close_abandoned(path, 7, LOST).unwrap();
    let expected =
        if had_exit || found_closing.is_some() { CloseResult::AlreadyClosed } else { CloseResult::ClosedNow };
    assert_eq!(result, expected, "{context}");
    let recovered = fs::read(path).unwrap();
    let end = closing_entry(path).unwrap().unwrap_or_else(|| panic!("{context}: no closing entry"));
    if found_closing.is_some() {
        assert!(recovered == file, "{context}: a closed journal was touched");
    } else {
        let (entries, is_damaged) = read(path, 0, recovered.len() as u64);
        assert!(!is_damaged, "{context}: the journal is damaged after recovery");
        let mut expected = truth.to_vec();
        if !had_exit {
            expected.push(Entry { time_us: 7, ..exit(last_seq + 1, LOST) });
        }
        assert!(entries == expected, "{context}: recovery changed the entries");
        assert_eq!(end.seq, expected.last().unwrap().seq);
        assert_eq!(end.data, if had_exit { EXITED } else { LOST });
    }
    // A second recovery must change nothing.
    assert_eq!(close_abandoned(path, 8, b"{}").unwrap(), CloseResult::AlreadyClosed, "{context}");
    assert!(fs::read(path).unwrap() == recovered, "{context}: the second recovery changed the journal");
}

const SIZES: [usize; 12] = [0, 1, 31, 32, 33, 100, 255, 256, 479, 480, 481, 700];
const ENDS: [End; 3] = [End::None, End::Exit, End::Done];

#[test]
fn the_writer_follows_the_documented_format() {
    let journal = TempJournal::new();
    let recorded = RecordedJournal::of(
        vec![
            Entry { seq: 1, time_us: 5, kind: Kind::Stdout, data: b"a"[..].into() },
            Entry { seq: 2, time_us: 6, kind: Kind::Message, data: vec![b'm'; 5000].into() },
            exit(3, EXITED),
        ],
        End::Done,
    );
    let mut writer = Writer::create(&journal.path).unwrap();
    for entry in &recorded.entries[..2] {
        writer.push_shared(entry.kind, entry.time_us, entry.data.clone());
    }
    writer.finish(99, EXITED).unwrap();
    assert!(recorded.is_whole(&fs::read(&journal.path).unwrap()));
}

#[test]
fn a_journal_cut_at_any_byte_keeps_its_whole_entries() {
    let journal = TempJournal::new();
    for end in ENDS {
        let recorded = RecordedJournal::new(&SIZES, end);
        let mut noise = 0x2545_f491_4f6c_dd1d_u64;
        for cut in 0..=recorded.bytes.len() {
            let whole_count = recorded.count_whole(cut);
            let head = &recorded.bytes[..cut];
            check(&journal, &recorded, head, whole_count, &format!("{end:?}, cut at {cut}"));
            if cut == recorded.bytes.len() && end == End::Done {
                continue; // no writer writes behind a closed journal
            }
            // After a crash of the machine, zeros or garbage may follow the cut.
            let zeros = [head, &[0; 600]].concat();
            // The missing bytes may happen to be zeros.
            let same = recorded.bytes[cut..].iter().take_while(|byte| **byte == 0).count();
            let whole_count_with_zeros = recorded.count_whole(cut + same);
            if cut + same >= HEADER_BYTES as usize || cut == 0 {
                check(
                    &journal,
                    &recorded,
                    &zeros,
                    whole_count_with_zeros,
                    &format!("{end:?}, zeros from {cut}"),
                );
            }
            if cut >= HEADER_BYTES as usize {
                let garbage = (0..600).map(|_| {
                    noise ^= noise << 13;
                    noise ^= noise >> 7;
                    noise ^= noise << 17;
                    noise as u8
                });
                let garbage = [head, &*garbage.collect::<Vec<u8>>()].concat();
                // A few bytes of the garbage may happen to be the right ones.
                let common = garbage.iter().zip(&recorded.bytes).take_while(|(a, b)| a == b).count();
                check(
                    &journal,
                    &recorded,
                    &garbage,
                    recorded.count_whole(common),
                    &format!("{end:?}, garbage from {cut}"),
                );
            }
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_detected() {
    let journal = TempJournal::new();
    for end in ENDS {
        let recorded = RecordedJournal::new(&[0, 1, 33, 5, 100], end);
        for bit in 0..recorded.bytes.len() * 8 {
            let mut file = recorded.bytes.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            let whole_count = if bit / 8 < HEADER_BYTES as usize { 0 } else { recorded.count_whole(bit / 8) };
            check(&journal, &recorded, &file, whole_count, &format!("{end:?}, bit {bit} flipped"));
        }
    }
}

#[test]
fn a_replaced_byte_anywhere_is_detected() {
    let journal = TempJournal::new();
    for end in ENDS {
        let recorded = RecordedJournal::new(&SIZES, end);
        for at in HEADER_BYTES as usize..recorded.bytes.len() {
            for value in [0, 0xff, recorded.bytes[at].wrapping_add(1)] {
                let mut file = recorded.bytes.clone();
                file[at] = value;
                let whole_count =
                    recorded.count_whole(if file[at] == recorded.bytes[at] { file.len() } else { at });
                check(&journal, &recorded, &file, whole_count, &format!("{end:?}, byte {at} is {value}"));
            }
        }
    }
}

/// A follower that comes back skips the entries that it has. After the skip, it must still get
/// only entries that were written, and no damage may go unnoticed.
#[test]
fn damage_never_becomes_an_entry_wherever_reading_starts() {
    let journal = TempJournal::new();
    let recorded = RecordedJournal::new(&[3, 0, 40, 64, 1], End::None);
    let last_seq = recorded.entries.last().unwrap().seq;
    let until = recorded.bytes.len() as u64;
    for bit in 0..recorded.bytes.len() * 8 {
        let mut file = recorded.bytes.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        fs::write(&journal.path, &file).unwrap();
        for after in 0..=last_seq {
            let (entries, is_damaged) = read(&journal.path, after, until);
            let truth: Vec<_> = recorded.entries.iter().filter(|entry| entry.seq > after).cloned().collect();
            assert!(truth.starts_with(&entries), "bit {bit} flipped, after {after}");
            assert!(
                is_damaged || entries == truth,
                "bit {bit} flipped, after {after}: the missing entries are not reported as damage"
            );
        }
    }
}

/// These records have the right checksums, but no writer writes them.
#[test]
fn impossible_records_are_not_read() {
    let journal = TempJournal::new();
    let entry = |seq| Entry { seq, time_us: 1, kind: Kind::Stdout, data: b"x"[..].into() };
    let small_exit = Entry { kind: Kind::Exit, data: LOST.into(), ..entry(2) };
    for wrong in [
        entry(0),
        entry(1),
        entry(u64::MAX - 1),
        entry(u64::MAX),
        small_exit,
        exit(u64::MAX, EXITED),
        exit(0, EXITED),
    ] {
        let recorded = RecordedJournal::of(vec![entry(1), wrong.clone()], End::None);
        check(&journal, &recorded, &recorded.bytes, 1, &format!("{wrong:?}"));
        // The record is not accepted as the closing entry of a closed journal either.
        let mut file = recorded.bytes.clone();
        file[..DONE.len()].copy_from_slice(DONE);
        fs::write(&journal.path, &file).unwrap();
        assert_eq!(closing_entry(&journal.path).unwrap(), None, "{wrong:?}");
    }
    // A number that leaves room for the number of the closing entry is valid.
    let recorded = RecordedJournal::of(vec![entry(u64::MAX - 2)], End::None);
    check(&journal, &recorded, &recorded.bytes, 1, "a large number");
}

/// Where a file system cannot allocate ahead, a write may fail half-way, and a shorter record then
/// covers only a part of what it left. The rest is output of the program, and may look like an
/// exit record. Recovery must not take it for one.
#[test]
fn an_exit_record_behind_the_last_record_is_not_trusted() {
    let journal = TempJournal::new();
    let entry = Entry { seq: 1, time_us: 1, kind: Kind::Stdout, data: b"x"[..].into() };
    let recorded = RecordedJournal::of(vec![entry.clone()], End::None);
    let forged = record(&exit(2, br#"{"exitstatus":0,"outcome":"exited","started_us":1,"ended_us":2}"#));
    fs::write(&journal.path, [&recorded.bytes[..], &forged, &forged].concat()).unwrap();
    assert_eq!(close_abandoned(&journal.path, 7, LOST).unwrap(), CloseResult::ClosedNow);
    let file_bytes = fs::metadata(&journal.path).unwrap().len();
    let (entries, is_damaged) = read(&journal.path, 0, file_bytes);
    assert!(!is_damaged);
    assert_eq!(entries, [entry, Entry { time_us: 7, ..exit(2, LOST) }]);
}

/// A program's output may contain bytes that look like records. Their position tells them apart.
#[test]
fn forged_records_in_the_output_stay_output() {
    let journal = TempJournal::new();
    let forged = [record(&exit(2, br#"{"exitstatus":7}"#)), record(&exit(3, b"{}"))].concat();
    let mut entries = vec![Entry { seq: 1, time_us: 1, kind: Kind::Stdout, data: forged.clone().into() }];
    entries.push(Entry { seq: 2, time_us: 2, kind: Kind::Stderr, data: forged.into() });
    for end in [End::None, End::Exit] {
        let mut entries = entries.clone();
        if end == End::Exit {
            entries.push(exit(3, EXITED));
        }
        let recorded = RecordedJournal::of(entries, end);
        for cut in 0..=recorded.bytes.len() {
            let context = format!("{end:?}, cut at {cut}");
            check(&journal, &recorded, &recorded.bytes[..cut], recorded.count_whole(cut), &context);
        }
    }
}

#[test]
fn a_recovered_journal_can_be_trimmed() {
    let journal = TempJournal::new();
    let recorded = RecordedJournal::new(&SIZES, End::None);
    for cut in (0..recorded.bytes.len()).step_by(97) {
        fs::write(&journal.path, &recorded.bytes[..cut]).unwrap();
        close_abandoned(&journal.path, 7, LOST).unwrap();
        let end = closing_entry(&journal.path).unwrap();
        trim(&journal.path).unwrap();
        assert_eq!(closing_entry(&journal.path).unwrap(), end);
        let (entries, is_damaged) = read(&journal.path, 0, livecode_journal::TRIMMED_BYTES);
        assert_eq!((entries.len(), is_damaged), (1, false));
    }
}
