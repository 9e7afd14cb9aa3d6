//! What the server orders a supervisor to run. Written once as `order.json` in the session's folder,
//! before the supervisor exists, and never changed.

use std::path::PathBuf;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use crate::{FileName, SessionId};

/// The name of the order's file in the session's folder.
pub const RUN_SPEC_FILE: &str = "order.json";

/// One program to run, with everything decided: no default is left to be filled in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunSpec {
    /// The protocol between server and supervisor that this order is written in.
    pub version: u32,
    /// The session it belongs to.
    pub id: SessionId,
    /// A number that no other session has while this one lives. In root mode it picks the uid.
    pub slot: u32,
    /// Commands run before the program, in order; the first that fails ends the session with its status.
    pub compile: Vec<Step>,
    /// The program.
    pub run: Step,
    /// The program's whole environment, but for what the supervisor adds (`LIVECODE_FD`).
    pub env: Vec<(String, String)>,
    /// Files laid into the working directory.
    pub files: Vec<RunFile>,
    /// The whole of standard input, or `None` where input comes later as messages.
    pub stdin: Option<Contents>,
    /// Read-only trees of the machine that the program sees besides `/usr`.
    pub mounts: Vec<Mount>,
    /// Limits of the session as a whole.
    pub limits: SessionLimits,
    /// Where what the compile steps make is kept for the next order of the same; `None` where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CompileCacheSlot>,
}

/// Where what compile steps make is found, or kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompileCacheSlot {
    /// The folder of all entries, absolute.
    pub folder: PathBuf,
    /// The entry's name: a digest of all that the compile steps see.
    pub key: String,
    /// Files, or folders of files, that the program needs of what the compile steps make: absolute, in a writable folder.
    pub artefacts: Vec<PathBuf>,
    /// The largest entry, in bytes; larger ones are not kept.
    pub entry_bytes: u64,
    /// Room that the disk must have when an entry is kept, in bytes.
    pub min_free_bytes: u64,
}

/// What must be known of a sandbox before it is made. The rest of an order it may be told later, so that one can be made
/// before there is a session for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxLayout {
    /// As [`RunSpec::mounts`].
    pub mounts: Vec<Mount>,
    /// As [`SessionLimits::disk_bytes`].
    pub disk_bytes: u64,
    /// As [`SessionLimits::disk_files`].
    pub disk_files: u64,
}

impl RunSpec {
    /// What of this order the sandbox must be made for.
    pub fn layout(&self) -> SandboxLayout {
        self.limits.layout(&self.mounts)
    }
}

/// One command of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Program and arguments; the program is searched in the order's `PATH`.
    pub argv: Vec<String>,
    /// Limits that hold while this step runs.
    pub limits: StepLimits,
}

/// A file of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunFile {
    /// Where, below the working directory.
    pub name: FileName,
    /// What is in it.
    pub contents: Contents,
}

/// A read-only tree of the machine shown inside the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is on the machine, absolute.
    pub source: PathBuf,
    /// Where the program sees it, absolute, outside `/usr`.
    pub target: PathBuf,
}

/// Bytes in a JSON document: as text where they are UTF-8, else base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contents {
    /// The bytes are this text's.
    Text(String),
    /// The bytes in base64 (RFC 4648, section 4).
    Base64(String),
}

impl Contents {
    /// The document form of `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes)
            .map_or_else(|e| Self::Base64(BASE64_STANDARD.encode(e.as_bytes())), Self::Text)
    }

    /// The bytes themselves.
    ///
    /// # Errors
    /// Where the base64 is not base64; an order that a server wrote has none such.
    pub fn into_bytes(self) -> Result<Vec<u8>, base64::DecodeError> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64(text) => BASE64_STANDARD.decode(text),
        }
    }
}

/// Limits that hold for a session from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLimits {
    /// Wall clock of all steps together, in milliseconds; outcome `timeout`.
    pub wall_ms: u64,
    /// Bytes of output the journal takes; outcome `output`.
    pub output_bytes: u64,
    /// Bytes of the working directory, `/tmp` and `/dev/shm` together; the program sees `ENOSPC`.
    pub disk_bytes: u64,
    /// Files and folders of the same; the program sees `ENOSPC`.
    pub disk_files: u64,
    /// Share of the machine's processors, in thousandths of one.
    pub cpu_millicores: u32,
    /// How long neither the program nor a client may do anything, in milliseconds; outcome `timeout`. A client that comes
    /// back and only reads has done nothing. Absent in orders of version 1: no limit but the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
}

impl SessionLimits {
    /// The layout of a sandbox with these limits, in which `mounts` are seen.
    pub fn layout(&self, mounts: &[Mount]) -> SandboxLayout {
        SandboxLayout { mounts: mounts.to_vec(), disk_bytes: self.disk_bytes, disk_files: self.disk_files }
    }
}

/// Limits that hold for one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepLimits {
    /// CPU time of all processes together, in milliseconds; outcome `cpu`.
    pub cpu_ms: u64,
    /// Memory of all processes and of the files they hold in memory, in bytes; outcome `memory`.
    pub memory_bytes: u64,
    /// Processes and threads at once; the program sees `EAGAIN`.
    pub processes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_keep_every_byte() {
        for bytes in [b"plain".to_vec(), b"\xff\x00\xfe".to_vec(), vec![]] {
            let json = serde_json::to_string(&Contents::new(bytes.clone())).unwrap();
            assert_eq!(serde_json::from_str::<Contents>(&json).unwrap().into_bytes().unwrap(), bytes);
        }
    }
}
