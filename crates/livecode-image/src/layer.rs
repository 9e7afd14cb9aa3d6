//! Layers: checked first, then unpacked, each time with both of their digests.

use std::{
    io::{self, Read},
    os::fd::BorrowedFd,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::fstatvfs;

use crate::{
    compression,
    digest::{Digest, DigestReader},
    entry::{Entry, EntryKind, for_each_entry},
    entry_path::NameMeaning,
    error::{ImageError, Place, cut},
    limits::Limits,
    manifest::Layer,
    source::Source,
    tree::{Tree, is_link_in_path},
};

/// The bytes of layers after which the disk's free space is looked at again.
const DISK_CHECK_BYTES: u64 = 32 << 20;
/// The number of files and folders after which it is looked at again. Each takes an inode and, for
/// most file systems, 4 KiB.
const DISK_CHECK_INODES: u64 = 1000;
/// The number of inodes that an import leaves free, and the part of all inodes of a small file
/// system that it leaves instead.
const MIN_FREE_INODES: u64 = 10_000;
const MIN_FREE_INODES_PART: u64 = 20;
/// Memory that a whiteout takes besides its path, in bytes.
const WHITEOUT_BYTES: u64 = 64;

/// The part of the limits that all layers together have used, in one pass over them.
pub(crate) struct Meter<'a> {
    limits: &'a Limits,
    /// Set when the import is to stop.
    cancelled: &'a AtomicBool,
    disk: Option<DiskReserve<'a>>,
    entries: u64,
    bytes: u64,
    /// The value of `bytes` when the free space was looked at.
    checked_bytes: u64,
}

/// The free space that an import must leave.
#[derive(Clone, Copy)]
pub(crate) struct DiskReserve<'a> {
    pub folder: BorrowedFd<'a>,
    pub path: &'a std::path::Path,
    pub min_free_bytes: u64,
}

impl DiskReserve<'_> {
    /// Refuses a disk that has no more than the reserve.
    pub fn check(&self) -> Result<(), ImageError> {
        let stat = fstatvfs(self.folder).map_err(|errno| ImageError::io("look at the disk", errno))?;
        let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
        let folder = || self.path.display().to_string();
        if free_bytes <= self.min_free_bytes {
            let min_free_bytes = self.min_free_bytes;
            return Err(ImageError::DiskFull { folder: folder(), free_bytes, min_free_bytes });
        }
        // A file system without a number of inodes, such as btrfs, makes them as they are needed.
        let min_free_inodes = MIN_FREE_INODES.min(stat.f_files / MIN_FREE_INODES_PART);
        if stat.f_files > 0 && stat.f_favail <= min_free_inodes {
            let free_inodes = stat.f_favail;
            return Err(ImageError::InodesFull { folder: folder(), free_inodes, min_free_inodes });
        }
        Ok(())
    }
}

impl<'a> Meter<'a> {
    /// A meter for a pass that writes to the disk of `disk`, or that only reads.
    pub fn new(limits: &'a Limits, cancelled: &'a AtomicBool, disk: Option<DiskReserve<'a>>) -> Self {
        Self { limits, cancelled, disk, entries: 0, bytes: 0, checked_bytes: 0 }
    }

    /// The number of entries so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The uncompressed bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn add_bytes(&mut self, length: usize) -> Result<(), ImageError> {
        self.bytes += length as u64;
        let max = self.limits.unpacked_bytes;
        if self.bytes > max {
            return Err(ImageError::LimitExceeded { limit: "unpacked_bytes", max, at: None });
        }
        check_cancelled(self.cancelled)?;
        if let Some(disk) = &self.disk
            && self.bytes - self.checked_bytes > DISK_CHECK_BYTES
        {
            self.checked_bytes = self.bytes;
            disk.check()?;
        }
        Ok(())
    }
}

/// Ends the import if it is to stop.
pub(crate) fn check_cancelled(cancelled: &AtomicBool) -> Result<(), ImageError> {
    if cancelled.load(Ordering::Relaxed) { Err(ImageError::Interrupted) } else { Ok(()) }
}

/// The whiteouts of the layers that were checked.
#[derive(Default)]
pub(crate) struct Whiteouts {
    layers: Vec<Vec<NameMeaning>>,
    /// The memory that they take.
    bytes: u64,
}

