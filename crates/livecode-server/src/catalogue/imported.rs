//! Runtimes that were made of imported images: each is a folder with a `runtime.toml` below
//! `runtimes` in the data directory. The file is written once, and belongs to the operator then.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use livecode_image::{Digest, ImportedImage, lookup};
use toml::{Table, Value};

use crate::catalogue::{
    manifest::Manifest,
    unpack::{SUPPORT, TERMINAL, TERMINAL_PATH, built_in_manifests},
};

/// The folder in the data directory.
const FOLDER: &str = "runtimes";
const MANIFEST: &str = "runtime.toml";
/// Keys of a template that concern the machine's own toolchain, or the template's name.
const DROPPED_KEYS: [&str; 7] =
    ["aliases", "zygote_interpreter", "template", "links", "mounts", "hidden", "virtual_environment"];
/// Variables of an image that its programs here do not get.
const DROPPED_VARIABLES: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "PWD", "TMPDIR", "HOSTNAME", "TERM", "LD_PRELOAD"];
/// Folders of commands. Of what a template requires there, an image may have the command elsewhere.
const COMMAND_FOLDERS: [&str; 3] = ["/usr/bin/", "/usr/local/bin/", "/bin/"];
/// Commands for which an image may have another name.
const OTHER_NAMES: [(&str, &str); 1] = [("python", "python3")];

/// Why no runtime can be made of an image.
#[derive(Debug, thiserror::Error)]
pub enum ImportedRuntimeError {
    /// The name is not allowed.
    #[error(
        "the name {0:?} is not allowed: a name has the characters a-z, 0-9 and -_.+#@, and no dot first (invalid_name)"
    )]
    InvalidName(String),
    /// The operator's folder has a runtime of this name.
    #[error(
        "there is a runtime {name:?} in {folder}, which comes before imported ones; choose another name (name_taken)"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The operator's folder.
        folder: PathBuf,
    },
    /// There is no runtime with the name of the template.
    #[error("there is no runtime {0:?} to take the commands from; there are {1} (no_template)")]
    NoTemplate(String, String),
    /// Nothing says which command runs a program.
    #[error(
        "the image names no command, so LiveCode cannot know how programs are run; name a runtime \
         whose commands fit by --from (no_command)"
    )]
    NoCommand,
    /// There is no such imported runtime.
    #[error("no import has made a runtime {0:?}; there are {1} (no_such_runtime)")]
    NoSuchRuntime(String, String),
    /// The template is not valid.
    #[error("{0} (invalid_template)")]
    InvalidTemplate(String),
    /// A file cannot be read or written.
    #[error("cannot use {0}: {1} (io)")]
    Io(PathBuf, #[source] io::Error),
}

/// The parts that the new `runtime.toml` is made from.
#[derive(Debug)]
pub enum Template {
    /// The `runtime.toml` of another runtime.
    Runtime(String),
    /// The runtime's own from an earlier import, with the digest of its image.
    Earlier(String, Digest),
    /// Nothing but the image.
    Image,
}

/// A new `runtime.toml`.
#[derive(Debug)]
pub struct RuntimeToml {
    /// Its text.
    pub text: String,
    /// Facts that an operator should know about it, a sentence each.
    pub notes: Vec<String>,
}

/// The folder of the imported runtimes.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

/// The imported runtimes of a data directory, beside the runtimes of other origin.
#[derive(Debug)]
pub struct ImportedRuntimes {
    folder: PathBuf,
    operator_folder: Option<PathBuf>,
}

impl ImportedRuntimes {
    /// The runtimes of a data directory, and those of the operator's folder.
    pub fn new(data_dir: &Path, operator_folder: Option<&Path>) -> Self {
        Self { folder: folder(data_dir), operator_folder: operator_folder.map(Path::to_owned) }
    }

