//! Every way in which a journal can be cut or damaged, one after the other: what is read is the longest whole prefix of
//! what was written, and recovery leaves a journal that says how it ended.
//!
//! The journals are put together here, by the documented format and not by the crate's own code, so that there can be gaps
//! in them.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use livecode_journal::{
    Closed, EXIT_RECORD_BYTES, Entry, HEADER_BYTES, Kind, RECORD_HEADER_BYTES, ReadError, Reader, Writer,
    close_abandoned, ending, trim, whole_bytes,
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

/// How the writer left the journal.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// It died at work.
    None,
    /// It died between the closing entry and `DONE`.
    Exit,
    /// It closed the journal.
    Done,
}

/// A recorded journal, and what is in it.
struct Recorded {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Where each entry ends in the file, after where the header does.
    ends: Vec<usize>,
}

impl Recorded {
    /// Entries with payloads of these sizes, of all kinds in turn, with gaps here and there.
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

    /// How many entries are whole where only the first `bytes` bytes are.
    fn whole(&self, bytes: usize) -> usize {
        self.ends.iter().skip(1).filter(|end| **end <= bytes).count()
    }

    fn is_whole(&self, bytes: &[u8]) -> bool {
        bytes == self.bytes
    }
}

struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        // Files are replaced a hundred thousand times here: in memory, where there is a place for that.
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        Self { path: folder.path().join("journal"), _folder: folder }
    }
}

/// All entries below `until_bytes` that can be read after number `after`, and whether something that is none follows.
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

/// Checks all that is promised of a `file` of which the first `whole` entries of `recorded`, and no more, can be trusted.
fn check(place: &Place, recorded: &Recorded, file: &[u8], whole: usize, what: &str) {
    let path = &place.path;
    fs::write(path, file).unwrap();
    let length = file.len() as u64;
    let truth = &recorded.entries[..whole];
    let has_header = file.starts_with(OPEN) || file.starts_with(DONE);
    let last_seq = truth.last().map_or(0, |entry| entry.seq);
    let whole_length = if has_header { recorded.ends[whole] as u64 } else { 0 };
    assert_eq!(whole_bytes(path).unwrap(), (whole_length, last_seq), "{what}");
    let (entries, is_damaged) = read(path, 0, length);
    assert!(entries == truth, "{what}: another prefix is read");
    assert_eq!(is_damaged, !has_header || length != whole_length, "{what}");

    let had_end = truth.last().is_some_and(|entry| entry.kind == Kind::Exit);
    let says_end = ending(path).unwrap();
    if let Some(end) = &says_end {
        // Read from the end of the file, over what may be damaged: it is the one that was written.
        assert_eq!(
            (&*end.data, Some(end.seq)),
            (EXITED, recorded.entries.last().map(|last| last.seq)),
            "{what}"
        );
    }
    let closed = close_abandoned(path, 7, LOST).unwrap();
    let expected = if had_end || says_end.is_some() { Closed::Already } else { Closed::Now };
    assert_eq!(closed, expected, "{what}");
    let recovered = fs::read(path).unwrap();
    let end = ending(path).unwrap().unwrap_or_else(|| panic!("{what}: no end"));
    if says_end.is_some() {
        assert!(recovered == file, "{what}: a closed journal was touched");
    } else {
        let (entries, is_damaged) = read(path, 0, recovered.len() as u64);
        assert!(!is_damaged, "{what}: damaged after recovery");
        let mut expected = truth.to_vec();
        if !had_end {
            expected.push(Entry { time_us: 7, ..exit(last_seq + 1, LOST) });
        }
        assert!(entries == expected, "{what}: recovery changed what is read");
        assert_eq!(end.seq, expected.last().unwrap().seq);
        assert_eq!(end.data, if had_end { EXITED } else { LOST });
    }
    // Twice is the same as once.
    assert_eq!(close_abandoned(path, 8, b"{}").unwrap(), Closed::Already, "{what}");
    assert!(fs::read(path).unwrap() == recovered, "{what}: the second recovery changed something");
}

const SIZES: [usize; 12] = [0, 1, 31, 32, 33, 100, 255, 256, 479, 480, 481, 700];
const ENDS: [End; 3] = [End::None, End::Exit, End::Done];

#[test]
fn the_writer_keeps_to_the_format() {
    let place = Place::new();
    let recorded = Recorded::of(
        vec![
            Entry { seq: 1, time_us: 5, kind: Kind::Stdout, data: b"a"[..].into() },
            Entry { seq: 2, time_us: 6, kind: Kind::Message, data: vec![b'm'; 5000].into() },
            exit(3, EXITED),
        ],
        End::Done,
    );
    let mut writer = Writer::create(&place.path).unwrap();
    for entry in &recorded.entries[..2] {
        writer.push_shared(entry.kind, entry.time_us, entry.data.clone());
    }
    writer.finish(99, EXITED).unwrap();
    assert!(recorded.is_whole(&fs::read(&place.path).unwrap()));
}

