//! What was compiled before, and what is kept of what is compiled now.
//!
//! An entry is a file of the folder that the order names, under a name that is a digest of all that the compile steps see.
//! It appears whole or not at all, is never changed, and no session ever has a descriptor of it but init, before anything of the
//! session's runs. Whatever goes wrong here makes nothing worse than compiling again.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..8 | `LCENTRY1` |
//! | 8..12 | CRC32C of all that follows the header |
//! | 12..16 | length of what the compile steps said |
//! | 16..24 | length of the records |
//! | 24..60 | the boot in which the check sum was last found right: nothing but a machine that goes down loses contents |
//! | 60.. | the records ([`livecode_sandbox::artefacts`]), and then what the compile steps said |

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{FileExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use livecode_journal::Kind;
use livecode_protocol::{
    FileName, SessionId,
    run_spec::{CompileCacheSlot, RunSpec},
    session::Compiled,
};
use livecode_sandbox::artefacts;
use rustix::fs::{FileType, Timespec, Timestamps, UTIME_NOW, fstat, fstatvfs, futimens};

use crate::{io::outputs::PendingEntry, spawner::identity::boot_id};

const MAGIC: &[u8; 8] = b"LCENTRY1";
const HEADER_BYTES: usize = 60;
/// Where the boot is.
const BOOT_AT: u64 = 24;
const BOOT_BYTES: usize = 36;
/// What compile steps may say; it is said again each time. What says more is compiled again.
const MAX_SAID_BYTES: usize = 16 * 1024;
/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// What a server is told.
#[derive(Clone, Copy, Default)]
pub(crate) struct CompileResult {
    pub compiled: Option<Compiled>,
    /// Room that this session's entry takes, where it is new.
    pub stored_bytes: Option<u64>,
}

pub(crate) struct Cache {
    state: Stage,
    /// What the compile steps said.
    said: Vec<u8>,
    has_compile_steps: bool,
    pub kept: CompileResult,
}

enum Stage {
    /// Nothing is to be kept, or nothing any more.
    Idle,
    /// The compile steps run.
    Compiling(CompileCacheSlot),
    /// What they made is being read.
    Taking(CompileCacheSlot, EntryWriter),
}

impl Cache {
    /// Looks for what was compiled before. Where it is there, the order loses its compile steps, and the file stands at its
    /// first record.
    pub fn find(order: &mut RunSpec) -> (Self, Option<File>) {
        let mut cache = Self {
            state: Stage::Idle,
            said: vec![],
            has_compile_steps: !order.compile.is_empty(),
            kept: CompileResult::default(),
        };
        let Some(place) = order.cache.as_ref().filter(|_| cache.has_compile_steps) else {
            return (cache, None);
        };
        let path = place.folder.join(&place.key);
        match open(&path) {
            Ok((file, said)) => {
                cache.said = said;
                cache.kept.compiled = Some(Compiled::Cached);
                order.compile.clear();
                (cache, Some(file))
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    let _ = fs::remove_file(path); // a machine that lost power may have kept a name and lost the contents
                }
                cache.state = Stage::Compiling(place.clone());
                (cache, None)
            }
        }
    }

    /// What the compile steps said when they ran.
    pub fn said_before(&mut self) -> Vec<PendingEntry> {
        let data = std::mem::take(&mut self.said);
        if data.is_empty() { vec![] } else { vec![PendingEntry { kind: Kind::Stderr, data: data.into() }] }
    }

    /// Something is written to the journal.
    pub fn hears(&mut self, kind: Kind, data: &[u8]) {
        if matches!(self.state, Stage::Idle) {
            return;
        }
        if kind == Kind::Stderr && self.said.len() + data.len() <= MAX_SAID_BYTES {
            self.said.extend(data);
        } else {
            self.give_up();
        }
    }

    /// Whether what the compile steps made is to be sent here.
    pub fn begins(&mut self, id: SessionId) -> bool {
        let Stage::Compiling(place) = std::mem::replace(&mut self.state, Stage::Idle) else { return false };
        if let Ok(entry) = EntryWriter::begin(&place, id) {
            self.state = Stage::Taking(place, entry);
        }
        matches!(self.state, Stage::Taking(..))
    }

    /// A file that they made.
    pub fn add(&mut self, name: &str, executable: bool, file: Option<OwnedFd>) {
        let Stage::Taking(place, entry) = &mut self.state else { return };
        let is_added = file.is_some_and(|file| entry.add(place, name, executable, file.into()).is_ok());
        if !is_added {
            self.give_up();
        }
    }

    /// There are no more of them.
    pub fn keep(&mut self, is_whole: bool) {
        let Stage::Taking(place, entry) = std::mem::replace(&mut self.state, Stage::Idle) else { return };
        if is_whole {
            self.kept.stored_bytes = entry.finish(&place, &self.said).ok();
        }
        self.said = vec![];
    }

    /// The compile steps have all ended well.
    pub fn is_compiled(&mut self) {
        if self.has_compile_steps {
            self.kept.compiled.get_or_insert(Compiled::Fresh);
        }
    }

    fn give_up(&mut self) {
        self.state = Stage::Idle;
        self.said = vec![];
    }
}