    /// Checks that a runtime may have this name.
    ///
    /// # Errors
    /// If the name is not allowed, or a runtime in the operator's folder has it.
    pub fn check_name(&self, name: &str) -> Result<(), ImportedRuntimeError> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.+#@".contains(&byte);
        if name.is_empty() || name.starts_with('.') || name.len() > 64 || !name.bytes().all(is_allowed) {
            return Err(ImportedRuntimeError::InvalidName(name.to_owned()));
        }
        // The operator's runtimes come over the imported ones.
        if let Some(folder) = &self.operator_folder {
            for (other, text) in list(folder) {
                let aliases = Manifest::parse(&text).map_or_else(|_| vec![], |manifest| manifest.aliases);
                if other == name || aliases.iter().any(|alias| alias == name) {
                    let (name, folder) = (name.to_owned(), folder.clone());
                    return Err(ImportedRuntimeError::NameTaken { name, folder });
                }
            }
        }
        Ok(())
    }

    /// The parts that the `runtime.toml` of `name` is to be made from. `from` is the name of a
    /// runtime, if the operator has chosen one.
    ///
    /// # Errors
    /// If there is no such runtime.
    pub fn template(&self, name: &str, from: Option<&str>) -> Result<Template, ImportedRuntimeError> {
        let own = list(&self.folder);
        if from.is_none()
            && let Some((_, text)) = own.iter().find(|(own, _)| own == name)
            && let Some(digest) = image_of(text)
        {
            return Ok(Template::Earlier(text.clone(), digest));
        }
        let base = name.split_once('@').map_or(name, |(base, _)| base);
        let wanted = from.unwrap_or(base);
        let operator = self.operator_folder.as_deref().map_or_else(Vec::new, list);
        let all: Vec<(String, String)> =
            operator.into_iter().chain(built_in_manifests()).chain(own).collect();
        match all.iter().find(|(name, _)| name == wanted) {
            Some((_, text)) => Ok(Template::Runtime(text.clone())),
            None if from.is_none() => Ok(Template::Image),
            None => {
                let names: Vec<&str> = all.iter().map(|(name, _)| &**name).collect();
                Err(ImportedRuntimeError::NoTemplate(wanted.to_owned(), names.join(", ")))
            }
        }
    }

    /// Writes the `runtime.toml` of a runtime, whole or not at all. Returns its path.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, ImportedRuntimeError> {
        let folder = self.folder.join(name);
        let (path, partial) = (folder.join(MANIFEST), folder.join(".runtime.toml"));
        let write = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            fs::write(&partial, text)?;
            fs::File::open(&partial)?.sync_all()?;
            fs::rename(&partial, &path)
        };
        write().map_err(|error| ImportedRuntimeError::Io(path.clone(), error))?;
        Ok(path)
    }

    /// Removes a runtime.
    ///
    /// # Errors
    /// If there is none of this name, or it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), ImportedRuntimeError> {
        let own = list(&self.folder);
        if !own.iter().any(|(own, _)| own == name) {
            let names: Vec<&str> = own.iter().map(|(name, _)| &**name).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(ImportedRuntimeError::NoSuchRuntime(name.to_owned(), names));
        }
        let path = self.folder.join(name);
        fs::remove_dir_all(&path).map_err(|error| ImportedRuntimeError::Io(path, error))
    }

    /// Whether the `runtime.toml` of any runtime names an image.
    pub fn is_named(&self, digest: &Digest) -> bool {
        let operator = self.operator_folder.as_deref().map_or_else(Vec::new, list);
        // A file that is malformed now may be corrected later.
        list(&self.folder).iter().chain(&operator).any(|(_, text)| text.contains(digest.hex()))
    }
}

/// The runtimes in a folder: the name of each, and its `runtime.toml`.
fn list(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join(MANIFEST)).ok()?;
            Some((entry.file_name().into_string().ok()?, text))
        })
        .collect();
    found.sort();
    found
}

/// The digest of the image that a `runtime.toml` names.
fn image_of(text: &str) -> Option<Digest> {
    let table: Table = toml::from_str(text).ok()?;
    table.get("root")?.get("image")?.as_str()?.parse().ok()
}

/// Makes the `runtime.toml` of the runtime `name` for an image whose root is at `root`.
///
/// # Errors
/// If the template is not valid, or nothing says how a program is run.
pub fn make_toml(
    name: &str,
    image: &ImportedImage,
    root: &Path,
    template: &Template,
) -> Result<RuntimeToml, ImportedRuntimeError> {
    let mut notes = vec![];
    let text = match template {
        Template::Earlier(text, digest) => text.replace(digest.hex(), image.digest.hex()),
        Template::Runtime(text) => {
            let table: Table = toml::from_str(text)
                .map_err(|error| ImportedRuntimeError::InvalidTemplate(error.to_string()))?;
            render(name, image, adapt(name, image, root, table, &mut notes))
        }
        Template::Image => {
            let process = &image.process;
            let words = process.entrypoint.iter().chain(&process.cmd).flatten();
            let mut run: Vec<Value> = words.cloned().map(Value::String).collect();
            if run.is_empty() {
                return Err(ImportedRuntimeError::NoCommand);
            }
            run.push("{source}".into());
            let table = Table::from_iter([
                ("file".to_owned(), "main.txt".into()),
                ("editor_mode".to_owned(), "text".into()),
                ("run".to_owned(), Value::Array(run)),
            ]);
            notes.push(
                "the commands are those of the image; say in runtime.toml which file is run, and how".into(),
            );
            render(name, image, adapt(name, image, root, table, &mut notes))
        }
    };
    Manifest::parse(&text).map_err(ImportedRuntimeError::InvalidTemplate)?;
    Ok(RuntimeToml { text, notes })
}

