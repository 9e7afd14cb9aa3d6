//! Text for logs, in which no character controls a terminal or ends a line.

use std::fmt::{self, Write as _};

/// Displays a value with every control character escaped as in a Rust string: `\n`, `\u{1b}`.
/// Strangers and their programs choose parts of what is logged, such as names and paths.
pub struct Printable<T>(pub T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(f), "{}", self.0)
    }
}

/// Displays a line of JSON with every control character escaped. JSON itself demands that of those
/// in ASCII but for one (`\u{7f}`), and a serializer leaves the others as they are.
pub struct PrintableJson<T>(pub T);

impl<T: fmt::Display> fmt::Display for PrintableJson<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(JsonEscaper(f), "{}", self.0)
    }
}

struct JsonEscaper<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for JsonEscaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|char| match char.is_control() {
            true => write!(self.0, "\\u{:04x}", u32::from(char)),
            false => self.0.write_char(char),
        })
    }
}

/// Escapes what is written through it.
struct Escaper<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for Escaper<'_, '_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while let Some((plain, control)) = text.find(char::is_control).map(|at| text.split_at(at)) {
            self.0.write_str(plain)?;
            let mut rest = control.chars();
            rest.next().map_or(Ok(()), |control| write!(self.0, "{}", control.escape_default()))?;
            text = rest.as_str();
        }
        self.0.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_control_characters_are_escaped() {
        assert_eq!(Printable("für \\ \"x\" €").to_string(), "für \\ \"x\" €");
        let text = Printable(format_args!("a{}b", "\x1b[2J\n\r\0\u{9b}31m")).to_string();
        assert_eq!(text, "a\\u{1b}[2J\\n\\r\\u{0}\\u{9b}31mb");
        let json = serde_json::to_string("ü \u{9b}31m\u{7f}\n\"").unwrap();
        let line = PrintableJson(&json).to_string();
        assert_eq!(line, r#""ü \u009b31m\u007f\n\"""#);
        assert_eq!(
            serde_json::from_str::<String>(&line).unwrap(),
            serde_json::from_str::<String>(&json).unwrap()
        );
    }
}