#[test]
fn cut_at_every_byte_whatever_follows() {
    let place = Place::new();
    for end in ENDS {
        let recorded = Recorded::new(&SIZES, end);
        let mut noise = 0x2545_f491_4f6c_dd1d_u64;
        for cut in 0..=recorded.bytes.len() {
            let whole = recorded.whole(cut);
            let head = &recorded.bytes[..cut];
            check(&place, &recorded, head, whole, &format!("{end:?}, cut at {cut}"));
            if cut == recorded.bytes.len() && end == End::Done {
                continue; // nothing is written behind a closed journal
            }
            // What a machine that died may have left behind the cut: zeros, or anything.
            let zeros = [head, &[0; 600]].concat();
            // Zeros may be what should have been there.
            let same = recorded.bytes[cut..].iter().take_while(|byte| **byte == 0).count();
            let whole_with_zeros = recorded.whole(cut + same);
            if cut + same >= HEADER_BYTES as usize || cut == 0 {
                check(&place, &recorded, &zeros, whole_with_zeros, &format!("{end:?}, zeros from {cut}"));
            }
            if cut >= HEADER_BYTES as usize {
                let garbage = (0..600).map(|_| {
                    noise ^= noise << 13;
                    noise ^= noise >> 7;
                    noise ^= noise << 17;
                    noise as u8
                });
                let garbage = [head, &*garbage.collect::<Vec<u8>>()].concat();
                // A byte or four may by chance be the right ones.
                let common = garbage.iter().zip(&recorded.bytes).take_while(|(a, b)| a == b).count();
                check(
                    &place,
                    &recorded,
                    &garbage,
                    recorded.whole(common),
                    &format!("{end:?}, garbage from {cut}"),
                );
            }
        }
    }
}

#[test]
fn every_bit_flipped() {
    let place = Place::new();
    for end in ENDS {
        let recorded = Recorded::new(&[0, 1, 33, 5, 100], end);
        for bit in 0..recorded.bytes.len() * 8 {
            let mut file = recorded.bytes.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            let whole = if bit / 8 < HEADER_BYTES as usize { 0 } else { recorded.whole(bit / 8) };
            check(&place, &recorded, &file, whole, &format!("{end:?}, bit {bit} flipped"));
        }
    }
}

#[test]
fn every_byte_of_a_larger_one_replaced() {
    let place = Place::new();
    for end in ENDS {
        let recorded = Recorded::new(&SIZES, end);
        for at in HEADER_BYTES as usize..recorded.bytes.len() {
            for value in [0, 0xff, recorded.bytes[at].wrapping_add(1)] {
                let mut file = recorded.bytes.clone();
                file[at] = value;
                let whole = recorded.whole(if file[at] == recorded.bytes[at] { file.len() } else { at });
                check(&place, &recorded, &file, whole, &format!("{end:?}, byte {at} is {value}"));
            }
        }
    }
}

/// Whoever comes back passes over what they have without reading it. What they are given then is still only what was
/// written, and an end that does not fit is not taken for the end.
#[test]
fn read_from_any_number_damage_never_becomes_an_entry() {
    let place = Place::new();
    let recorded = Recorded::new(&[3, 0, 40, 64, 1], End::None);
    let last_seq = recorded.entries.last().unwrap().seq;
    let until = recorded.bytes.len() as u64;
    for bit in 0..recorded.bytes.len() * 8 {
        let mut file = recorded.bytes.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        fs::write(&place.path, &file).unwrap();
        for after in 0..=last_seq {
            let (entries, is_damaged) = read(&place.path, after, until);
            let truth: Vec<_> = recorded.entries.iter().filter(|entry| entry.seq > after).cloned().collect();
            assert!(truth.starts_with(&entries), "bit {bit} flipped, after {after}");
            assert!(
                is_damaged || entries == truth,
                "bit {bit} flipped, after {after}: the rest is passed over in silence"
            );
        }
    }
}

/// What no writer writes, with right checksums.
#[test]
fn records_that_cannot_be_are_not_read() {
    let place = Place::new();
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
        let recorded = Recorded::of(vec![entry(1), wrong.clone()], End::None);
        check(&place, &recorded, &recorded.bytes, 1, &format!("{wrong:?}"));
        // The same at the end of what says that it is closed.
        let mut file = recorded.bytes.clone();
        file[..DONE.len()].copy_from_slice(DONE);
        fs::write(&place.path, &file).unwrap();
        assert_eq!(ending(&place.path).unwrap(), None, "{wrong:?}");
    }
    // Numbers that leave room for one more are taken.
    let recorded = Recorded::of(vec![entry(u64::MAX - 2)], End::None);
    check(&place, &recorded, &recorded.bytes, 1, "a large number");
}

/// A program's output may hold what looks like records. It is told from records by where it stands.
#[test]
fn forged_records_in_the_output_stay_output() {
    let place = Place::new();
    let forged = [record(&exit(2, br#"{"exitstatus":7}"#)), record(&exit(3, b"{}"))].concat();
    let mut entries = vec![Entry { seq: 1, time_us: 1, kind: Kind::Stdout, data: forged.clone().into() }];
    entries.push(Entry { seq: 2, time_us: 2, kind: Kind::Stderr, data: forged.into() });
    for end in [End::None, End::Exit] {
        let mut entries = entries.clone();
        if end == End::Exit {
            entries.push(exit(3, EXITED));
        }
        let recorded = Recorded::of(entries, end);
        for cut in 0..=recorded.bytes.len() {
            let what = format!("{end:?}, cut at {cut}");
            check(&place, &recorded, &recorded.bytes[..cut], recorded.whole(cut), &what);
        }
    }
}

#[test]
fn a_recovered_journal_can_be_trimmed() {
    let place = Place::new();
    let recorded = Recorded::new(&SIZES, End::None);
    for cut in (0..recorded.bytes.len()).step_by(97) {
        fs::write(&place.path, &recorded.bytes[..cut]).unwrap();
        close_abandoned(&place.path, 7, LOST).unwrap();
        let end = ending(&place.path).unwrap();
        trim(&place.path).unwrap();
        assert_eq!(ending(&place.path).unwrap(), end);
        let (entries, is_damaged) = read(&place.path, 0, livecode_journal::TRIMMED_BYTES);
        assert_eq!((entries.len(), is_damaged), (1, false));
    }
}
