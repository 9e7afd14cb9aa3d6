//! Writes entries to the journal within the output limit of the session.

use bytes::Bytes;
use livecode_journal::{Kind, WriteError, Writer};
use livecode_protocol::{
    control::{ClosingEntry, SupervisorNotice},
    run_spec::SessionLimits,
};

use livecode_protocol::now_us;

use crate::{
    compile_cache::CompileResult,
    journal::{disk_share::DiskShare, sync::Syncer},
};

/// The least number of bytes that an entry counts against the limit: as many as its header takes
/// in the journal. Otherwise the journal of a program that writes byte by byte would grow to many
/// times the limit.
const MIN_CHARGE_BYTES: usize = livecode_journal::RECORD_HEADER_BYTES;

/// The reason that a reader finds at the end of an output that took too much of the disk.
const DISK_SHARE_NOTE: &str =
    "the program was stopped: its output takes more than its share of the disk, which is nearly full";

/// The journal's writer within the output limit of the session.
pub(crate) struct CappedJournal {
    journal: Writer,
    /// Syncs the journal. The supervisor's loop calls it when a sync is due.
    pub syncer: Syncer,
    used_bytes: u64,
    max_bytes: u64,
    disk_share: DiskShare,
    /// Whether there are entries that are not flushed yet.
    has_pending: bool,
}

impl CappedJournal {
    /// Limits the payloads in `journal` to `output_bytes` of these limits in total, and the file
    /// to its share of the disk.
    pub fn new(journal: Writer, syncer: Syncer, limits: &SessionLimits) -> Self {
        let (max_bytes, disk_share) = (limits.output_bytes, DiskShare::new(limits.disk_reserve_bytes));
        Self { journal, syncer, used_bytes: 0, max_bytes, disk_share, has_pending: false }
    }

    /// The output so far, in bytes, as it counts against the limit.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Length of the journal's file, in bytes.
    pub fn written_bytes(&self) -> u64 {
        self.journal.written_bytes()
    }

    /// Whether nothing was written to the journal.
    pub fn is_empty(&self) -> bool {
        self.journal.last_seq() == 0
    }

    /// Whether the journal has grown beyond its share of the disk. The first call that says so
    /// notes the reason for the reader.
    pub fn exceeds_disk_share(&mut self) -> bool {
        let is_exceeded = self.disk_share.is_exceeded(self.journal.file(), self.journal.written_bytes());
        if is_exceeded {
            self.write_note(Kind::Stderr, DISK_SHARE_NOTE);
        }
        is_exceeded
    }

    /// Appends an entry. Returns `false` if the entry exceeds the limit. In that case, output is
    /// cut to the part that fits, a message is dropped, and no later entry fits any more.
    pub fn append(&mut self, kind: Kind, data: Bytes) -> bool {
        let room = usize::try_from(self.max_bytes - self.used_bytes).unwrap_or(usize::MAX);
        if data.len().max(MIN_CHARGE_BYTES) <= room {
            self.push(kind, data);
            return true;
        }
        if kind != Kind::Message {
            let is_inside_character = |at: usize| data.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
            let room = room.min(data.len());
            let cut =
                (room.saturating_sub(3)..=room).rev().find(|at| !is_inside_character(*at)).unwrap_or(room);
            self.push(kind, data.slice(..cut));
        }
        self.used_bytes = self.max_bytes;
        false
    }

    fn push(&mut self, kind: Kind, data: Bytes) {
        if !data.is_empty() {
            self.used_bytes += data.len().max(MIN_CHARGE_BYTES) as u64;
            self.journal.push_shared(kind, now_us(), data);
            self.has_pending = true;
        }
    }

    /// Appends a note of LiveCode's own, as output of this kind: the program's standard error, or
    /// output of the compiler. The limit does not apply to it.
    pub fn write_note(&mut self, kind: Kind, text: &str) {
        self.journal.push(kind, now_us(), format!("livecode: {text}\n").as_bytes());
        self.has_pending = true;
    }

    /// Writes the appended entries to the file. Returns whether there were any; if so, the servers
    /// must be notified.
    pub fn flush(&mut self) -> bool {
        if !std::mem::take(&mut self.has_pending) {
            return false;
        }
        // Entries for which the disk has no room keep their numbers, so readers see a gap.
        let _ = self.journal.flush();
        self.syncer.mark_dirty();
        true
    }

    /// Returns a notice that says how far the journal reaches, and what else is known by then.
    pub fn progress(
        &self,
        started_us: Option<u64>,
        active_us: Option<u64>,
        compile_result: CompileResult,
        wait: Option<u64>,
    ) -> SupervisorNotice {
        SupervisorNotice::Progress {
            entries: self.journal.last_seq(),
            bytes: self.journal.written_bytes(),
            started_us,
            active_us,
            compiled: compile_result.compiled,
            stored_bytes: compile_result.stored_bytes,
            wait,
            ended: false,
        }
    }

    /// Writes the closing entry. Returns the last progress notice, and the syncer, which the
    /// caller finishes when all servers have been notified.
    ///
    /// # Errors
    /// Fails if the closing entry could not be written, not even into the reserve. The server then
    /// closes the journal.
    pub fn finish(
        mut self,
        closing_entry: &ClosingEntry,
        compile_result: CompileResult,
    ) -> Result<(SupervisorNotice, Syncer), WriteError> {
        self.flush();
        let entries = self.journal.last_seq() + 1;
        let json = serde_json::to_vec(closing_entry).unwrap_or_default();
        let bytes = self.journal.finish(closing_entry.ended_us, &json)?;
        let started_us = (closing_entry.started_us != 0).then_some(closing_entry.started_us);
        let CompileResult { compiled, stored_bytes } = compile_result;
        let progress = SupervisorNotice::Progress {
            entries,
            bytes,
            started_us,
            active_us: None,
            compiled,
            stored_bytes,
            wait: None,
            ended: true,
        };
        Ok((progress, self.syncer))
    }
}