impl Whiteouts {
    /// The whiteouts of layer `number`, counted from 1.
    pub fn of(&self, number: usize) -> &[NameMeaning] {
        self.layers.get(number - 1).map(Vec::as_slice).unwrap_or_default()
    }

    fn add(
        &mut self,
        whiteout: NameMeaning,
        number: usize,
        place: Place,
        limits: &Limits,
    ) -> Result<(), ImageError> {
        let path_bytes = match &whiteout {
            NameMeaning::Whiteout(path) | NameMeaning::Opaque(path) => path.bytes().len() as u64,
            NameMeaning::Entry | NameMeaning::Ignored => return Ok(()),
        };
        self.bytes += path_bytes + WHITEOUT_BYTES;
        let max = limits.whiteout_bytes;
        if self.bytes > max {
            return Err(ImageError::LimitExceeded { limit: "whiteout_bytes", max, at: Some(place) });
        }
        if self.layers.len() < number {
            self.layers.resize_with(number, Vec::new);
        }
        self.layers[number - 1].push(whiteout);
        Ok(())
    }
}

/// The uncompressed bytes of a layer, counted. Each error that it returns contains an
/// [`ImageError`].
struct MeteredReader<'m, 'a, R> {
    source: R,
    meter: &'m mut Meter<'a>,
    number: usize,
}

impl<R: Read> Read for MeteredReader<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer);
        let read = read.map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return error; // the call is made again
            }
            // The end of an import may reach this place as damage that the decompressor has found.
            if let Err(interrupted) = check_cancelled(self.meter.cancelled) {
                return io::Error::other(interrupted);
            }
            io::Error::other(ImageError::from_reader(format!("layer {}", self.number), error))
        })?;
        self.meter.add_bytes(read).map_err(io::Error::other)?;
        Ok(read)
    }
}

/// The compressed bytes of a layer, until the import is to stop. Many of them may be without
/// contents, such as frames that decompressors skip.
struct CancellableReader<'c, R> {
    source: R,
    cancelled: &'c AtomicBool,
}

impl<R: Read> Read for CancellableReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        check_cancelled(self.cancelled).map_err(io::Error::other)?;
        self.source.read(buffer)
    }
}

/// Reads layer `number` as a whole: calls `visit` for each entry, and then compares the digests.
fn read_layer(
    source: &Source,
    layer: &Layer,
    number: usize,
    meter: &mut Meter<'_>,
    visit: impl FnMut(Entry, &mut dyn Read) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let failed = |error| ImageError::from_reader(format!("layer {number}"), error);
    let limits = meter.limits;
    let compressed = CancellableReader { source: source.open_blob(&layer.file)?, cancelled: meter.cancelled };
    let mut file = DigestReader::new(compressed);
    let mut contents = DigestReader::new(compression::decompress(&mut file).map_err(failed)?);
    let mut entries = meter.entries;
    let mut metered = MeteredReader { source: &mut contents, meter, number };
    for_each_entry(&mut metered, number, limits, &mut entries, visit)?;
    io::copy(&mut metered, &mut io::sink()).map_err(failed)?; // what follows the last entry
    meter.entries = entries;
    let compare = |what: String, expected: &Digest, found: Digest| match found == *expected {
        true => Ok(()),
        false => Err(ImageError::BadDigest { what: cut(&what), expected: expected.clone(), found }),
    };
    let found = contents.finish().map_err(failed)?;
    if let Some(expected) = &layer.file_digest {
        compare(layer.file.clone(), expected, file.finish().map_err(failed)?)?;
    }
    compare(format!("layer {number}, uncompressed,"), &layer.diff_id, found)
}

/// Checks layer `number` without writing anything. Its whiteouts are added to `whiteouts`.
pub(crate) fn check(
    source: &Source,
    layer: &Layer,
    number: usize,
    meter: &mut Meter<'_>,
    whiteouts: &mut Whiteouts,
) -> Result<(), ImageError> {
    let limits = meter.limits;
    read_layer(source, layer, number, meter, |entry, _| note(entry, number, limits, whiteouts))
}

