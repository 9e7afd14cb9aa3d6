//! How the `runtime.toml` of an imported runtime is made: from that of another runtime, its own
//! earlier one, or the image alone.

use std::path::Path;

use livecode_image::{Digest, ImportedImage, lookup};
use toml::{Table, Value};

use crate::catalogue::{
    imported::error::ImportedRuntimeError,
    unpack::{SUPPORT, TERMINAL, TERMINAL_PATH},
};

/// Keys of a template that concern the machine's own toolchain, or the template's name.
const DROPPED_KEYS: [&str; 8] = [
    "aliases",
    "extends",
    "zygote_interpreter",
    "template",
    "links",
    "mounts",
    "hidden",
    "virtual_environment",
];
/// Variables of an image that its programs here do not get.
const DROPPED_VARIABLES: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "PWD", "TMPDIR", "HOSTNAME", "TERM", "LD_PRELOAD"];
/// Folders of commands. Of what a template requires there, an image may have the command elsewhere.
const COMMAND_FOLDERS: [&str; 3] = ["/usr/bin/", "/usr/local/bin/", "/bin/"];
/// The number of folders in `PATH`, and in another search path, that are taken of an image and a
/// template.
const MAX_PATH_FOLDERS: usize = 64;
/// Commands for which an image may have another name.
const OTHER_NAMES: [(&str, &str); 1] = [("python", "python3")];

/// The parts that the new `runtime.toml` is made from.
#[derive(Debug)]
pub enum Template {
    /// The `runtime.toml` of another runtime, with the keys of the one that it extends.
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

/// Makes the `runtime.toml` of the runtime `name`, which is not checked yet.
pub(super) fn make_toml(
    name: &str,
    image: &ImportedImage,
    root: &Path,
    template: &Template,
) -> Result<RuntimeToml, ImportedRuntimeError> {
    let mut notes = vec![];
    let text = match template {
        Template::Earlier(text, digest) => {
            without_terminal(&text.replace(digest.hex(), image.digest.hex()), root, &mut notes)
        }
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
    Ok(RuntimeToml { text, notes })
}

/// The text of an earlier `runtime.toml` without the line that has programs load an object, if the
/// new image cannot load it.
fn without_terminal(text: &str, root: &Path, notes: &mut Vec<String>) -> String {
    let value = format!("\"{SUPPORT}/{TERMINAL_PATH}\"");
    let is_preload = |line: &str| line.trim_start().starts_with("LD_PRELOAD") && line.contains(&value);
    if !text.lines().any(is_preload) || lookup::can_load(root, TERMINAL) {
        return text.to_owned();
    }
    notes.push(no_terminal_note());
    text.split_inclusive('\n').filter(|line| !is_preload(line)).collect()
}

/// The fact that output of programs is late.
fn no_terminal_note() -> String {
    format!(
        "the image's C library cannot load {SUPPORT}/{TERMINAL_PATH}, so output of programs that write \
         through it appears late unless they flush"
    )
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
    let variables: Vec<(&str, &str)> = variables
        .filter(|(name, value)| !name.is_empty() && !name.contains('\0') && !value.contains('\0'))
        .collect();
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
        if is_dropped {
            continue;
        }
        if let Some(folders) = paths.get_mut(name).and_then(Value::as_array_mut) {
            add_folders(folders, value);
        } else if !env.contains_key(name) {
            env.insert(name.to_owned(), value.into());
        }
    }
    let object = format!("{SUPPORT}/{TERMINAL_PATH}");
    if env.get("LD_PRELOAD").and_then(Value::as_str) == Some(&object) && !lookup::can_load(root, TERMINAL) {
        env.remove("LD_PRELOAD");
        notes.push(no_terminal_note());
    }
    for (key, value) in [("search_paths", paths), ("env", env)] {
        if !value.is_empty() {
            table.insert(key.into(), value.into());
        }
    }
    table
}

/// Adds the image's folders of a search path, such as `PYTHONPATH`, after those of the template.
fn add_folders(folders: &mut Vec<Value>, value: &str) {
    for folder in value.split(':').filter(|folder| folder.starts_with('/')).map(Value::from) {
        if folders.len() < MAX_PATH_FOLDERS && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
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
        if all.len() == MAX_PATH_FOLDERS {
            break;
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
pub(super) mod tests {
    use std::fs;

    use super::*;
    use crate::catalogue::{manifest::Manifest, unpack::built_in_manifests};

    pub fn image(variables: &[&str], command: &[&str]) -> ImportedImage {
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
    fn a_search_path_has_the_folders_of_the_template_and_of_the_image() {
        let root = tempfile::tempdir().unwrap();
        let image = image(&["PYTHONPATH=/opt/a:relative:/opt/b:/opt/a", "PATH=/bin"], &[]);
        let template = "title = 'X'\nfile = 'x'\neditor_mode = 'x'\nrun = ['x']\ninstall = 'x'\n\
                        [search_paths]\nPYTHONPATH = ['/own']\n";
        let toml = make_toml("x", &image, root.path(), &Template::Runtime(template.to_owned())).unwrap();
        let manifest = Manifest::parse(&toml.text).unwrap();
        assert_eq!(manifest.search_paths["PYTHONPATH"], ["/own", "/opt/a", "/opt/b"]);
        assert!(!manifest.env.contains_key("PYTHONPATH"));
    }

    #[test]
    fn a_later_image_without_glibc_loads_no_object_for_it() {
        let root = tempfile::tempdir().unwrap();
        let image = image(&[], &[]);
        let text = format!("# mine\n[env]\nA = '1'\nLD_PRELOAD = \"{SUPPORT}/{TERMINAL_PATH}\"\n# end");
        let toml = make_toml("x", &image, root.path(), &Template::Earlier(text, Digest::of(b""))).unwrap();
        assert_eq!(toml.text, "# mine\n[env]\nA = '1'\n# end");
        assert!(toml.notes.len() == 1 && toml.notes[0].contains("late"), "{:?}", toml.notes);
    }

    #[test]
    fn the_search_path_of_an_image_has_a_bound() {
        let path = (0..10_000).map(|index| format!("/{index}")).collect::<Vec<_>>().join(":");
        assert_eq!(search_path(&[("PATH", &path)], None).len(), MAX_PATH_FOLDERS);
    }
}
