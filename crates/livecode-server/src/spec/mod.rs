//! From what a client asks for to what a supervisor is ordered to do: every default filled in, every value checked.
//! What is wrong is named by its field, with what would be right.

pub mod cache_key;
mod environment;
mod limits;

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use livecode_protocol::{
    FileName,
    run_spec::{Contents, Mount, RunFile, SessionLimits, Step},
    session::{CreateSession, Encoding, Mode, SourceFile},
};

pub use limits::{LimitFlags, LimitSettings};

use crate::catalogue::{Catalogue, Runtime};

/// Files of one session.
const MAX_FILES: usize = 1000;
/// Program and arguments together, in bytes.
const MAX_ARGUMENT_BYTES: usize = 64 * 1024;
/// What a file takes in memory is a multiple of this.
const PAGE_BYTES: u64 = 4096;
/// The file that is standard input instead of a file.
const STDIN_FILE: &str = "stdin";

/// A field that is wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct BadField {
    /// Its path, e.g. `files[0].filename`.
    pub field: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl BadField {
    /// A field and what is wrong with it.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }
}

/// Where a request came in. What it leaves out means something else on the old endpoints than on the new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/sessions`: standard input stays open for `input` messages.
    Sessions,
    /// v0.1's: there is no input but what came with the request, and the wall clock is short.
    V01,
}

/// An order but for the session's id and slot.
#[derive(Debug)]
pub struct ResolvedSpec {
    /// The runtime's own name.
    pub runtime: String,
    /// Compile steps.
    pub compile: Vec<Step>,
    /// The program.
    pub run: Step,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Files of the working directory.
    pub files: Vec<RunFile>,
    /// Standard input, where it is known already.
    pub stdin: Option<Contents>,
    /// Trees it sees.
    pub mounts: Vec<Mount>,
    /// Limits of the session.
    pub limits: SessionLimits,
    /// Whether the tests are run instead of the program.
    pub mode: Mode,
    /// What else decides what the compile steps make; `None` where nothing of it is kept.
    pub recipe: Option<cache_key::Recipe>,
}

/// Checks a request.
///
/// # Errors
/// The first field that is wrong.
pub fn resolve(
    request: &CreateSession,
    catalogue: &Catalogue,
    settings: &LimitSettings,
    endpoint: Endpoint,
) -> Result<ResolvedSpec, BadField> {
    let runtime = find_runtime(request.runtime.as_deref(), catalogue)?;
    let environment = environment::check(request.env.as_ref())?;
    let mode = request.mode.unwrap_or(environment.mode);
    let mut files = collect_files(request, runtime)?;
    let stdin_file = files.remove(&FileName::from_static(STDIN_FILE));
    let stdin = match (&request.stdin, stdin_file, environment.stdin) {
        (Some(_), Some(_), _) => {
            return Err(BadField::new(
                "stdin",
                "given twice: here and as a file named \"stdin\"; leave one out",
            ));
        }
        (Some(text), None, _) => Some(Contents::Text(text.clone())),
        (None, Some(contents), _) => Some(contents),
        (None, None, Some(text)) => Some(Contents::Text(text)),
        (None, None, None) if endpoint == Endpoint::V01 => Some(Contents::Text(String::new())),
        (None, None, None) => None,
    };
    let source = match (environment.source_file, &request.code_filename) {
        (Some(picked), _) => Source { name: picked, is_picked: true },
        (None, Some(name)) if request.code.is_some() => {
            Source { name: file_name("code_filename", name)?, is_picked: false }
        }
        _ => Source { name: runtime.manifest.file.clone(), is_picked: false },
    };

    let limits = limits::resolve(request, runtime, settings, endpoint)?;
    check_room(request, &files, &limits.session)?;
    let commands = Commands::choose(request, runtime, mode, &source, &files)?;
    let step = |argv: Vec<String>, limits| Step { argv, limits };
    let recipe = (!commands.compile.is_empty()).then(|| cache_key::Recipe::new(runtime)).flatten();
    Ok(ResolvedSpec {
        runtime: runtime.name.clone(),
        compile: commands.compile.into_iter().map(|argv| step(argv, limits.compile)).collect(),
        run: step(commands.run, limits.run),
        env: environment::build(runtime, environment.variables),
        files: files.into_iter().map(|(name, contents)| RunFile { name, contents }).collect(),
        stdin,
        mounts: runtime.mounts.clone(),
        limits: limits.session,
        mode,
        recipe,
    })
}

fn find_runtime<'c>(name: Option<&str>, catalogue: &'c Catalogue) -> Result<&'c Runtime, BadField> {
    let known = || catalogue.iter().map(|runtime| runtime.name.as_str()).collect::<Vec<_>>().join(", ");
    let name = name.ok_or_else(|| BadField::new("runtime", format!("missing; one of {}", known())))?;
    let runtime = catalogue.get(name).ok_or_else(|| {
        BadField::new("runtime", format!("there is no runtime {name:?}; there are {}", known()))
    })?;
    match &runtime.needs {
        Some(needs) => Err(BadField::new("runtime", format!("{name:?} cannot run here: {needs}"))),
        None => Ok(runtime),
    }
}

