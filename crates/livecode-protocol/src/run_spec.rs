//! What a supervisor is to run. The server writes it once, as `order.json` in the session's
//! folder, before the supervisor exists, and never changes it.

use std::path::{Path, PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use crate::{FileName, SessionId, cases::Compare, results::CollectSpec};

/// One program to run. Every default is already filled in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunSpec {
    /// The session that the program belongs to.
    pub id: SessionId,
    /// A number that is unique among living sessions. In root mode the sandbox's uid follows from
    /// it.
    pub slot: u32,
    /// Commands that run before the program, in this order. The first that fails ends the session
    /// with its exit status.
    pub compile: Vec<Step>,
    /// The command of the program.
    pub run: Step,
    /// The program's whole environment, except for `LIVECODE_FD`, which init adds.
    pub env: Vec<(String, String)>,
    /// Files that are created in the working directory.
    pub files: Vec<RunFile>,
    /// The whole standard input. `None` if input arrives later as messages, or is stored.
    pub stdin: Option<Contents>,
    /// Files and standard input that are too large for this document. If it is present, `files`
    /// is empty and `stdin` is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredContents>,
    /// Read-only directories of the machine that the program sees besides `/usr`.
    pub mounts: Vec<Mount>,
    /// The folder whose contents the program sees, read-only, in place of the machine's `/usr`,
    /// `/etc` and the like; `None` if it sees the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Limits of the session as a whole, from its start to its end.
    pub limits: SessionLimits,
    /// Whether input that clients send is kept in the journal. Absent in run specs of servers that
    /// did not know it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub echo: bool,
    /// Whether the places of errors are found in the standard error. Absent in run specs of servers
    /// that did not know it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub diagnostics: bool,
    /// Where the results of the compile steps are found or stored; `None` if they are not cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CompileCacheEntry>,
    /// Whether the compile steps are told apart from the program, in the journal and in the
    /// outcome.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stages: bool,
    /// The files that are taken when the session ends; `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collect: Option<CollectSpec>,
    /// The cases with which the program is run; `None` if it is run once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cases: Option<CasesSpec>,
}

/// Files of `/etc` that each sandbox generates, also where the program has a root of its own. There
/// they cover the root's files.
pub const GENERATED_ETC_FILES: [&str; 5] = ["passwd", "group", "hosts", "nsswitch.conf", "hostname"];

/// The most files and folders at the top of a root of its own. Each becomes a mount or a link.
pub const MAX_ROOT_ENTRIES: usize = 64;

/// The place in the compile cache where the artefacts of one session's compile steps are found or
/// stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompileCacheEntry {
    /// The folder of the whole cache, as an absolute path.
    pub folder: PathBuf,
    /// Name of this entry: a digest of everything that the compile steps can read.
    pub key: String,
    /// Artefacts: files, or folders of files, that the compile steps create and the program needs.
    /// The paths are absolute and in a writable folder of the sandbox.
    pub artefacts: Vec<PathBuf>,
    /// Largest total size of the artefacts, in bytes. Larger results are not stored.
    pub entry_bytes: u64,
    /// Free space that the disk must have when the artefacts are stored, in bytes.
    pub min_free_bytes: u64,
}

/// The parts of a run spec that must be known when a sandbox is made. Everything else can be set
/// later, so that a warm sandbox can be made before its session exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxLayout {
    /// Read-only directories of the machine, as in [`RunSpec::mounts`].
    pub mounts: Vec<Mount>,
    /// The folder of the root, as in [`RunSpec::root`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Size of the writable file systems in bytes, as in [`SessionLimits::disk_bytes`].
    pub disk_bytes: u64,
    /// Number of files on them, as in [`SessionLimits::disk_files`].
    pub disk_files: u64,
}

impl SandboxLayout {
    /// Whether programs see the same files in sandboxes of both layouts. Then the layouts differ
    /// in nothing but the size of the writable file systems, which can be changed once a sandbox
    /// is made.
    pub fn has_same_files(&self, other: &Self) -> bool {
        let (disk_bytes, disk_files) = (other.disk_bytes, other.disk_files);
        Self { disk_bytes, disk_files, ..self.clone() } == *other
    }
}

/// The content of the session's [contents file](crate::session_folder::CONTENTS_FILE): the bytes
/// of each file, one after the other without anything between them, and then standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredContents {
    /// The files, in the order in which their contents stand there.
    pub files: Vec<StoredFile>,
    /// The length of the whole standard input, in bytes; `None` if input arrives later as
    /// messages.
    pub stdin_bytes: Option<u64>,
}

