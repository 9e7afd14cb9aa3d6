//! Messages of the command itself, as opposed to the program's output.

use std::{
    fmt,
    io::{self, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

use livecode_protocol::Printable;

/// Whether the user wants no notes.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Prints an error for the user on standard error. Failures are ignored, since standard error may
/// be closed.
pub fn print_status(message: fmt::Arguments<'_>) {
    // A server may have written a part of it.
    let message = message.to_string();
    let lines: Vec<_> = message.split('\n').map(|line| Printable(line).to_string()).collect();
    let _ = writeln!(io::stderr(), "livecode: {}", lines.join("\n"));
}

/// Prints a note that is no error, such as a lost connection. `--quiet` silences notes.
pub fn print_note(message: fmt::Arguments<'_>) {
    if !IS_QUIET.load(Ordering::Relaxed) {
        print_status(message);
    }
}

/// Prints no notes from now on.
pub fn silence_notes() {
    IS_QUIET.store(true, Ordering::Relaxed);
}
