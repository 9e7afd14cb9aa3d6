//! The file of a cached result.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..8 | `LCENTRY1` |
//! | 8..12 | CRC32C of all that follows the header |
//! | 12..16 | length of the compiler output |
//! | 16..24 | length of the artefact records |
//! | 24..60 | id of the boot in which the checksum was last verified |
//! | 60.. | the artefact records ([`livecode_sandbox::artefacts`]), then the compiler output |
//!
//! The checksum is verified once in each boot, since only a crash of the machine can lose contents
//! of a file that was renamed into place. All numbers are little-endian.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use livecode_protocol::{FileName, SessionId, run_spec::CompileCacheEntry};
use livecode_sandbox::artefacts;
use rustix::fs::{FileType, Timespec, Timestamps, UTIME_NOW, fstat, fstatvfs, futimens};

use crate::identity;

const MAGIC: &[u8; 8] = b"LCENTRY1";
const HEADER_BYTES: usize = 60;
/// Where the boot id is in the file.
const BOOT_ID_OFFSET: u64 = 24;
const BOOT_ID_BYTES: usize = 36;
/// The most output of compile steps that is stored with their result. The result of compile steps
/// that print more is not stored.
pub(super) const MAX_COMPILER_OUTPUT_BYTES: usize = 16 * 1024;
/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// Opens a cached result and marks it as used now. Returns the file, positioned at its first
/// artefact record, and the compiler output.
///
/// # Errors
/// `InvalidData` if the file is damaged, `NotFound` if there is none.
pub(super) fn open(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let damaged = || io::Error::from(io::ErrorKind::InvalidData);
    let mut file = File::open(path)?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).map_err(|_| damaged())?;
    let header = Header::decode(&header).ok_or_else(damaged)?;
    let output_offset = HEADER_BYTES as u64 + header.record_bytes;
    if file.metadata()?.len() != output_offset + u64::from(header.output_bytes) {
        return Err(damaged());
    }
    let boot_id = boot_id();
    if boot_id.is_none_or(|id| id != header.boot_id) {
        if checksum_of_rest(&mut file)? != header.crc {
            return Err(damaged());
        }
        // If the boot id cannot be written, the next session verifies the checksum again.
        let write = |id: [u8; BOOT_ID_BYTES]| {
            File::options().write(true).open(path)?.write_all_at(&id, BOOT_ID_OFFSET)
        };
        let _ = boot_id.map(write);
    }
    let mut compiler_output = vec![0; header.output_bytes as usize];
    file.read_exact_at(&mut compiler_output, output_offset)?;
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = futimens(&file, &Timestamps { last_access: now, last_modification: now });
    file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
    Ok((file, compiler_output))
}

/// The CRC32C of a file from its position to its end.
fn checksum_of_rest(file: &mut File) -> io::Result<u32> {
    let mut checksum = 0;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(checksum),
            length => checksum = crc32c::crc32c_append(checksum, &buffer[..length]),
        }
    }
}

/// The id of the machine's present boot, as it stands in a header.
fn boot_id() -> Option<[u8; BOOT_ID_BYTES]> {
    identity::boot_id().ok()?.as_bytes().first_chunk().copied()
}

struct Header {
    crc: u32,
    output_bytes: u32,
    record_bytes: u64,
    boot_id: [u8; BOOT_ID_BYTES],
}

impl Header {
    /// Returns `None` if the header is damaged.
    fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (output_bytes, rest) = rest.split_first_chunk()?;
        let (record_bytes, rest) = rest.split_first_chunk()?;
        let header = Self {
            crc: u32::from_le_bytes(*crc),
            output_bytes: u32::from_le_bytes(*output_bytes),
            record_bytes: u64::from_le_bytes(*record_bytes),
            boot_id: *rest.first_chunk()?,
        };
        let is_plausible =
            header.output_bytes as usize <= MAX_COMPILER_OUTPUT_BYTES && header.record_bytes <= u64::MAX / 2;
        is_plausible.then_some(header)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.crc.to_le_bytes());
        bytes.extend(self.output_bytes.to_le_bytes());
        bytes.extend(self.record_bytes.to_le_bytes());
        bytes.extend(self.boot_id);
        bytes
    }
}

