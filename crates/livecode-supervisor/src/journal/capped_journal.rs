//! What a supervisor writes down: entries of the journal, within the session's cap.

use std::io;

use bytes::Bytes;
use livecode_journal::{Kind, WriteError, Writer};
use livecode_protocol::control::{ClosingEntry, SupervisorNotice};

use crate::{compile_cache::CompileResult, journal::sync::Syncer, time::now_us};

/// What an entry counts at least, in bytes: as much as its header takes in the journal, or a program that writes byte by byte
/// would fill many times its cap.
const MIN_CHARGE_BYTES: usize = livecode_journal::RECORD_HEADER_BYTES;

pub(crate) struct CappedJournal {
    journal: Writer,
    /// Syncs the journal; the loop asks it when it is due.
    pub syncer: Syncer,
    used_bytes: u64,
    max_bytes: u64,
    pending: bool,
}

impl CappedJournal {
    /// Writes to `journal`, at most `max_bytes` of payload.
    pub fn new(journal: Writer, max_bytes: u64) -> io::Result<Self> {
        let syncer = Syncer::new(journal.file())?;
        Ok(Self { journal, syncer, used_bytes: 0, max_bytes, pending: false })
    }

    /// Appends an entry. Returns `false` where that passes the cap: of output the part that fits is kept, of a message
    /// nothing, and nothing at all from then on.
    pub fn append(&mut self, kind: Kind, data: Bytes) -> bool {
        let room = usize::try_from(self.max_bytes - self.used_bytes).unwrap_or(usize::MAX);
        if data.len().max(MIN_CHARGE_BYTES) <= room {
            self.push(kind, data);
            return true;
        }
        if kind != Kind::Message {
            let is_inside = |at: usize| data.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
            let room = room.min(data.len());
            let cut = (room.saturating_sub(3)..=room).rev().find(|at| !is_inside(*at)).unwrap_or(room);
            self.push(kind, data.slice(..cut));
        }
        self.used_bytes = self.max_bytes;
        false
    }

    fn push(&mut self, kind: Kind, data: Bytes) {
        if !data.is_empty() {
            self.used_bytes += data.len().max(MIN_CHARGE_BYTES) as u64;
            self.journal.push_shared(kind, now_us(), data);
            self.pending = true;
        }
    }

    /// Says something of LiveCode's own on the program's standard error, cap or not.
    pub fn say(&mut self, text: &str) {
        self.journal.push(Kind::Stderr, now_us(), format!("livecode: {text}\n").as_bytes());
        self.pending = true;
    }

    /// Writes what was appended. Returns whether there was anything; readers are told then.
    pub fn flush(&mut self) -> bool {
        if !std::mem::take(&mut self.pending) {
            return false;
        }
        // Entries that found no room keep their numbers; readers are told of a gap.
        let _ = self.journal.flush();
        self.syncer.mark();
        true
    }

    /// How far the journal reaches.
    pub fn progress(
        &self,
        started_us: Option<u64>,
        active_us: Option<u64>,
        kept: CompileResult,
    ) -> SupervisorNotice {
        SupervisorNotice::Progress {
            entries: self.journal.entries(),
            bytes: self.journal.bytes(),
            started_us,
            active_us,
            compiled: kept.compiled,
            stored_bytes: kept.stored_bytes,
            ended: false,
        }
    }

    /// Writes the closing entry. Returns the last progress, and what is left to do when everybody has been told: syncing.
    ///
    /// # Errors
    /// Where even the room set aside could not be written to; then the server closes the journal.
    pub fn finish(
        mut self,
        ending: &ClosingEntry,
        kept: CompileResult,
    ) -> Result<(SupervisorNotice, Syncer), WriteError> {
        self.flush();
        let entries = self.journal.entries() + 1;
        let json = serde_json::to_vec(ending).unwrap_or_default();
        let bytes = self.journal.finish(ending.ended_us, &json)?;
        let started_us = (ending.started_us != 0).then_some(ending.started_us);
        let CompileResult { compiled, stored_bytes } = kept;
        let progress = SupervisorNotice::Progress {
            entries,
            bytes,
            started_us,
            active_us: None,
            compiled,
            stored_bytes,
            ended: true,
        };
        Ok((progress, self.syncer))
    }
}
