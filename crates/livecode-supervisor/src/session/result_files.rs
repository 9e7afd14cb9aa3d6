//! The result files of one session: received from init as descriptors, and copied into the
//! session's folder.
//!
//! The names come from inside the sandbox, so no file of the folder has one of them: all contents go
//! into one file, one after the other, and the names stand in the manifest. The manifest appears
//! when the contents are complete and on disk. A failure in this module is never an error of the
//! session, whose closing entry has room of its own on the disk.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use livecode_protocol::{
    FileName,
    results::{CollectSpec, MAX_REFUSED_FILES, RefusalReason, RefusedFile, ResultFile, ResultManifest},
};
use rustix::fs::{FileType, fstat, fstatvfs, ftruncate};

use crate::session::folder::SessionFolder;

/// How long the result files may take, from the end of the program until they are copied. Then the
/// sandbox is torn down. A server waits 5 seconds for the end of a session that it cancels.
const COLLECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes that are copied between two looks at the clock.
const COPY_BYTES: u64 = 1024 * 1024;

/// The result files of one session.
pub(crate) struct ResultFiles {
    /// The files that are wanted, if any.
    wanted: Option<CollectSpec>,
    /// Free space that is left to others on the disk, in bytes.
    reserve_bytes: u64,
    stage: Stage,
    /// Bytes of the files that are kept, once the manifest is written.
    pub collected_bytes: Option<u64>,
}

enum Stage {
    /// The program has not ended.
    Waiting,
    /// Init sends files.
    Receiving(Receiver),
    /// Nothing more is received.
    Over,
}

struct Receiver {
    deadline: Instant,
    /// The file with all contents; `None` until there is a first one.
    contents: Option<File>,
    used_bytes: u64,
    manifest: ResultManifest,
}

impl ResultFiles {
    pub fn new(wanted: Option<CollectSpec>, reserve_bytes: Option<u64>) -> Self {
        let reserve_bytes = reserve_bytes.unwrap_or(0);
        Self { wanted, reserve_bytes, stage: Stage::Waiting, collected_bytes: None }
    }

    /// Prepares to receive files. Returns whether init is to be asked for them: not if none are
    /// wanted, nor a second time.
    pub fn start(&mut self, now: Instant) -> bool {
        if self.wanted.is_none() || !matches!(self.stage, Stage::Waiting) {
            return false;
        }
        self.stage = Stage::Receiving(Receiver {
            deadline: now + COLLECT_TIMEOUT,
            contents: None,
            used_bytes: 0,
            manifest: ResultManifest::default(),
        });
        true
    }

    /// Whether files are being received.
    pub fn is_receiving(&self) -> bool {
        matches!(self.stage, Stage::Receiving(_))
    }

    /// Whether [`Self::start`] has prepared to receive files.
    pub fn has_started(&self) -> bool {
        !matches!(self.stage, Stage::Waiting)
    }

    /// When the sandbox is to be torn down although files may be missing.
    pub fn due(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Receiving(receiver) => Some(receiver.deadline),
            Stage::Waiting | Stage::Over => None,
        }
    }

    /// Takes a file that init has sent.
    pub fn add(&mut self, folder: &SessionFolder, name: String, file: Option<OwnedFd>) {
        let (Stage::Receiving(receiver), Some(wanted)) = (&mut self.stage, &self.wanted) else { return };
        let added = match file {
            Some(file) => receiver.add(wanted, self.reserve_bytes, folder, &name, file.into()),
            None => Err(RefusalReason::Unreadable),
        };
        if let Err(reason) = added {
            receiver.refuse(name, reason);
        }
    }

    /// Notes a file that init has refused.
    pub fn refuse(&mut self, name: String, reason: RefusalReason) {
        if let Stage::Receiving(receiver) = &mut self.stage {
            receiver.refuse(name, reason);
        }
    }

    /// Writes the manifest of what was received, if anything was to be. `is_complete` tells whether
    /// init has sent or refused every file.
    pub fn finish(&mut self, folder: &SessionFolder, is_complete: bool) {
        if !self.is_receiving() {
            return;
        }
        let Stage::Receiving(mut receiver) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        receiver.manifest.is_complete = is_complete;
        match receiver.store(folder) {
            Ok(()) => self.collected_bytes = Some(receiver.used_bytes),
            Err(error) => {
                eprintln!("livecode supervisor: cannot keep the result files: {error}");
                folder.remove_results();
            }
        }
    }
}

