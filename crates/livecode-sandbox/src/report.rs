//! Lines of the log that processes other than the server write, to the standard error that they
//! have inherited from it.

use std::{
    fmt,
    io::{self, Write as _},
    panic::PanicHookInfo,
    sync::atomic::{AtomicBool, Ordering},
};

use livecode_protocol::{Printable, PrintableJson};

/// Whether the lines are JSON. A forked process inherits the value.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Decides the form of the lines of this process and of those that it forks, and has panics
/// reported in it.
pub fn set_up(is_json: bool) {
    IS_JSON.store(is_json, Ordering::Relaxed);
    std::panic::set_hook(Box::new(|info| report(format_args!("livecode: {}", describe_panic(info)))));
}

/// Writes one line, with every control character escaped. Each line is written by one call, since
/// several processes have the same standard error.
pub fn report(message: fmt::Arguments<'_>) {
    let line = if IS_JSON.load(Ordering::Relaxed) {
        let timestamp = format!("{:.6}", jiff::Timestamp::now());
        let line = serde_json::json!({
            "timestamp": timestamp, "level": "WARN", "message": message.to_string(),
        });
        format!("{}\n", PrintableJson(line))
    } else {
        format!("{}\n", Printable(message))
    };
    // There is no other place for the line if standard error is closed.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Where a panic happened. Its message is a part only if it is a constant, since others may quote
/// a program.
pub fn describe_panic(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map_or_else(|| "an unknown place".into(), ToString::to_string);
    match info.payload().downcast_ref::<&'static str>() {
        Some(message) => format!("panicked at {place}: {message}"),
        None => format!("panicked at {place}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn the_report_of_a_panic_quotes_no_program() {
        static REPORTS: Mutex<Vec<String>> = Mutex::new(vec![]);
        let program = String::from("für print");
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(|info| REPORTS.lock().unwrap().push(describe_panic(info))));
        assert!(std::panic::catch_unwind(|| program[..2].len()).is_err());
        assert!(std::panic::catch_unwind(|| panic!("a constant")).is_err());
        std::panic::set_hook(before);
        let reports = REPORTS.lock().unwrap();
        assert!(reports.iter().all(|report| report.starts_with("panicked at ") && !report.contains("print")));
        assert!(reports.iter().any(|report| report.ends_with(": a constant")), "{reports:?}");
    }
}