/// Checks the name of an entry, and notes it if it is a whiteout.
pub(crate) fn note(
    entry: Entry,
    number: usize,
    limits: &Limits,
    whiteouts: &mut Whiteouts,
) -> Result<(), ImageError> {
    match entry.path.meaning(number)? {
        NameMeaning::Entry if entry.path.is_root() && entry.kind != EntryKind::Folder => {
            Err(ImageError::HostilePath { place: entry.place, flaw: "is that of the root itself" })
        }
        meaning => whiteouts.add(meaning, number, entry.place, limits),
    }
}

/// Unpacks layer `number`, whose whiteouts [`check`] has found, over the lower layers. Returns
/// the number of devices and named pipes, which are left out.
pub(crate) fn unpack(
    source: &Source,
    layer: &Layer,
    number: usize,
    whiteouts: &[NameMeaning],
    tree: &Tree,
    meter: &mut Meter<'_>,
) -> Result<u64, ImageError> {
    hide(whiteouts, number, meter.cancelled, tree)?;
    let (limits, disk) = (meter.limits, meter.disk);
    let check_disk = || disk.as_ref().map_or(Ok(()), DiskReserve::check);
    let (mut left_out, mut entries) = (0, meter.entries);
    let mut checked_inodes = entries + tree.implied_folders();
    read_layer(source, layer, number, meter, |entry, contents| {
        left_out += u64::from(!add(&entry, number, contents, tree)?);
        entries += 1;
        let inodes = entries + tree.implied_folders();
        if inodes > limits.entries {
            let (max, at) = (limits.entries, Some(entry.place));
            return Err(ImageError::LimitExceeded { limit: "entries", max, at });
        }
        if inodes - checked_inodes >= DISK_CHECK_INODES {
            checked_inodes = inodes;
            check_disk()?;
        }
        Ok(())
    })?;
    check_disk()?;
    Ok(left_out)
}

/// Removes what whiteouts hide. They hide only what lower layers have, so this comes first.
pub(crate) fn hide(
    whiteouts: &[NameMeaning],
    number: usize,
    cancelled: &AtomicBool,
    tree: &Tree,
) -> Result<(), ImageError> {
    for whiteout in whiteouts {
        check_cancelled(cancelled)?;
        let (path, removed) = match whiteout {
            NameMeaning::Whiteout(path) => (path, tree.remove(path)),
            NameMeaning::Opaque(path) => (path, tree.clear(path)),
            NameMeaning::Entry | NameMeaning::Ignored => continue,
        };
        removed.map_err(|error| tree_error(&Place::new(number, path.bytes()), error))?;
    }
    Ok(())
}

/// Unpacks one entry. Returns `false` if it is left out since it is a device or a named pipe.
pub(crate) fn add(
    entry: &Entry,
    number: usize,
    contents: &mut dyn Read,
    tree: &Tree,
) -> Result<bool, ImageError> {
    let Entry { place, path, kind, mode, mtime_s } = entry;
    if path.meaning(number)? != NameMeaning::Entry {
        return Ok(true);
    }
    let added = match kind {
        EntryKind::Folder => tree.add_folder(path, *mode),
        EntryKind::SymbolicLink { target } => tree.add_symbolic_link(path, target),
        EntryKind::File { bytes } => tree.add_file(path, *mode, *mtime_s, contents).and_then(|written| {
            let is_whole = written == *bytes;
            let damaged = || ImageError::Damaged {
                what: format!("layer {number}"),
                source: io::ErrorKind::UnexpectedEof.into(),
            };
            if is_whole { Ok(()) } else { Err(io::Error::other(damaged())) }
        }),
        EntryKind::HardLink { target } => match tree.add_hard_link(path, target) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let target = String::from_utf8_lossy(target.bytes()).into_owned();
                let place = place.clone();
                return Err(ImageError::HostileLink { place, target, flaw: "is no file of the image" });
            }
            Err(error) => Err(error),
        },
        // A lower file that it replaces is gone all the same.
        EntryKind::Special => tree.remove(path),
    };
    added.map_err(|error| tree_error(place, error))?;
    Ok(*kind != EntryKind::Special)
}

/// The error of a change of the tree.
fn tree_error(place: &Place, error: io::Error) -> ImageError {
    match error.downcast::<ImageError>() {
        Ok(error) => error,
        Err(error) if is_link_in_path(&error) => ImageError::LinkInPath(place.clone()),
        Err(error) => ImageError::io(format!("write {place}"), error),
    }
}
