//! The environment of a program. It is built from nothing; the server's own is not passed on. Some
//! variables of a request are parameters of the v0.1 protocol.

use std::collections::BTreeMap;

use livecode_protocol::{FileName, session::Mode};

use crate::{
    catalogue::Runtime,
    spec::{bad_field::BadField, files::parse_file_name},
};

/// The largest size of the names and values of a request together, in bytes.
const MAX_ENVIRONMENT_BYTES: usize = 64 * 1024;
/// Prefix of the variables that only LiveCode may set.
const RESERVED_PREFIX: &str = "LIVECODE_";

/// The checked variables of a request, and the parameters that some of them hold.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pub variables: BTreeMap<String, String>,
    /// `FALCON_SOURCE_FILE`: the file to run.
    pub source_file: Option<FileName>,
    /// `FALCON_STDIN`: standard input.
    pub stdin: Option<String>,
    /// `FALCON_MODE`: whether the tests are run instead of the program.
    pub mode: Mode,
}

/// Checks the variables of a request.
pub(super) fn check(variables: Option<&BTreeMap<String, String>>) -> Result<Environment, BadField> {
    let Some(variables) = variables else { return Ok(Environment::default()) };
    let mut environment = Environment { variables: variables.clone(), ..Environment::default() };
    let mut bytes = 0;
    for (name, value) in variables {
        let field = format!("env.{name}");
        let is_allowed = |(index, letter): (usize, char)| {
            letter == '_' || letter.is_ascii_alphabetic() || (index > 0 && letter.is_ascii_digit())
        };
        if name.is_empty() || !name.chars().enumerate().all(is_allowed) {
            return Err(BadField::new(
                field,
                "a variable's name consists of letters, digits and '_', and does not start with a digit",
            ));
        }
        if name.starts_with(RESERVED_PREFIX) {
            return Err(BadField::new(field, "names that start with LIVECODE_ are reserved for LiveCode"));
        }
        if value.contains('\0') {
            return Err(BadField::new(field, "a value must not contain a NUL character"));
        }
        bytes += name.len() + value.len() + 2;
        match (name.as_str(), value.as_str()) {
            ("FALCON_SOURCE_FILE", value) => environment.source_file = Some(parse_file_name(&field, value)?),
            ("FALCON_STDIN", value) => environment.stdin = Some(unescape(&field, value)?),
            ("FALCON_MODE", "test") => environment.mode = Mode::Test,
            ("FALCON_MODE", "exec" | "") => {}
            ("FALCON_MODE", _) => return Err(BadField::new(field, "must be \"exec\" or \"test\"")),
            _ => {}
        }
    }
    if bytes > MAX_ENVIRONMENT_BYTES {
        let detail = format!("the variables have {bytes} bytes; at most {MAX_ENVIRONMENT_BYTES} are allowed");
        return Err(BadField::new("env", detail));
    }
    Ok(environment)
}

/// Decodes a text in the escapes of a JSON string without its quotes. Newlines, carriage returns
/// and tabs may stand unescaped.
fn unescape(field: &str, value: &str) -> Result<String, BadField> {
    let quoted = format!("\"{}\"", value.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t"));
    serde_json::from_str(&quoted).map_err(|error| {
        BadField::new(field, format!("must be a text in JSON's string escapes, without the quotes: {error}"))
    })
}

/// The `PATH` of a runtime's programs, if the request sets none.
pub(super) fn search_path(runtime: &Runtime) -> String {
    let variables = build(runtime, BTreeMap::new(), str::to_owned);
    variables.into_iter().find(|(name, _)| name == "PATH").map_or_else(String::new, |(_, value)| value)
}

/// Builds the whole environment of a program from LiveCode's variables, the runtime's and the
/// request's; a later one replaces an earlier one of the same name. Only the search paths of the
/// runtime, such as `PATH`, are joined instead: the folders of the request come first. `fill` fills
/// in the placeholders of the runtime's variables.
pub(super) fn build(
    runtime: &Runtime,
    request: BTreeMap<String, String>,
    fill: impl Fn(&str) -> String,
) -> Vec<(String, String)> {
    let base = [
        ("HOME", "/code"),
        ("PWD", "/code"),
        ("USER", "user"),
        ("LOGNAME", "user"),
        ("LANG", "C.UTF-8"),
        ("TMPDIR", "/tmp"),
    ];
    let mut variables: BTreeMap<String, String> =
        base.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    variables.extend(runtime.manifest.env.iter().map(|(name, value)| (name.clone(), fill(value))));
    variables.extend(request);
    for (name, folders) in &runtime.search_paths {
        let search_path = variables.entry(name.clone()).or_default();
        if !search_path.is_empty() {
            search_path.push(':');
        }
        search_path.push_str(folders);
    }
    variables.into_iter().collect()
}
