//! Where the server's log goes: standard error, in lines without control characters.

use std::io::{self, Write};

use livecode_protocol::Printable;

/// Writes events of the log. Each call of `write` gets one whole event, which becomes one line.
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = format!("{}\n", Printable(text.strip_suffix('\n').unwrap_or(&text)));
        io::stderr().write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // standard error is not buffered
    }
}
