//! The server's log: one line for each event on standard error, as text or as JSON, without colours
//! and control characters.

use std::{
    fmt,
    io::{self, Write},
};

use livecode_protocol::{Printable, PrintableJson};
use livecode_sandbox::report::describe_panic;
use livecode_server::config::LogFormat;
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        format::{FmtSpan, Writer as FormatWriter},
        time::{FormatTime as _, SystemTime},
    },
};

/// Sets up the log of this process. `RUST_LOG` decides what is logged. Panics are logged, too.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Each span that is logged also logs its duration when it ends.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(move || LogWriter(format))
        .with_ansi(false)
        .with_target(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).init(),
    }
    std::panic::set_hook(Box::new(|info| tracing::error!("{}", describe_panic(info))));
}

/// The time now, as the log writes it.
pub fn timestamp() -> String {
    let mut text = String::new();
    // Writing into a text does not fail.
    let _ = SystemTime.format_time(&mut FormatWriter::new(&mut text));
    text
}

/// Writes events of the log. Each call of `write` gets one whole event, which becomes one line.
struct LogWriter(LogFormat);

impl Write for LogWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let line = match self.0 {
            LogFormat::Text => line(Printable(text)),
            LogFormat::Json => line(PrintableJson(text)),
        };
        io::stderr().write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // standard error is not buffered
    }
}

fn line(text: impl fmt::Display) -> String {
    format!("{text}\n")
}