/// Opens an entry, which has just been used then, and reads what was said.
fn open(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let mut file = File::open(path)?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).map_err(|_| bad())?;
    let header = EntryHeader::parse(&header).ok_or_else(bad)?;
    let said_from = HEADER_BYTES as u64 + header.record_bytes;
    if file.metadata()?.len() != said_from + u64::from(header.said_bytes) {
        return Err(bad());
    }
    let boot = boot();
    if boot.is_none_or(|boot| boot != header.boot) {
        if sum(&mut file)? != header.crc {
            return Err(bad());
        }
        // Where this cannot be noted, the next one looks again.
        let noted =
            |boot: [u8; BOOT_BYTES]| File::options().write(true).open(path)?.write_all_at(&boot, BOOT_AT);
        let _ = boot.map(noted);
    }
    let mut said = vec![0; header.said_bytes as usize];
    file.read_exact_at(&mut said, said_from)?;
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = futimens(&file, &Timestamps { last_access: now, last_modification: now });
    file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
    Ok((file, said))
}

/// The check sum of the rest of a file.
fn sum(file: &mut File) -> io::Result<u32> {
    let mut sum = 0;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(sum),
            read => sum = crc32c::crc32c_append(sum, &buffer[..read]),
        }
    }
}

/// Which boot of the machine this is (proc_sys_kernel(5)).
fn boot() -> Option<[u8; BOOT_BYTES]> {
    boot_id().ok()?.as_bytes().first_chunk().copied()
}

struct EntryHeader {
    crc: u32,
    said_bytes: u32,
    record_bytes: u64,
    boot: [u8; BOOT_BYTES],
}

impl EntryHeader {
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (said_bytes, rest) = rest.split_first_chunk()?;
        let (record_bytes, rest) = rest.split_first_chunk()?;
        let header = Self {
            crc: u32::from_le_bytes(*crc),
            said_bytes: u32::from_le_bytes(*said_bytes),
            record_bytes: u64::from_le_bytes(*record_bytes),
            boot: *rest.first_chunk()?,
        };
        let is_sound = header.said_bytes as usize <= MAX_SAID_BYTES && header.record_bytes <= u64::MAX / 2;
        is_sound.then_some(header)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.crc.to_le_bytes());
        bytes.extend(self.said_bytes.to_le_bytes());
        bytes.extend(self.record_bytes.to_le_bytes());
        bytes.extend(self.boot);
        bytes
    }
}

/// An entry that is being written. It vanishes unless it is finished.
struct EntryWriter {
    file: File,
    partial: PathBuf,
    crc: u32,
    bytes: u64,
    files: usize,
}

impl EntryWriter {
    fn begin(place: &CompileCacheSlot, id: SessionId) -> io::Result<Self> {
        // Ids are never used twice, so this name is nobody else's; what a dead supervisor left, servers remove.
        let partial = place.folder.join(format!(".new-{id}"));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&partial)?;
        let mut entry = Self { file, partial, crc: 0, bytes: 0, files: 0 };
        let disk = fstatvfs(&entry.file)?;
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free_bytes < place.min_free_bytes.saturating_add(place.entry_bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        entry.file.write_all(&[0; HEADER_BYTES])?;
        Ok(entry)
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// All that is said of the file comes from inside, where nothing but init runs now.
    fn add(
        &mut self,
        place: &CompileCacheSlot,
        name: &str,
        executable: bool,
        mut file: File,
    ) -> io::Result<()> {
        let bad = || io::Error::from(io::ErrorKind::InvalidData);
        let name: FileName = name.parse().map_err(|_| bad())?;
        let inside = Path::new("/").join(name.as_str());
        let stat = fstat(&file)?;
        let bytes = u64::try_from(stat.st_size).map_err(|_| bad())?;
        self.files += 1;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
            || !place.artefacts.iter().any(|artefact| inside.starts_with(artefact))
            || self.files > artefacts::MAX_FILES
            || self.bytes.saturating_add(bytes) > place.entry_bytes
        {
            return Err(bad());
        }
        self.push(&artefacts::record(&name, executable, bytes))?;
        let mut buffer = vec![0; READ_BYTES];
        let mut left = bytes;
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = file.read(&mut buffer[..most])?;
            if read == 0 {
                return Err(bad());
            }
            self.push(&buffer[..read])?;
            left -= read as u64;
        }
        Ok(())
    }

    /// Gives it its name. Returns how much room it takes.
    fn finish(mut self, place: &CompileCacheSlot, said: &[u8]) -> io::Result<u64> {
        self.push(&artefacts::END_RECORD)?;
        let record_bytes = self.bytes;
        self.push(said)?;
        let said_bytes = said.len() as u32; // at most MAX_SAID_BYTES
        let header =
            EntryHeader { crc: self.crc, said_bytes, record_bytes, boot: boot().unwrap_or([0; BOOT_BYTES]) };
        self.file.write_all_at(&header.bytes(), 0)?;
        fs::rename(&self.partial, place.folder.join(&place.key))?;
        self.partial = PathBuf::new();
        Ok(HEADER_BYTES as u64 + self.bytes)
    }
}

impl Drop for EntryWriter {
    fn drop(&mut self) {
        if !self.partial.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.partial);
        }
    }
}
