//! `runtime.toml`.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use livecode_protocol::{FileName, order::Mount};
use serde::Deserialize;

/// What a `runtime.toml` says. In commands, `{source}` stands for the file to run, and `{sources}` for it and the other
/// files of the same ending beside it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name for people.
    pub title: String,
    /// Other names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The file that `code` is saved as.
    pub file: FileName,
    /// Endings of source files, without the dot.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// The editor's mode.
    pub editor_mode: String,
    /// Commands run before the program, in order.
    #[serde(default)]
    pub compile: Vec<Vec<String>>,
    /// The program's command; arguments are appended.
    pub run: Vec<String>,
    /// Command of the test mode, where there is one.
    pub test: Option<Vec<String>>,
    /// Commands that must be there for the runtime to run.
    #[serde(default)]
    pub requires: Vec<String>,
    /// What installs them.
    pub install: String,
    /// Links in the runtime's folder, from name to target.
    #[serde(default)]
    pub links: BTreeMap<PathBuf, PathBuf>,
    /// Folders that come first in `PATH`, as seen inside.
    #[serde(default)]
    pub path: Vec<String>,
    /// Environment of the program and of the compile steps.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Trees outside /usr that it needs.
    #[serde(default)]
    pub mounts: Vec<ToolchainMount>,
    /// Defaults that it raises for the program.
    #[serde(default)]
    pub limits: StepDefaults,
    /// Limits of its compile steps.
    #[serde(default)]
    pub compile_limits: StepDefaults,
    /// A small program.
    #[serde(default)]
    pub example: String,
}

/// Limits that a runtime sets; what it leaves out is the server's default.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDefaults {
    /// CPU time, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Working directory, in bytes; of the session as a whole.
    pub disk_bytes: Option<u64>,
}

/// A tree of the machine outside /usr.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolchainMount {
    /// Where it may be, the best first. `~` and `$NAME` at the start are those of the server's environment; `*` as the last
    /// part stands for the last folder there by name.
    pub sources: Vec<String>,
    /// Where it is seen inside.
    pub target: PathBuf,
}

impl Manifest {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let commands = manifest.compile.iter().chain([&manifest.run]).chain(&manifest.test);
        if commands.into_iter().any(|command| command.first().is_none_or(String::is_empty)) {
            return Err("a command needs at least its program".into());
        }
        Ok(manifest)
    }
}

impl ToolchainMount {
    /// The first source that exists.
    pub(super) fn resolve(&self) -> Option<Mount> {
        let source = self.sources.iter().find_map(|source| find(source))?;
        Some(Mount { source, target: self.target.clone() })
    }
}

fn find(source: &str) -> Option<PathBuf> {
    let path = Path::new(source);
    let mut parts = path.components();
    let first = parts.next()?.as_os_str().to_str()?;
    let start = match first.strip_prefix('$') {
        Some(name) => PathBuf::from(env::var_os(name)?),
        None if first == "~" => PathBuf::from(env::var_os("HOME")?),
        None => PathBuf::from(first),
    };
    let path = start.join(parts.as_path());
    if path.file_name()? != "*" {
        return path.is_dir().then_some(path);
    }
    let folders = fs::read_dir(path.parent()?).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    folders.filter(|folder| folder.is_dir()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_the_last_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1.0", "2.0"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("3.0-is-a-file"), "").unwrap();
        let star = folder.path().join("*");
        assert_eq!(find(star.to_str().unwrap()), Some(folder.path().join("2.0")));
        assert_eq!(find("/no/such/folder"), None);
        assert_eq!(find("$NO_SUCH_VARIABLE/x"), None);
    }
}
