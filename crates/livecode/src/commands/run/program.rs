//! The files of a program: its main file and those beside it.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use livecode_protocol::session::{Encoding, SourceFile};

/// The name of a program that comes from standard input, unless a runtime has a better one.
const STANDARD_INPUT: &str = "-";
/// The variable that names the file to run, if its text cannot be sent as `code`.
const SOURCE_FILE_VARIABLE: &str = "FALCON_SOURCE_FILE";

/// A program as it was read from this machine.
pub struct Program {
    /// The name of the main file in the session.
    pub name: String,
    /// The bytes of the main file.
    pub source: Vec<u8>,
    /// The files beside it: their names in the session, and their bytes.
    pub files: Vec<(String, Vec<u8>)>,
    /// Whether the main file is standard input.
    pub is_standard_input: bool,
}

/// The fields of a request that make up the program.
pub struct ProgramFields {
    pub code: Option<String>,
    pub code_filename: Option<String>,
    pub files: Vec<SourceFile>,
}

impl Program {
    /// Reads the file `path`, or standard input if the path is `-`, and the additional files.
    pub fn read(path: &Path, additional: &[PathBuf]) -> anyhow::Result<Self> {
        let is_standard_input = path == Path::new(STANDARD_INPUT);
        let (name, source) = if is_standard_input {
            let mut source = vec![];
            io::stdin().read_to_end(&mut source).context("cannot read the program from standard input")?;
            (STANDARD_INPUT.to_owned(), source)
        } else {
            (file_name(path)?, read_file(path)?)
        };
        let files = additional
            .iter()
            .map(|file| Ok((name_relative_to(path, file)?, read_file(file)?)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { name, source, files, is_standard_input })
    }

    /// The program as fields of a request.
    ///
    /// The main file is sent as `code`, because the server then compiles the files beside it too.
    /// Only a main file that is not UTF-8 is sent among the others, and named in `env`.
    pub fn into_parts(self, env: &mut BTreeMap<String, String>) -> ProgramFields {
        let mut files: Vec<_> =
            self.files.into_iter().map(|(name, bytes)| source_file(name, bytes)).collect();
        // A program from standard input gets the name that its runtime runs.
        let name = (!self.is_standard_input).then_some(self.name);
        match (String::from_utf8(self.source), name) {
            (Ok(code), code_filename) => ProgramFields { code: Some(code), code_filename, files },
            (Err(error), name) => {
                let name = name.unwrap_or_else(|| "program".to_owned());
                env.insert(SOURCE_FILE_VARIABLE.to_owned(), name.clone());
                files.insert(0, source_file(name, error.into_bytes()));
                ProgramFields { code: None, code_filename: None, files }
            }
        }
    }
}

/// Reads a regular file.
pub fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path.is_dir() {
        bail!("{} is a folder; give its files one by one", path.display());
    }
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A file of a request; bytes that are not UTF-8 are encoded as base64.
fn source_file(filename: String, bytes: Vec<u8>) -> SourceFile {
    match String::from_utf8(bytes) {
        Ok(contents) => SourceFile { filename, contents, encoding: None },
        Err(error) => {
            let contents = BASE64_STANDARD.encode(error.as_bytes());
            SourceFile { filename, contents, encoding: Some(Encoding::Base64) }
        }
    }
}

/// The name of an additional file in the session: its path relative to the program's folder if it
/// is below that folder, otherwise the last part of its path.
pub fn name_relative_to(program: &Path, path: &Path) -> anyhow::Result<String> {
    // `Path::components` removes every `.` except a leading one.
    let without_dots =
        |path: &Path| -> PathBuf { path.components().filter(|part| *part != Component::CurDir).collect() };
    let (program, path) = (without_dots(program), without_dots(path));
    let inside = path
        .strip_prefix(program.parent().unwrap_or(Path::new("")))
        .ok()
        .filter(|inside| inside.components().all(|part| matches!(part, Component::Normal(_))));
    match inside {
        Some(inside) => {
            let name = inside.to_str().map(str::to_owned);
            name.with_context(|| format!("the name of {} is not UTF-8", path.display()))
        }
        None => file_name(&path),
    }
}

fn file_name(path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).with_context(|| format!("{} has no file name in UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_below_the_program_keep_their_relative_path() {
        for (program, path, name) in [
            ("main.py", "data/x.txt", "data/x.txt"),
            ("main.py", "./x.txt", "x.txt"),
            ("./main.py", "x.txt", "x.txt"),
            ("src/main.c", "src/util.h", "util.h"),
            ("src/main.c", "./src/a/../util.h", "util.h"),
            ("src/main.c", "data/x.txt", "x.txt"),
            ("main.py", "../x.txt", "x.txt"),
            ("main.py", "/data/x.txt", "x.txt"),
            ("/p/main.py", "/p/lib/x.py", "lib/x.py"),
        ] {
            assert_eq!(
                name_relative_to(Path::new(program), Path::new(path)).unwrap(),
                name,
                "{program} {path}"
            );
        }
        assert!(name_relative_to(Path::new("main.py"), Path::new("..")).is_err());
    }

    #[test]
    fn only_a_main_file_that_is_no_text_is_named_in_a_variable() {
        let program = |source: &[u8]| Program {
            name: "start.py".into(),
            source: source.to_vec(),
            files: vec![("data".into(), b"\xff".to_vec())],
            is_standard_input: false,
        };
        let mut env = BTreeMap::new();
        let text = program(b"print(1)").into_parts(&mut env);
        assert_eq!(
            (text.code.as_deref(), text.code_filename.as_deref()),
            (Some("print(1)"), Some("start.py"))
        );
        assert!(env.is_empty() && text.files.len() == 1);
        let bytes = program(b"print('\xff')").into_parts(&mut env);
        assert!(bytes.code.is_none() && bytes.files[0].filename == "start.py");
        assert_eq!(env["FALCON_SOURCE_FILE"], "start.py");
    }
}
