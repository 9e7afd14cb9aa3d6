//! The rows: each is an attack, with what must exist before it and the settings of its server.

use std::sync::Arc;

use anyhow::Result;
use serde_json::Value;

use crate::{
    attacker::{Attacker, Work},
    attacks::{bodies, connections, creations, lists, nothing, prepare_nothing, programs, streams},
    neighbour::Kind,
    server::Server,
    siege::P99_RATIO_MAX,
};

const MIB: u64 = 1024 * 1024;

/// How much a row prepares: a short run uses less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub is_short: bool,
}

impl Size {
    /// The number for a full run, or the one for a short run.
    pub fn pick(self, full: u64, short: u64) -> u64 {
        if self.is_short { short } else { full }
    }
}

/// One attack.
pub struct Row {
    pub name: &'static str,
    /// The action of the stranger.
    pub what: &'static str,
    /// Settings of the server that differ from the defaults.
    pub settings: &'static [(&'static str, u64)],
    /// The size of the disk that the server has for itself.
    pub disk_bytes: Option<u64>,
    /// The memory that the server has together with its programs.
    pub memory_bytes: Option<u64>,
    pub neighbour: Kind,
    /// Whether ratios of times are judged, or only printed.
    pub judges_times: bool,
    /// The largest allowed ratio of the p99 from a creation to the first output with the attack to
    /// that without.
    pub first_output_p99_max: f64,
    /// Makes what the attack needs.
    pub prepare: for<'s> fn(&'s mut Server, Size) -> Work<'s, Result<Value>>,
    /// Attacks until it is dropped.
    pub attack: fn(Arc<Attacker>) -> Work<'static, ()>,
}

/// A row with the default settings, a guest as the neighbour, and nothing to prepare.
const fn row(name: &'static str, what: &'static str, attack: fn(Arc<Attacker>) -> Work<'static, ()>) -> Row {
    Row {
        name,
        what,
        settings: &[],
        disk_bytes: None,
        memory_bytes: None,
        neighbour: Kind::Guest,
        judges_times: true,
        first_output_p99_max: P99_RATIO_MAX,
        prepare: prepare_nothing,
        attack,
    }
}

