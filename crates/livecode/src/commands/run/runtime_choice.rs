//! The runtime for a program, if the user names none.

use std::path::Path;

use anyhow::anyhow;
use livecode_server::catalogue::RuntimeInfo;

use super::find_runtime;

/// The name of the runtime for a program: the first that accepts its extension, or else the one
/// that its `#!` line names.
pub fn choose(name: &str, source: &[u8], runtimes: &[RuntimeInfo]) -> anyhow::Result<String> {
    let found = by_extension(name, runtimes).or_else(|| by_interpreter(source, runtimes));
    found.map(|runtime| runtime.name.clone()).ok_or_else(|| {
        let mut known = Vec::new();
        for extension in runtimes.iter().flat_map(|runtime| &runtime.extensions) {
            let extension = format!(".{extension}");
            if !known.contains(&extension) {
                known.push(extension);
            }
        }
        let program = if name == "-" { "a program from standard input" } else { name };
        anyhow!(
            "no runtime is known for {program} (known extensions: {}; a #! line is another way); choose one \
             with --runtime",
            known.join(" ")
        )
    })
}

/// The first runtime that accepts files with the extension of `name`.
pub fn by_extension<'r>(name: &str, runtimes: &'r [RuntimeInfo]) -> Option<&'r RuntimeInfo> {
    let extension = Path::new(name).extension()?.to_str()?;
    runtimes.iter().find(|runtime| runtime.extensions.iter().any(|known| known == extension))
}

/// The runtime that the first line names, as in `#!/usr/bin/python3` or `#!/usr/bin/env -S node`.
/// The version in an interpreter's name is left out if no runtime has the whole name.
fn by_interpreter<'r>(source: &[u8], runtimes: &'r [RuntimeInfo]) -> Option<&'r RuntimeInfo> {
    let line = source.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    let mut interpreter = words.next()?.rsplit('/').next()?;
    if interpreter == "env" {
        interpreter = words.find(|word| !word.starts_with('-') && !word.contains('='))?.rsplit('/').next()?;
    }
    let without_version = interpreter.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    find_runtime(interpreter, runtimes).or_else(|| find_runtime(without_version, runtimes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime(name: &str, aliases: &[&str], extensions: &[&str]) -> RuntimeInfo {
        let document = serde_json::json!({
            "name": name, "aliases": aliases, "title": name, "file": "main", "extensions": extensions,
            "editor_mode": "", "modes": ["exec"], "available": true, "example": "",
        });
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn the_first_runtime_with_the_extension_is_chosen() {
        let runtimes =
            [runtime("python", &[], &["py"]), runtime("go", &[], &["go"]), runtime("mypy", &[], &["py"])];
        let pick = |name: &str| choose(name, b"", &runtimes).map_err(|error| error.to_string());
        assert_eq!(pick("a/b.py").as_deref(), Ok("python"));
        assert_eq!(pick("x.go").as_deref(), Ok("go"));
        // Two of the runtimes have this extension.
        assert_eq!(pick("x.zzz").unwrap_err().matches(".py").count(), 1);
        for unknown in ["x.zzz", "py", ".py", "", "-"] {
            let error = pick(unknown).unwrap_err();
            assert!(error.contains(".py") && error.contains(".go") && error.contains("--runtime"), "{error}");
        }
    }

    #[test]
    fn the_first_line_names_an_interpreter() {
        let runtimes = [
            runtime("python", &["python3"], &["py"]),
            runtime("javascript", &["node"], &["js"]),
            runtime("bash", &["sh"], &["sh"]),
        ];
        let pick = |line: &str| choose("program", format!("{line}\nx").as_bytes(), &runtimes).ok();
        for (line, name) in [
            ("#!/usr/bin/python3", "python"),
            ("#! /usr/bin/env python3.11 -u", "python"),
            ("#!/usr/bin/env -S A=b node --trace", "javascript"),
            ("#!/bin/sh", "bash"),
        ] {
            assert_eq!(pick(line).as_deref(), Some(name), "{line}");
        }
        for line in ["#!", "#!/usr/bin/env", "# python3", "#!/usr/bin/unknown"] {
            assert_eq!(pick(line), None, "{line}");
        }
        assert_eq!(choose("a.js", b"#!/bin/sh", &runtimes).unwrap(), "javascript", "the extension decides");
    }
}