impl Receiver {
    /// Copies a file. Nothing but init runs inside now, so the file does not change meanwhile; even
    /// so, no more is copied than it had when it was opened.
    fn add(
        &mut self,
        wanted: &CollectSpec,
        reserve_bytes: u64,
        folder: &SessionFolder,
        name: &str,
        mut file: File,
    ) -> Result<(), RefusalReason> {
        let name: FileName = name.parse().map_err(|_| RefusalReason::InvalidName)?;
        let is_wanted = wanted.patterns.iter().any(|pattern| pattern.matches(&name));
        if !is_wanted || self.manifest.files.iter().any(|file| overlap(&file.name, &name)) {
            return Err(RefusalReason::InvalidName);
        }
        let stat = fstat(&file).map_err(|_| RefusalReason::Unreadable)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(RefusalReason::NotAFile);
        }
        if self.manifest.files.len() as u64 >= wanted.files_max {
            return Err(RefusalReason::TooMany);
        }
        // A sparse file counts with the length that its reader sees.
        let bytes = u64::try_from(stat.st_size).map_err(|_| RefusalReason::TooLarge)?;
        if bytes > wanted.bytes_max.saturating_sub(self.used_bytes) {
            return Err(RefusalReason::TooLarge);
        }
        let contents = match &mut self.contents {
            Some(contents) => contents,
            None => {
                let created = folder.create_result_contents().map_err(|_| RefusalReason::DiskFull)?;
                self.contents.insert(created)
            }
        };
        let copied = check_space(contents, reserve_bytes.saturating_add(bytes))
            .and_then(|()| copy(&mut file, contents, bytes, self.deadline));
        if let Err(reason) = copied {
            // The part that was written is overwritten by the next file, or cut off here.
            let _ = ftruncate(&*contents, self.used_bytes);
            let _ = io::Seek::seek(contents, io::SeekFrom::Start(self.used_bytes));
            return Err(reason);
        }
        self.used_bytes += bytes;
        self.manifest.files.push(ResultFile { name, bytes });
        Ok(())
    }

    fn refuse(&mut self, name: String, reason: RefusalReason) {
        if self.manifest.refused.len() <= MAX_REFUSED_FILES {
            self.manifest.refused.push(RefusedFile { name, reason });
        }
    }

    /// Makes the contents durable, and then lets the manifest appear.
    fn store(&mut self, folder: &SessionFolder) -> io::Result<()> {
        if self.manifest.refused.len() > MAX_REFUSED_FILES {
            self.manifest.refused.truncate(MAX_REFUSED_FILES);
            self.manifest.is_complete = false;
        }
        if let Some(contents) = &self.contents {
            contents.sync_data()?;
        }
        folder.write_result_manifest(&self.manifest)
    }
}

/// Whether two files cannot be in one folder: their names are the same, or one is a folder of the
/// other.
fn overlap(one: &FileName, other: &FileName) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    let rest = one.strip_prefix(other).or_else(|| other.strip_prefix(one));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Checks that a disk has so many free bytes.
fn check_space(on: &File, needed_bytes: u64) -> Result<(), RefusalReason> {
    let free_bytes = fstatvfs(on).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    match free_bytes {
        Ok(free_bytes) if free_bytes >= needed_bytes => Ok(()),
        _ => Err(RefusalReason::DiskFull),
    }
}

/// Copies `bytes` bytes to the end of `contents`, until the deadline.
fn copy(file: &mut File, contents: &mut File, bytes: u64, deadline: Instant) -> Result<(), RefusalReason> {
    let mut left_bytes = bytes;
    while left_bytes > 0 {
        if Instant::now() >= deadline {
            return Err(RefusalReason::TooLate);
        }
        // The kernel copies the bytes, so that this process holds none of them.
        match io::copy(&mut file.take(left_bytes.min(COPY_BYTES)), contents) {
            Ok(0) => return Err(RefusalReason::Unreadable),
            Ok(copied_bytes) => left_bytes -= copied_bytes,
            Err(_) => return Err(RefusalReason::DiskFull),
        }
    }
    Ok(())
}
