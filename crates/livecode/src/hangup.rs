//! SIGHUP: its sender wants either that the server reads its runtimes again, or says that the
//! terminal is gone in which the server was started.

use std::fs;

/// The number of SIGHUP, as a bit of the masks in /proc.
const SIGHUP_BIT: u64 = 1;

/// The terminal of this process, when it was started.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Whether the server is to end with its terminal. It is not if there was none, or if SIGHUP
    /// was ignored, as under nohup(1).
    ends_server: bool,
}

impl Terminal {
    /// Looks at the terminal; called before a handler for SIGHUP is installed.
    pub fn at_start() -> Self {
        Self { ends_server: has_terminal() && !is_hangup_ignored() }
    }

    /// Whether the terminal is gone with which the server is to end.
    pub fn has_ended(self) -> bool {
        self.ends_server && !has_terminal()
    }
}

/// Whether this process has a controlling terminal. The kernel takes it away when the terminal
/// hangs up, and sends SIGHUP then.
fn has_terminal() -> bool {
    fs::File::open("/dev/tty").is_ok()
}

fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & SIGHUP_BIT != 0)
}
