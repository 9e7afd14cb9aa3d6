//! The program's environment: built from nothing, and what the old protocol says by variables.

use std::collections::BTreeMap;

use livecode_protocol::{FileName, session::Mode};

use crate::catalogue::Runtime;
use crate::spec::{BadField, file_name};

/// Names and values of a request together, in bytes.
const MAX_ENVIRONMENT_BYTES: usize = 64 * 1024;
/// Names that start so are LiveCode's own.
const RESERVED_PREFIX: &str = "LIVECODE_";

/// A request's variables, checked, and what some of them mean.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pub variables: BTreeMap<String, String>,
    /// `FALCON_SOURCE_FILE`: the file to run.
    pub source_file: Option<FileName>,
    /// `FALCON_STDIN`: standard input.
    pub stdin: Option<String>,
    /// `FALCON_MODE`.
    pub mode: Mode,
}

pub(super) fn check(variables: Option<&BTreeMap<String, String>>) -> Result<Environment, BadField> {
    let Some(variables) = variables else { return Ok(Environment::default()) };
    let mut environment = Environment { variables: variables.clone(), ..Environment::default() };
    let mut bytes = 0;
    for (name, value) in variables {
        let field = format!("env.{name}");
        let is_name = |(at, letter): (usize, char)| {
            letter == '_' || letter.is_ascii_alphabetic() || (at > 0 && letter.is_ascii_digit())
        };
        if name.is_empty() || !name.chars().enumerate().all(is_name) {
            return Err(BadField::new(
                field,
                "a variable's name has letters, digits and '_', and starts with no digit",
            ));
        }
        if name.starts_with(RESERVED_PREFIX) {
            return Err(BadField::new(field, "names that start with LIVECODE_ are LiveCode's own"));
        }
        if value.contains('\0') {
            return Err(BadField::new(field, "a value must not hold a NUL"));
        }
        bytes += name.len() + value.len() + 2;
        match (name.as_str(), value.as_str()) {
            ("FALCON_SOURCE_FILE", value) => environment.source_file = Some(file_name(&field, value)?),
            ("FALCON_STDIN", value) => environment.stdin = Some(unescape(&field, value)?),
            ("FALCON_MODE", "test") => environment.mode = Mode::Test,
            ("FALCON_MODE", "exec" | "") => {}
            ("FALCON_MODE", _) => return Err(BadField::new(field, "must be \"exec\" or \"test\"")),
            _ => {}
        }
    }
    if bytes > MAX_ENVIRONMENT_BYTES {
        return Err(BadField::new(
            "env",
            format!("{bytes} bytes; at most {MAX_ENVIRONMENT_BYTES} are taken"),
        ));
    }
    Ok(environment)
}

/// The text that JSON string escapes without the quotes stand for. Newlines may stand for themselves.
fn unescape(field: &str, value: &str) -> Result<String, BadField> {
    let quoted = format!("\"{}\"", value.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t"));
    serde_json::from_str(&quoted).map_err(|error| {
        BadField::new(field, format!("must be a text in JSON's string escapes, without the quotes: {error}"))
    })
}

/// The whole environment of a program: LiveCode's, the runtime's, the request's; the later wins. Only lists of folders,
/// such as `PATH`, are joined, the request's first.
pub(super) fn build(runtime: &Runtime, request: BTreeMap<String, String>) -> Vec<(String, String)> {
    let own = [
        ("HOME", "/code"),
        ("PWD", "/code"),
        ("USER", "user"),
        ("LOGNAME", "user"),
        ("LANG", "C.UTF-8"),
        ("TMPDIR", "/tmp"),
    ];
    let mut all: BTreeMap<String, String> =
        own.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    all.extend(runtime.manifest.env.clone());
    all.extend(request);
    for (name, folders) in &runtime.search_paths {
        let list = all.entry(name.clone()).or_default();
        if !list.is_empty() {
            list.push(':');
        }
        list.push_str(folders);
    }
    all.into_iter().collect()
}