/// All rows.
pub const ROWS: &[Row] = &[
    Row {
        // These two show what the machine does to the times, and no server can change it.
        judges_times: false,
        ..row("nothing", "nothing: what the times differ by", |attacker| Box::pin(nothing::wait(attacker)))
    },
    Row {
        judges_times: false,
        ..row("busy", "half a core of work without a request: what the want of it costs", |attacker| {
            Box::pin(nothing::compute(attacker))
        })
    },
    Row {
        prepare: |server, size| Box::pin(streams::prepare_long_journal(server, size)),
        ..row("skips", "`?after=N` near the end of a long journal, with pings", |attacker| {
            Box::pin(streams::skip_with_pings(attacker))
        })
    },
    Row {
        prepare: |server, size| Box::pin(streams::prepare_long_journal(server, size)),
        ..row(
            "sse-reconnects",
            "server-sent events near the end of a long journal, again and again",
            |attacker| Box::pin(streams::reconnect_events(attacker)),
        )
    },
    Row {
        prepare: |server, size| Box::pin(streams::prepare_large_messages(server, size)),
        ..row("slow-watchers", "100 watchers of 4 MiB messages that do not read", |attacker| {
            Box::pin(streams::watch_without_reading(attacker))
        })
    },
    Row {
        prepare: |server, size| Box::pin(lists::prepare_kept_sessions(server, size)),
        ..row("lists", "`GET /sessions` by a stranger with many kept sessions", |attacker| {
            Box::pin(lists::list(attacker))
        })
    },
    row("files", "sessions with 15 MiB of files, one after another", |attacker| {
        Box::pin(bodies::post_files(attacker))
    }),
    row("unfinished-messages", "100 messages of 16 MiB on /livecode that never end", |attacker| {
        Box::pin(bodies::send_unfinished_messages(attacker))
    }),
    row("unfinished-bodies", "100 bodies of 16 MiB that never end, from four addresses", |attacker| {
        Box::pin(bodies::send_unfinished_bodies(attacker))
    }),
    row("slow-bodies", "500 bodies that arrive byte by byte", |attacker| {
        Box::pin(bodies::send_slow_bodies(attacker))
    }),
    row("json-bombs", "bodies of 14 MiB of `[1,1,…]` on eight connections", |attacker| {
        Box::pin(bodies::post_json_bombs(attacker))
    }),
    Row {
        settings: &[("SESSIONS_RUNNING_MAX", 32)],
        ..row("queued-messages", "events of 60 KB to sessions that have not begun", |attacker| {
            Box::pin(bodies::send_to_queued_sessions(attacker))
        })
    },
    row("creations", "sessions of `true`, as many as 16 connections can create", |attacker| {
        Box::pin(creations::create(attacker))
    }),
    Row {
        neighbour: Kind::Local,
        ..row("creations-local", "the same, beside the local user", |attacker| {
            Box::pin(creations::create(attacker))
        })
    },
    Row {
        // A queue that is worked off within the time for recovery.
        settings: &[("SESSIONS_QUEUED_PER_ADDRESS_MAX", 100)],
        neighbour: Kind::Users,
        // Fairness among users is what this row is about.
        first_output_p99_max: 1.5,
        prepare: |server, size| Box::pin(creations::prepare_tokens(server, size.pick(200, 50))),
        ..row(
            "greedy-user",
            "the same by one of 50 users, with ever other tokens, beside the 49",
            |attacker| Box::pin(creations::create_as_user(attacker)),
        )
    },
    Row {
        settings: &[("SESSIONS_QUEUED_PER_ADDRESS_MAX", 100)],
        neighbour: Kind::Users,
        prepare: |server, _| Box::pin(creations::prepare_tokens(server, 1)),
        ..row("creations-user", "the same by one of 50 users, with one token", |attacker| {
            Box::pin(creations::create_as_user(attacker))
        })
    },
    Row {
        // A queue that is worked off within the time for recovery.
        settings: &[("SESSIONS_RUNNING_MAX", 64), ("SESSIONS_QUEUED_MAX", 300)],
        // Among a hundred payers who ask for all that there is, the neighbour has its turn, and
        // waits for it: the server tells this crowd from a hundred schools by nothing.
        judges_times: false,
        ..row("creations-crowd", "the same by guests of a hundred addresses", |attacker| {
            Box::pin(creations::create_in_crowd(attacker))
        })
    },
    Row {
        // One address runs at most 32, for three seconds each. The queue is worked off within the
        // time for recovery.
        settings: &[("SESSIONS_RUNNING_MAX", 64), ("SESSIONS_QUEUED_PER_ADDRESS_MAX", 32)],
        ..row("tokens", "sessions that wait, each with a new token, until no place is left", |attacker| {
            Box::pin(creations::create_with_new_tokens(attacker))
        })
    },
    Row {
        settings: &[("KEEP_MAX_BYTES", 64 * MIB)],
        ..row("retention", "ended sessions of 4 MiB with new tokens, which evict others", |attacker| {
            Box::pin(creations::fill_retention(attacker))
        })
    },
    row("deletions", "sessions that are created and deleted at once", |attacker| {
        Box::pin(creations::create_and_delete(attacker))
    }),
    row("compilations", "C programs that nobody compiled before", |attacker| {
        Box::pin(creations::compile(attacker))
    }),
    Row {
        settings: &[("CONNECTIONS_MAX", 256)],
        ..row("idle-livecode", "300 idle websockets of /livecode that answer pings", |attacker| {
            Box::pin(connections::hold_websockets(attacker))
        })
    },
    Row {
        settings: &[("CONNECTIONS_MAX", 256)],
        ..row("idle-connections", "600 connections that send nothing", |attacker| {
            Box::pin(connections::hold_idle(attacker))
        })
    },
    Row {
        settings: &[("CONNECTIONS_MAX", 256)],
        ..row("slow-heads", "300 connections that send a head byte by byte", |attacker| {
            Box::pin(connections::send_slow_heads(attacker))
        })
    },
    row("reconnects", "connections that are opened and reset", |attacker| {
        Box::pin(connections::reconnect(attacker))
    }),
    row("requests", "requests for sessions that do not exist, as many as possible", |attacker| {
        Box::pin(connections::flood_requests(attacker))
    }),
    row("unread-answers", "pipelined requests whose answers are not read", |attacker| {
        Box::pin(connections::leave_answers_unread(attacker))
    }),
    row("message-floods", "messages beyond the rate, and more after the close", |attacker| {
        Box::pin(connections::flood_messages(attacker))
    }),
    row("newlines", "programs that write newlines on the message channel", |attacker| {
        Box::pin(programs::write_newlines(attacker))
    }),
    row("output-floods", "programs that print without end", |attacker| {
        Box::pin(programs::flood_output(attacker))
    }),
    Row {
        disk_bytes: Some(400 * MIB),
        ..row("disk", "programs with 1 GiB of output on a disk of 400 MiB", |attacker| {
            Box::pin(programs::fill_disk(attacker))
        })
    },
    Row {
        memory_bytes: Some(2048 * MIB),
        ..row("memory", "32 programs with 240 MiB each on a machine of 2 GiB", |attacker| {
            Box::pin(programs::hold_memory(attacker))
        })
    },
];

/// The rows of the short run: those that hold memory or fill the disk, and one with users.
pub const SHORT: [&str; 8] = [
    "skips",
    "slow-watchers",
    "unfinished-messages",
    "json-bombs",
    "creations",
    "greedy-user",
    "message-floods",
    "disk",
];

/// The crowd of one of the figures. It is prepared there.
pub const CROWD: &Row = &row("skip-crowd", "1,000 watchers near the end of a long journal", |attacker| {
    Box::pin(streams::watch_in_crowd(attacker))
});

/// The row with this name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().chain([CROWD]).find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_run_consists_of_rows() {
        for name in SHORT {
            assert!(find(name).is_some(), "{name}");
        }
    }
}