fn render(name: &str, image: &ImportedImage, table: Table) -> String {
    let of = image.names.first().map_or_else(String::new, |name| format!(" of {name:?}"));
    format!(
        "# Made by `livecode runtimes import {name}`{of}. It is yours to change: a later import of \
         this name\n# changes the digest alone.\n\n{table}"
    )
}

/// Adapts the `runtime.toml` of another runtime to an image.
fn adapt(name: &str, image: &ImportedImage, root: &Path, mut table: Table, notes: &mut Vec<String>) -> Table {
    for key in DROPPED_KEYS {
        table.remove(key);
    }
    let title = table.get("title").and_then(Value::as_str).unwrap_or(name);
    let version = name.split_once('@').map(|(_, version)| version.to_owned());
    let title = match version.or_else(|| image.names.first().cloned()) {
        Some(version) if title != name => format!("{title} ({version})"),
        _ => title.to_owned(),
    };
    table.insert("title".into(), title.into());
    table.insert("install".into(), format!("livecode runtimes import {name} IMAGE").into());
    table.insert("root".into(), Table::from_iter([("image".into(), image.digest.to_string().into())]).into());

    let variables = image.process.env.iter().flatten().filter_map(|variable| variable.split_once('='));
    let variables: Vec<(&str, &str)> =
        variables.filter(|(name, value)| !name.is_empty() && !value.contains('\0')).collect();
    let mut paths = table.remove("search_paths").and_then(as_table).unwrap_or_default();
    let search_path = search_path(&variables, paths.remove("PATH"));
    let has_command = |command: &str| {
        let folders = search_path.iter().map(String::as_str).chain(["/usr/local/bin", "/usr/bin", "/bin"]);
        folders.into_iter().any(|folder| lookup::exists(root, &Path::new(folder).join(command)))
    };
    use_other_names(&mut table, &has_command);
    adapt_requires(&mut table);
    if let Some(test) = table.get_mut("test").and_then(Value::as_table_mut) {
        use_other_names(test, &has_command);
        adapt_requires(test);
    }
    if !search_path.is_empty() {
        paths.insert("PATH".into(), Value::Array(search_path.iter().cloned().map(Value::String).collect()));
    }
    let mut env = table.remove("env").and_then(as_table).unwrap_or_default();
    for (name, value) in variables {
        let is_dropped = DROPPED_VARIABLES.contains(&name) || name.starts_with("LIVECODE_");
        if !is_dropped && !env.contains_key(name) && !paths.contains_key(name) {
            env.insert(name.to_owned(), value.into());
        }
    }
    let object = format!("{SUPPORT}/{TERMINAL_PATH}");
    if env.get("LD_PRELOAD").and_then(Value::as_str) == Some(&object) && !lookup::can_load(root, TERMINAL) {
        env.remove("LD_PRELOAD");
        notes.push(format!(
            "the image's C library cannot load {object}, so output of programs that write through it \
             appears late unless they flush"
        ));
    }
    for (key, value) in [("search_paths", paths), ("env", env)] {
        if !value.is_empty() {
            table.insert(key.into(), value.into());
        }
    }
    table
}

fn as_table(value: Value) -> Option<Table> {
    if let Value::Table(table) = value { Some(table) } else { None }
}

/// The folders of `PATH`: those of the image, and then the template's, but for folders of support
/// files, whose commands are links to the machine's.
fn search_path(variables: &[(&str, &str)], template: Option<Value>) -> Vec<String> {
    let own = variables.iter().filter(|(name, _)| *name == "PATH").flat_map(|(_, value)| value.split(':'));
    let template = template.and_then(|value| value.as_array().cloned()).unwrap_or_default();
    let template: Vec<String> = template
        .iter()
        .filter_map(Value::as_str)
        .filter(|folder| !folder.starts_with(SUPPORT))
        .map(str::to_owned)
        .collect();
    let mut all: Vec<String> = vec![];
    for folder in own.map(str::to_owned).chain(template) {
        if folder.starts_with('/') && !all.contains(&folder) {
            all.push(folder);
        }
    }
    all
}

/// Gives commands the name that the image has for them.
fn use_other_names(table: &mut Table, has_command: &dyn Fn(&str) -> bool) {
    let rename = |command: Option<&mut Value>| {
        let first = command.and_then(Value::as_array_mut).and_then(|words| words.first_mut());
        let Some(name) = first.as_ref().and_then(|first| first.as_str()) else { return };
        let own =
            COMMAND_FOLDERS.iter().find_map(|folder| name.strip_prefix(folder)).unwrap_or(name).to_owned();
        let other =
            OTHER_NAMES.iter().find(|(name, other)| own == *name && !has_command(name) && has_command(other));
        let own = other.map_or(own, |(_, other)| (*other).to_owned());
        if let Some(first) = first {
            *first = own.into();
        }
    };
    for key in ["run", "version", "packages"] {
        rename(table.get_mut(key));
    }
    for command in table.get_mut("compile").and_then(Value::as_array_mut).into_iter().flatten() {
        rename(Some(command));
    }
}