/// A file whose contents are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Its path, relative to the working directory.
    pub name: FileName,
    /// Its length, in bytes.
    pub bytes: u64,
}

impl StoredContents {
    /// Where standard input begins in the contents file.
    pub fn stdin_offset(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// The most bytes of files and standard input together that stand in the run spec itself. Several
/// processes parse the run spec, and each would hold its contents. A second file costs more than
/// parsing so few bytes.
const MAX_INLINE_BYTES: usize = 64 * 1024;

impl RunSpec {
    /// Moves the files and standard input out of this run spec if they are large. Returns the
    /// bytes of the contents file, in pieces, or `None` if nothing was moved.
    ///
    /// # Errors
    /// If the base64 of a file is malformed, which it never is in what a server has checked.
    pub fn detach_contents(&mut self) -> Result<Option<Vec<Vec<u8>>>, base64::DecodeError> {
        let contents = self.files.iter().map(|file| &file.contents).chain(&self.stdin);
        if contents.map(Contents::encoded_bytes).sum::<usize>() <= MAX_INLINE_BYTES {
            return Ok(None);
        }
        let mut pieces = vec![];
        let mut files = vec![];
        for RunFile { name, contents } in std::mem::take(&mut self.files) {
            let bytes = contents.into_bytes()?;
            files.push(StoredFile { name, bytes: bytes.len() as u64 });
            pieces.push(bytes);
        }
        let stdin = self.stdin.take().map(Contents::into_bytes).transpose()?;
        let stdin_bytes = stdin.as_ref().map(|bytes| bytes.len() as u64);
        pieces.extend(stdin);
        self.stored = Some(StoredContents { files, stdin_bytes });
        Ok(Some(pieces))
    }

    /// The names of all files, wherever their contents are.
    pub fn file_names(&self) -> impl Iterator<Item = &FileName> {
        let stored = self.stored.iter().flat_map(|stored| &stored.files).map(|file| &file.name);
        self.files.iter().map(|file| &file.name).chain(stored)
    }

    /// The layout that the sandbox of this session must have.
    pub fn layout(&self) -> SandboxLayout {
        self.limits.layout(&self.mounts, self.root.as_deref())
    }
}

/// One command of a session: a compile step or the program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The executable and its arguments. The executable is searched in the `PATH` of
    /// [`RunSpec::env`].
    pub argv: Vec<String>,
    /// Limits that hold while this step runs.
    pub limits: StepLimits,
}

/// A file that is created before the first step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunFile {
    /// Its path, relative to the working directory.
    pub name: FileName,
    /// Its contents.
    pub contents: Contents,
}

/// The cases of a session, as its run spec has them. Every default is filled in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CasesSpec {
    /// The cases, in their order. There is at least one.
    pub cases: Vec<CaseSpec>,
    /// Whether no case is run after one that has failed.
    pub stop_on_first_failure: bool,
    /// Wall-clock time of all cases together and of the compile steps, in milliseconds.
    pub total_wall_ms: u64,
    /// The files and folders that the compile steps make and the program needs, as absolute paths.
    pub artefacts: Vec<PathBuf>,
    /// The checker; `None` if no case needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checker: Option<Box<CheckerSpec>>,
}

/// The program that decides whether cases have passed, as the run spec of a session has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckerSpec {
    /// Its command.
    pub run: Step,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Its own files.
    pub files: Vec<RunFile>,
    /// The directories of the machine that it sees, as in [`RunSpec::mounts`].
    pub mounts: Vec<Mount>,
    /// The folder of its root, as in [`RunSpec::root`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Its limits for one case.
    pub limits: SessionLimits,
}

/// One case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseSpec {
    /// The name in the entry of the case.
    pub name: String,
    /// The whole standard input.
    pub stdin: Contents,
    /// Arguments that are appended to the command.
    pub args: Vec<String>,
    /// Files besides those of the session, or in place of those with the same names.
    pub files: Vec<RunFile>,
    /// The standard output that is expected; `None` if only the exit status counts.
    pub expected: Option<String>,
    /// How the output is compared with it.
    pub compare: Compare,
    /// The tolerance of [`Compare::Floats`].
    pub tolerance: f64,
    /// Wall-clock limit of this case, in milliseconds.
    pub wall_ms: u64,
    /// Whether clients learn only its name, whether it has passed, and its outcome. Absent in run
    /// specs of servers that did not know it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_hidden: bool,
}

