//! The document.

use std::fmt::Write as _;

use crate::table::{Row, table};

/// The table, what the machine was, and how to do it again.
pub fn document(facts: &[(&'static str, String)], rows: &[Row], is_quick: bool) -> String {
    let mut text = String::from(INTRODUCTION);
    if is_quick {
        text += "\n**Made with `--quick`: a test of the bench, not a measurement.**\n";
    }
    text += "\n## The machine\n\n| | |\n| --- | --- |\n";
    for (name, value) in facts {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text += "\n## The table\n\n";
    text += &table(rows);
    text += READING;
    text
}

const INTRODUCTION: &str = "# How fast it is

Written by `make bench`, whole; do not edit.

```text
make bench                          # the table, and this file; about twenty minutes
make bench ONLY=exit,rate           # some rows, printed
```
";

const READING: &str = "
## How to read it
";