/// Has what is required found by the name of its command, and requires the commands themselves.
fn adapt_requires(table: &mut Table) {
    let required = table.get("requires").and_then(Value::as_array).cloned().unwrap_or_default();
    let required: Vec<String> = required.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let compile = table.get("compile").and_then(Value::as_array).into_iter().flatten();
    let commands = table.get("run").into_iter().chain(compile);
    let commands = commands.filter_map(|command| Some(command.as_array()?.first()?.as_str()?.to_owned()));
    let mut all: Vec<Value> = vec![];
    for what in required.into_iter().chain(commands.filter(|command| !command.contains(['/', '{']))) {
        let command = COMMAND_FOLDERS.iter().find_map(|folder| what.strip_prefix(folder));
        let what = Value::from(command.unwrap_or(&what));
        if !all.contains(&what) {
            all.push(what);
        }
    }
    if !all.is_empty() {
        table.insert("requires".into(), Value::Array(all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(variables: &[&str], command: &[&str]) -> ImportedImage {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        ImportedImage {
            digest: Digest::of(b"image"),
            names: vec!["docker.io/library/x:1".into()],
            process: livecode_image::ProcessConfig {
                env: Some(owned(variables)),
                entrypoint: None,
                cmd: (!command.is_empty()).then(|| owned(command)),
            },
            unpacked_bytes: 1,
            entries: 1,
            left_out: 0,
        }
    }

    #[test]
    fn every_built_in_runtime_can_be_adapted_to_an_image() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("opt/bin")).unwrap();
        fs::write(root.path().join("opt/bin/python3"), "").unwrap();
        let image =
            image(&["PATH=/opt/bin:/usr/bin", "JAVA_HOME=/opt/java", "HOME=/root", "LIVECODE_X=1"], &[]);
        for (name, text) in built_in_manifests() {
            let toml = make_toml("x@1", &image, root.path(), &Template::Runtime(text)).unwrap();
            let manifest = Manifest::parse(&toml.text).unwrap();
            assert_eq!(manifest.root.as_ref().map(|root| &root.image), Some(&image.digest.to_string()));
            assert!(manifest.zygote_interpreter.is_none() && manifest.aliases.is_empty(), "{name}");
            assert_eq!(manifest.search_paths["PATH"][..2], ["/opt/bin", "/usr/bin"], "{name}");
            assert_eq!(manifest.env["JAVA_HOME"], "/opt/java");
            assert!(!manifest.env.contains_key("HOME") && !manifest.env.contains_key("LD_PRELOAD"), "{name}");
            if name == "python" {
                assert_eq!(manifest.run, ["python3", "{source}"]);
                assert_eq!(manifest.requires, ["python3"]);
                assert_eq!(manifest.title, "Python (1)");
            }
        }
    }

    #[test]
    fn a_name_decides_what_the_runtime_is_made_from() {
        let data = tempfile::tempdir().unwrap();
        let runtimes = ImportedRuntimes::new(data.path(), None);
        for name in ["", "A", "a/b", "..", ".hidden", "a\n"] {
            assert!(matches!(runtimes.check_name(name), Err(ImportedRuntimeError::InvalidName(_))), "{name}");
        }
        assert!(matches!(runtimes.template("python@3.13", None), Ok(Template::Runtime(_))));
        assert!(matches!(runtimes.template("cobol", None), Ok(Template::Image)));
        assert!(matches!(runtimes.template("x", Some("cobol")), Err(ImportedRuntimeError::NoTemplate(..))));
        let first = make_toml("cobol", &image(&[], &["cobc"]), data.path(), &Template::Image).unwrap();
        assert!(matches!(
            make_toml("cobol", &image(&[], &[]), data.path(), &Template::Image),
            Err(ImportedRuntimeError::NoCommand)
        ));
        runtimes.write("cobol", &format!("{}# a note\n", first.text)).unwrap();
        assert!(runtimes.is_named(&Digest::of(b"image")) && !runtimes.is_named(&Digest::of(b"other")));
        let mut other = image(&[], &["other"]);
        other.digest = Digest::of(b"other");
        let template = runtimes.template("cobol", None).unwrap();
        let second = make_toml("cobol", &other, data.path(), &template).unwrap();
        assert!(second.text.ends_with("# a note\n") && second.text.contains("cobc"));
        assert_eq!(image_of(&second.text), Some(Digest::of(b"other")));
        runtimes.remove("cobol").unwrap();
        assert!(matches!(runtimes.remove("cobol"), Err(ImportedRuntimeError::NoSuchRuntime(..))));
    }
}
