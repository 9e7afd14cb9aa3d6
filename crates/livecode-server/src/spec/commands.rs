//! The commands of a session: the compile steps and the program.

use livecode_protocol::{
    FileName,
    session::{CreateSession, Mode},
};

use crate::{
    catalogue::Runtime,
    spec::{bad_field::BadField, files::Files},
};

/// The largest size of the program's name and its arguments together, in bytes.
const MAX_ARGUMENT_BYTES: usize = 64 * 1024;

/// The file that is run.
pub(super) struct SourceChoice {
    pub name: FileName,
    /// Whether the request chose the file among several (`FALCON_SOURCE_FILE`). Then `{sources}`
    /// stands for this file alone.
    pub is_explicit: bool,
}

/// The commands of a session, each a program and its arguments.
pub(super) struct Commands {
    pub compile: Vec<Vec<String>>,
    pub run: Vec<String>,
}

impl Commands {
    /// Takes the command of the request, or else that of the runtime for this mode.
    pub fn resolve(
        request: &CreateSession,
        runtime: &Runtime,
        mode: Mode,
        source: &SourceChoice,
        files: &Files,
    ) -> Result<Self, BadField> {
        let manifest = &runtime.manifest;
        let fill = |command: &Vec<String>| fill_placeholders(command, source, files);
        let mut commands = match (&request.command, mode) {
            (Some(command), _) => {
                if command.first().is_none_or(String::is_empty) {
                    return Err(BadField::new(
                        "command",
                        "needs at least a program, e.g. [\"python\", \"main.py\"]",
                    ));
                }
                Self { compile: vec![], run: command.clone() }
            }
            (None, Mode::Test) => {
                let bad = |detail| BadField::new("mode", detail);
                let name = &runtime.name;
                let test = manifest.test.as_ref();
                let test = test.ok_or_else(|| bad(format!("the runtime {name:?} has no test mode")))?;
                if let Some(needs) = &runtime.test_needs {
                    return Err(bad(format!("the test mode of {name:?} cannot run here: {needs}")));
                }
                Self { compile: vec![], run: fill(&test.run) }
            }
            (None, Mode::Exec) => {
                if !files.contains_key(&source.name) {
                    let detail =
                        format!("there is no file {:?} to run among those given", source.name.as_str());
                    return Err(BadField::new("files", detail));
                }
                Self { compile: manifest.compile.iter().map(fill).collect(), run: fill(&manifest.run) }
            }
        };
        commands.run.extend(request.args.iter().flatten().cloned());
        let field = if request.args.is_some() { "args" } else { "command" };
        let bytes: usize = commands.run.iter().map(|word| word.len() + 1).sum();
        if bytes > MAX_ARGUMENT_BYTES {
            let detail = format!("the command has {bytes} bytes; at most {MAX_ARGUMENT_BYTES} are allowed");
            return Err(BadField::new(field, detail));
        }
        if commands.run.iter().any(|word| word.contains('\0')) {
            return Err(BadField::new(field, "no word of a command may contain a NUL character"));
        }
        Ok(commands)
    }
}

/// Replaces `{source}` and `{sources}` in a command of a runtime.
fn fill_placeholders(command: &[String], source: &SourceChoice, files: &Files) -> Vec<String> {
    let mut words = vec![];
    for word in command {
        if word == "{sources}" {
            words.push(source.name.to_string());
            if !source.is_explicit {
                words.extend(sibling_sources(&source.name, files));
            }
        } else {
            words.push(word.replace("{source}", source.name.as_str()));
        }
    }
    words
}

/// The other files with the same extension in the same folder. Test files of Go are left out,
/// which Go's tools recognize by their names.
fn sibling_sources<'f>(source: &'f FileName, files: &'f Files) -> impl Iterator<Item = String> + 'f {
    fn folder_and_extension(name: &FileName) -> (&str, &str) {
        let (folder, file) = name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()));
        (folder, file.rsplit_once('.').map_or("", |(_, extension)| extension))
    }
    files
        .keys()
        .filter(move |name| *name != source && folder_and_extension(name) == folder_and_extension(source))
        .filter(|name| !name.as_str().ends_with("_test.go"))
        .map(FileName::to_string)
}