/// A cached result that is being written under a temporary name. Dropping it before
/// [`Self::finish`] removes the file.
pub(super) struct CachedResultWriter {
    file: File,
    /// The temporary path; empty once the file has its final name.
    partial_path: PathBuf,
    crc: u32,
    /// Bytes written after the header.
    written_bytes: u64,
    file_count: usize,
}

impl CachedResultWriter {
    /// Creates the file.
    ///
    /// # Errors
    /// `StorageFull` if the disk has less free space than the slot asks for.
    pub fn create(slot: &CompileCacheEntry, id: SessionId) -> io::Result<Self> {
        // Session ids are never used twice, so no other supervisor uses this name. A file that a
        // dead supervisor left is removed by a server.
        let partial_path = slot.folder.join(format!(".new-{id}"));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&partial_path)?;
        let mut writer = Self { file, partial_path, crc: 0, written_bytes: 0, file_count: 0 };
        let disk = fstatvfs(&writer.file)?;
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free_bytes < slot.min_free_bytes.saturating_add(slot.entry_bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        writer.file.write_all(&[0; HEADER_BYTES])?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.written_bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Adds an artefact. Its name and file come from inside the sandbox, so both are checked;
    /// nothing but init runs there now, so the file does not change meanwhile.
    ///
    /// # Errors
    /// `InvalidData` if the artefact is not one that the slot allows.
    pub fn add(
        &mut self,
        slot: &CompileCacheEntry,
        name: &str,
        executable: bool,
        mut file: File,
    ) -> io::Result<()> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let name: FileName = name.parse().map_err(|_| invalid())?;
        let path_inside = Path::new("/").join(name.as_str());
        let stat = fstat(&file)?;
        let size_bytes = u64::try_from(stat.st_size).map_err(|_| invalid())?;
        self.file_count += 1;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
            || !slot.artefacts.iter().any(|artefact| path_inside.starts_with(artefact))
            || self.file_count > artefacts::MAX_FILES
            || self.written_bytes.saturating_add(size_bytes) > slot.entry_bytes
        {
            return Err(invalid());
        }
        self.write(&artefacts::record_header(&name, executable, size_bytes))?;
        let mut buffer = vec![0; READ_BYTES];
        let mut left_bytes = size_bytes;
        while left_bytes > 0 {
            let max_length = buffer.len().min(usize::try_from(left_bytes).unwrap_or(usize::MAX));
            let length = file.read(&mut buffer[..max_length])?;
            if length == 0 {
                return Err(invalid());
            }
            self.write(&buffer[..length])?;
            left_bytes -= length as u64;
        }
        Ok(())
    }

    /// Completes the file and gives it its final name. Returns its size in bytes.
    /// `compiler_output` is no longer than [`MAX_COMPILER_OUTPUT_BYTES`].
    pub fn finish(mut self, slot: &CompileCacheEntry, compiler_output: &[u8]) -> io::Result<u64> {
        self.write(&artefacts::END_RECORD)?;
        let record_bytes = self.written_bytes;
        self.write(compiler_output)?;
        let header = Header {
            crc: self.crc,
            output_bytes: compiler_output.len() as u32,
            record_bytes,
            boot_id: boot_id().unwrap_or([0; BOOT_ID_BYTES]),
        };
        self.file.write_all_at(&header.encode(), 0)?;
        fs::rename(&self.partial_path, slot.folder.join(&slot.key))?;
        self.partial_path = PathBuf::new();
        Ok(HEADER_BYTES as u64 + self.written_bytes)
    }
}

impl Drop for CachedResultWriter {
    fn drop(&mut self) {
        if !self.partial_path.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.partial_path);
        }
    }
}