fn file_name(field: &str, name: &str) -> Result<FileName, BadField> {
    name.parse().map_err(|error| BadField::new(field, format!("{name:?} cannot be a file's name: {error}")))
}

type Files = BTreeMap<FileName, Contents>;

fn collect_files(request: &CreateSession, runtime: &Runtime) -> Result<Files, BadField> {
    let mut files = Files::new();
    if let Some(code) = &request.code {
        let name = match &request.code_filename {
            Some(name) => file_name("code_filename", name)?,
            None => runtime.manifest.file.clone(),
        };
        files.insert(name, Contents::Text(code.clone()));
    }
    let given = request.files.as_deref().unwrap_or_default();
    if given.len() > MAX_FILES {
        return Err(BadField::new("files", format!("{} files; at most {MAX_FILES} are taken", given.len())));
    }
    if request.code.is_none() && given.is_empty() {
        return Err(BadField::new("code", "missing; give the program as \"code\", or as \"files\""));
    }
    for (index, file) in given.iter().enumerate() {
        let field = format!("files[{index}].filename");
        let name = file_name(&field, &file.filename)?;
        if files.insert(name, contents(index, file)?).is_some() {
            return Err(BadField::new(field, format!("{:?} is given twice", file.filename)));
        }
    }
    let names: BTreeSet<&str> = files.keys().map(FileName::as_str).collect();
    if let Some(both) = files.keys().flat_map(FileName::parents).find(|parent| names.contains(parent)) {
        return Err(BadField::new("files", format!("{both:?} is a file and also a folder of another file")));
    }
    Ok(files)
}

fn contents(index: usize, file: &SourceFile) -> Result<Contents, BadField> {
    match file.encoding {
        None => Ok(Contents::Text(file.contents.clone())),
        Some(Encoding::Base64) => {
            BASE64_STANDARD.decode(&file.contents).map(Contents::new).map_err(|error| {
                BadField::new(
                    format!("files[{index}].contents"),
                    format!("not base64 (RFC 4648, section 4): {error}"),
                )
            })
        }
    }
}

/// Whether the files fit the working directory, as the file system counts them.
fn check_room(request: &CreateSession, files: &Files, limits: &SessionLimits) -> Result<(), BadField> {
    let field = if request.files.is_some() { "files" } else { "code" };
    let bytes: u64 =
        files.values().map(|contents| content_bytes(contents).next_multiple_of(PAGE_BYTES)).sum();
    if bytes > limits.disk_bytes {
        let detail = format!("the files take {bytes} bytes; the working directory has {}", limits.disk_bytes);
        return Err(BadField::new(field, detail));
    }
    let folders: BTreeSet<&str> = files.keys().flat_map(FileName::parents).collect();
    let count = (files.len() + folders.len()) as u64;
    if count > limits.disk_files {
        let detail = format!("{count} files and folders; the working directory takes {}", limits.disk_files);
        return Err(BadField::new(field, detail));
    }
    Ok(())
}

fn content_bytes(contents: &Contents) -> u64 {
    match contents {
        Contents::Text(text) => text.len() as u64,
        Contents::Base64(text) => text.len() as u64 / 4 * 3,
    }
}

/// The file to run, and whether the request picked it among several (`FALCON_SOURCE_FILE`).
struct Source {
    name: FileName,
    is_picked: bool,
}

struct Commands {
    compile: Vec<Vec<String>>,
    run: Vec<String>,
}

impl Commands {
    fn choose(
        request: &CreateSession,
        runtime: &Runtime,
        mode: Mode,
        source: &Source,
        files: &Files,
    ) -> Result<Self, BadField> {
        let manifest = &runtime.manifest;
        let fill = |command: &Vec<String>| fill_in(command, source, files);
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
            let detail = format!("the command has {bytes} bytes; at most {MAX_ARGUMENT_BYTES} are taken");
            return Err(BadField::new(field, detail));
        }
        if commands.run.iter().any(|word| word.contains('\0')) {
            return Err(BadField::new(field, "no word of a command may hold a NUL"));
        }
        Ok(commands)
    }
}

fn fill_in(command: &[String], source: &Source, files: &Files) -> Vec<String> {
    let mut words = vec![];
    for word in command {
        if word == "{sources}" {
            words.push(source.name.to_string());
            if !source.is_picked {
                words.extend(siblings(&source.name, files));
            }
        } else {
            words.push(word.replace("{source}", source.name.as_str()));
        }
    }
    words
}

/// Files with the same ending in the same folder, but for tests, which Go's tools tell by their name.
fn siblings<'f>(source: &'f FileName, files: &'f Files) -> impl Iterator<Item = String> + 'f {
    fn split(name: &FileName) -> (&str, &str) {
        let (folder, file) = name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()));
        (folder, file.rsplit_once('.').map_or("", |(_, ending)| ending))
    }
    files
        .keys()
        .filter(move |name| *name != source && split(name) == split(source))
        .filter(|name| !name.as_str().ends_with("_test.go"))
        .map(FileName::to_string)
}

#[cfg(test)]
mod tests;
