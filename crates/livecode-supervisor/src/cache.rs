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
//! | 24.. | the records ([`livecode_sandbox::artefacts`]), and then what the compile steps said |

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
    order::{CompileCache, Order},
    session::Compiled,
};
use livecode_sandbox::artefacts;
use rustix::fs::{FileType, Timespec, Timestamps, UTIME_NOW, fstat, fstatvfs, futimens};

use crate::outputs::Found;

const MAGIC: &[u8; 8] = b"LCENTRY1";
const HEADER_BYTES: usize = 24;
/// What compile steps may say; it is said again each time. What says more is compiled again.
const MAX_SAID_BYTES: usize = 16 * 1024;
/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// What a server is told.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kept {
    pub compiled: Option<Compiled>,
    /// Room that this session's entry takes, where it is new.
    pub stored_bytes: Option<u64>,
}

pub(crate) struct Cache {
    state: State,
    /// What the compile steps said.
    said: Vec<u8>,
    has_compile_steps: bool,
    pub kept: Kept,
}

enum State {
    /// Nothing is to be kept, or nothing any more.
    Idle,
    /// The compile steps run.
    Compiling(CompileCache),
    /// What they made is being read.
    Taking(CompileCache, Entry),
}

impl Cache {
    /// Looks for what was compiled before. Where it is there, the order loses its compile steps, and the file stands at its
    /// first record.
    pub fn find(order: &mut Order) -> (Self, Option<File>) {
        let mut cache = Self {
            state: State::Idle,
            said: vec![],
            has_compile_steps: !order.compile.is_empty(),
            kept: Kept::default(),
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
                cache.state = State::Compiling(place.clone());
                (cache, None)
            }
        }
    }

    /// What the compile steps said when they ran.
    pub fn said_before(&mut self) -> Vec<Found> {
        let data = std::mem::take(&mut self.said);
        if data.is_empty() { vec![] } else { vec![Found { kind: Kind::Stderr, data }] }
    }

    /// Something is written to the journal.
    pub fn hears(&mut self, kind: Kind, data: &[u8]) {
        if matches!(self.state, State::Idle) {
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
        let State::Compiling(place) = std::mem::replace(&mut self.state, State::Idle) else { return false };
        if let Ok(entry) = Entry::begin(&place, id) {
            self.state = State::Taking(place, entry);
        }
        matches!(self.state, State::Taking(..))
    }

    /// A file that they made.
    pub fn add(&mut self, name: &str, executable: bool, file: Option<OwnedFd>) {
        let State::Taking(place, entry) = &mut self.state else { return };
        let is_added = file.is_some_and(|file| entry.add(place, name, executable, file.into()).is_ok());
        if !is_added {
            self.give_up();
        }
    }

    /// There are no more of them.
    pub fn keep(&mut self, is_whole: bool) {
        let State::Taking(place, entry) = std::mem::replace(&mut self.state, State::Idle) else { return };
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
        self.state = State::Idle;
        self.said = vec![];
    }
}

/// Opens an entry, which has just been used then, and reads what was said.
fn open(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let mut file = File::open(path)?;
    let mut header = [0; HEADER_BYTES];
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    file.read_exact(&mut header).map_err(|_| bad())?;
    let (crc, said_bytes, record_bytes) = parse(&header).ok_or_else(bad)?;
    let mut found = 0;
    let mut said = vec![];
    let mut length: u64 = 0;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        found = crc32c::crc32c_append(found, &buffer[..read]);
        let said_from = usize::try_from(record_bytes.saturating_sub(length)).unwrap_or(usize::MAX);
        said.extend(buffer[..read].get(said_from..).unwrap_or_default());
        length += read as u64;
    }
    if found != crc || length != record_bytes + said_bytes {
        return Err(bad());
    }
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = futimens(&file, &Timestamps { last_access: now, last_modification: now });
    file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
    Ok((file, said))
}

fn parse(header: &[u8; HEADER_BYTES]) -> Option<(u32, u64, u64)> {
    let rest = header.strip_prefix(MAGIC)?;
    let (crc, rest) = rest.split_first_chunk()?;
    let (said_bytes, rest) = rest.split_first_chunk()?;
    let record_bytes = u64::from_le_bytes(*rest.first_chunk()?);
    let said_bytes = u64::from(u32::from_le_bytes(*said_bytes));
    let is_sound = said_bytes <= MAX_SAID_BYTES as u64 && record_bytes <= u64::MAX / 2;
    is_sound.then_some((u32::from_le_bytes(*crc), said_bytes, record_bytes))
}

/// An entry that is being written. It vanishes unless it is finished.
struct Entry {
    file: File,
    partial: PathBuf,
    crc: u32,
    bytes: u64,
    files: usize,
}

impl Entry {
    fn begin(place: &CompileCache, id: SessionId) -> io::Result<Self> {
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
    fn add(&mut self, place: &CompileCache, name: &str, executable: bool, mut file: File) -> io::Result<()> {
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
    fn finish(mut self, place: &CompileCache, said: &[u8]) -> io::Result<u64> {
        self.push(&artefacts::END_RECORD)?;
        let record_bytes = self.bytes;
        self.push(said)?;
        let mut header = MAGIC.to_vec();
        header.extend(self.crc.to_le_bytes());
        header.extend((said.len() as u32).to_le_bytes()); // at most MAX_SAID_BYTES
        header.extend(record_bytes.to_le_bytes());
        self.file.write_all_at(&header, 0)?;
        fs::rename(&self.partial, place.folder.join(&place.key))?;
        self.partial = PathBuf::new();
        Ok(HEADER_BYTES as u64 + self.bytes)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.partial.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.partial);
        }
    }
}
