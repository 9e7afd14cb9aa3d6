//! Messages of the command itself, as opposed to the program's output.

use std::{
    fmt,
    io::{self, Write as _},
};

/// Prints a message for the user on standard error. Errors are ignored, since standard error may
/// be closed.
pub fn print_status(message: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "livecode: {message}");
}