impl CaseSpec {
    /// Takes all out of a hidden case but its name.
    pub fn hide(&mut self) {
        if self.is_hidden {
            self.stdin = Contents::Text(String::new());
            self.args.clear();
            self.files.clear();
            self.expected = None;
            self.compare = Compare::default();
            self.tolerance = 0.0;
            self.wall_ms = 0;
        }
    }
}

impl CasesSpec {
    /// Whether something of the session is kept from its clients.
    pub fn has_hidden(&self) -> bool {
        self.cases.iter().any(|case| case.is_hidden)
    }
}

/// A directory or a file of the machine that is mounted read-only in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path on the machine.
    pub source: PathBuf,
    /// Absolute path in the sandbox, outside `/usr`.
    pub target: PathBuf,
}

impl Mount {
    /// The path on the machine of a path in the sandbox; `None` if this mount does not hold it.
    pub fn source_of(&self, inside: &Path) -> Option<PathBuf> {
        let rest = inside.strip_prefix(&self.target).ok()?;
        // Joined with an empty rest, the path of a file would end with a slash.
        Some(if rest == Path::new("") { self.source.clone() } else { self.source.join(rest) })
    }
}

/// Bytes in a JSON document: as text if they are UTF-8, otherwise as base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contents {
    /// The bytes are the UTF-8 encoding of this text.
    Text(String),
    /// The bytes are encoded as base64 (RFC 4648, section 4).
    Base64(String),
}

impl Contents {
    /// The representation of `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes)
            .map_or_else(|e| Self::Base64(BASE64_STANDARD.encode(e.as_bytes())), Self::Text)
    }

    /// The length of the text that represents the bytes.
    fn encoded_bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Base64(text) => text.len(),
        }
    }

    /// The bytes.
    ///
    /// # Errors
    /// If the base64 is malformed, which it never is in a run spec that a server has written.
    pub fn into_bytes(self) -> Result<Vec<u8>, base64::DecodeError> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64(text) => BASE64_STANDARD.decode(text),
        }
    }
}

/// Limits of a session as a whole, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLimits {
    /// Wall-clock time of all steps together, in milliseconds. A session that exceeds it ends with
    /// outcome `timeout`.
    pub wall_ms: u64,
    /// Size of the output that the journal accepts, in bytes. A session that exceeds it ends with
    /// outcome `output`.
    pub output_bytes: u64,
    /// Size of the working directory, `/tmp` and `/dev/shm` together, in bytes. A write beyond it
    /// fails with `ENOSPC`.
    pub disk_bytes: u64,
    /// Number of files and folders in the same directories. Creating more fails with `ENOSPC`.
    pub disk_files: u64,
    /// CPU share of all processes together, in thousandths of one processor.
    pub cpu_millicores: u32,
    /// Idle timeout, in milliseconds: a session in which for this time the program writes nothing
    /// and no client sends anything ends with outcome `timeout`. A client that only reads does not
    /// count. The field is absent in run specs of servers that did not know it; then only the
    /// wall-clock limit applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// Free space on the journal's disk that this session leaves to others, in bytes. A session
    /// whose journal grows beyond the free space above this reserve ends with outcome `output`.
    /// The field is absent in run specs of servers that did not know it; then the disk may be
    /// filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_reserve_bytes: Option<u64>,
}

impl SessionLimits {
    /// The layout of a sandbox with these limits, `mounts` and `root`.
    pub fn layout(&self, mounts: &[Mount], root: Option<&Path>) -> SandboxLayout {
        SandboxLayout {
            mounts: mounts.to_vec(),
            root: root.map(Path::to_owned),
            disk_bytes: self.disk_bytes,
            disk_files: self.disk_files,
        }
    }
}

/// Limits of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepLimits {
    /// CPU time of all processes together, in milliseconds. A step that exceeds it ends the
    /// session with outcome `cpu`.
    pub cpu_ms: u64,
    /// Memory of all processes and of their files in memory, in bytes. A step that exceeds it ends
    /// the session with outcome `memory`.
    pub memory_bytes: u64,
    /// Number of processes and threads at once. Creating more fails with `EAGAIN`.
    pub processes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_preserve_every_byte() {
        for bytes in [b"plain".to_vec(), b"\xff\x00\xfe".to_vec(), vec![]] {
            let json = serde_json::to_string(&Contents::new(bytes.clone())).unwrap();
            assert_eq!(serde_json::from_str::<Contents>(&json).unwrap().into_bytes().unwrap(), bytes);
        }
    }
}
