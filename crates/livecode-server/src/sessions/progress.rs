//! How far a session is, and how it ended.

use livecode_protocol::{
    control::ClosingEntry,
    now_us,
    session::{CompileSummary, Compiled, Outcome, ReachedLimit, Usage},
};

/// How far a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SessionProgress {
    /// Number of the journal's last entry; 0 while there is none.
    pub entries: u64,
    /// Length of the journal in bytes. Readers may read up to here.
    pub bytes: u64,
    /// When the first step (a compile step or the program) started, in microseconds since the
    /// epoch.
    pub started_us: Option<u64>,
    /// When the program or a client was last active, in microseconds since the epoch.
    pub active_us: Option<u64>,
    /// Whether the program was compiled or found in the cache, once that is known. For an ended
    /// session the value is in `ended`; [`Self::compiled`] looks at both.
    pub compiled: Option<Compiled>,
    /// Which time it is that the program waits for standard input, from 1; `None` while it does
    /// not wait, as far as its supervisor can see.
    pub wait: Option<u64>,
    /// How the session ended, once it has.
    pub ended: Option<SessionEnd>,
    /// Whether the supervisor, the processes and the sandbox of the session are gone. This becomes
    /// true after `ended` is set.
    pub is_torn_down: bool,
}

impl SessionProgress {
    /// Whether the program was compiled or found in the cache, once that is known.
    pub fn compiled(&self) -> Option<Compiled> {
        self.compiled.or_else(|| self.ended?.compiled)
    }

    /// Takes over how the session ended, as read from its journal. If `ended` is `None`, no
    /// closing entry could be written; the session then ends as `lost`, with a closing entry
    /// numbered after the last entry that is known.
    pub(crate) fn finalize(&mut self, ended: Option<Self>, is_torn_down: bool) {
        match ended {
            Some(ended) => *self = Self { started_us: ended.started_us.or(self.started_us), ..ended },
            None if self.ended.is_none() => {
                self.entries += 1;
                self.ended = Some(SessionEnd::lost());
            }
            None => {}
        }
        self.is_torn_down = is_torn_down;
    }
}

/// How a session ended: the closing entry without the start time, which is in [`SessionProgress`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionEnd {
    /// The exit status.
    pub exitstatus: i32,
    /// The outcome.
    pub outcome: Outcome,
    /// When the session ended, in microseconds since the epoch.
    pub ended_us: u64,
    /// The resources that the session used, if they could be measured.
    pub usage: Option<Usage>,
    /// Whether the program was compiled or found in the cache; `None` if nothing was compiled.
    pub compiled: Option<Compiled>,
    /// How compilation ended, if the session tells it apart from the program.
    pub compile: Option<CompileSummary>,
    /// The limit that ended it, if one did and its closing entry tells.
    pub limit: Option<ReachedLimit>,
}

impl SessionEnd {
    /// The end of a session whose journal could not be closed.
    fn lost() -> Self {
        Self::new(&ClosingEntry::without_program(Outcome::Lost, 255, now_us()))
    }

    pub(crate) fn new(closing_entry: &ClosingEntry) -> Self {
        let &ClosingEntry { exitstatus, outcome, started_us: _, ended_us, usage, compiled, compile, limit } =
            closing_entry;
        Self { exitstatus, outcome, ended_us, usage, compiled, compile, limit }
    }

    /// The closing entry of this end, without the start time.
    pub(crate) fn closing_entry(self) -> ClosingEntry {
        let Self { exitstatus, outcome, ended_us, usage, compiled, compile, limit } = self;
        ClosingEntry { exitstatus, outcome, started_us: 0, ended_us, usage, compiled, compile, limit }
    }
}
