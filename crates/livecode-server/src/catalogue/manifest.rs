//! The contents of a `runtime.toml`.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Component, Path, PathBuf},
};

use livecode_protocol::{FileName, run_spec::Mount};
use serde::Deserialize;

/// Top-level folders that every sandbox has. A runtime cannot mount anything there.
const RESERVED_TARGETS: [&str; 14] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc",
    "/dev",
    "/proc",
    "/sys",
    "/code",
    "/tmp",
    "/livecode",
    "/runtimes",
];

/// The contents of a `runtime.toml`. In a command, `{source}` stands for the file to run, and
/// `{sources}` for that file and the other files with the same extension in its folder. Each item
/// of a `requires` list is a command, or an absolute path in the sandbox.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name for people.
    pub title: String,
    /// Other names that a request may use.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The file that `code` is saved as.
    pub file: FileName,
    /// Extensions of source files, without the dot.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// The editor's mode for the source files.
    pub editor_mode: String,
    /// Commands that are run before the program, in order.
    #[serde(default)]
    pub compile: Vec<Vec<String>>,
    /// Absolute paths of the files and folders, made by the compile steps, that the program needs.
    /// If there are any, they are kept in the compile cache, and the same program is not compiled
    /// again.
    #[serde(default)]
    pub artefacts: Vec<PathBuf>,
    /// The command of the program; the arguments of a request are appended.
    pub run: Vec<String>,
    /// The path of an interpreter that may be started once, as an interpreter zygote, and cloned
    /// for each program. Only Python's interpreter can be.
    #[serde(alias = "template")] // the older name of the key
    pub zygote_interpreter: Option<PathBuf>,
    /// The test mode, if the runtime has one.
    pub test: Option<TestMode>,
    /// The commands and files without which the runtime cannot run.
    #[serde(default)]
    pub requires: Vec<String>,
    /// A command that installs what the runtime requires.
    pub install: String,
    /// Symbolic links in the folder of a built-in runtime, from name to target.
    #[serde(default)]
    pub links: BTreeMap<FileName, PathBuf>,
    /// Search paths in the environment (`PATH`, `PYTHONPATH`, …), each a list of folders in the
    /// sandbox. The folders of a request's variable come before them.
    #[serde(default)]
    pub search_paths: BTreeMap<String, Vec<String>>,
    /// Environment variables of the program and of the compile steps.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Folders outside /usr that are mounted in the sandbox.
    #[serde(default)]
    pub mounts: Vec<MountSources>,
    /// Default limits that the runtime raises for the program.
    #[serde(default)]
    pub limits: RaisedDefaults,
    /// Limits of the compile steps.
    #[serde(default)]
    pub compile_limits: CompileLimits,
    /// A small program.
    #[serde(default)]
    pub example: String,
}

/// How the tests among the files of a request are run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestMode {
    /// The command; the arguments of a request are appended.
    pub run: Vec<String>,
    /// Commands and files that the test mode needs besides those of the runtime.
    #[serde(default)]
    pub requires: Vec<String>,
    /// A command that installs what the test mode requires.
    #[serde(default)]
    pub install: String,
}

/// Default limits that a runtime raises for the program.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RaisedDefaults {
    /// CPU time, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Number of processes and threads.
    pub processes: Option<u64>,
    /// Output of the whole session, in bytes.
    pub output_bytes: Option<u64>,
    /// Size of the session's working directory, in bytes.
    pub disk_bytes: Option<u64>,
}

/// Limits of each compile step. They do not depend on the limits that a request asks for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompileLimits {
    /// CPU time, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Number of processes and threads.
    pub processes: Option<u32>,
}

/// A mount of a folder outside /usr, such as a toolchain, that may lie in one of several places.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountSources {
    /// The places where the folder may be on this machine; the first that exists is mounted. At
    /// the start of a path, `.` stands for the runtime's folder, `~` for the server's home folder
    /// and `$NAME` for a variable of the server's environment. A `*` at the end stands for any
    /// rest of the name; of the folders that match, the last by name is mounted.
    pub sources: Vec<String>,
    /// The path of the mount in the sandbox.
    pub target: PathBuf,
}

impl Manifest {
    /// Parses a manifest, and checks the rules that its types do not express.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let commands = [("run", &manifest.run)].into_iter();
        let commands = commands.chain(manifest.compile.iter().map(|command| ("compile", command)));
        for (key, command) in commands.chain(manifest.test.iter().map(|test| ("test.run", &test.run))) {
            if command.first().is_none_or(String::is_empty) {
                return Err(format!("`{key}` needs a command: a program and its arguments"));
            }
            if command.iter().any(|word| word.contains('\0')) {
                return Err(format!("no word of `{key}` may contain a NUL character"));
            }
        }
        let path_items = manifest
            .search_paths
            .iter()
            .flat_map(|(name, folders)| folders.iter().map(move |folder| (name, folder)));
        let path_names = manifest.search_paths.keys().map(|name| ("search_paths", name, ""));
        let path_values = path_items.map(|(name, folder)| ("search_paths", name, folder.as_str()));
        let variables = manifest.env.iter().map(|(name, value)| ("env", name, value.as_str()));
        for (key, name, value) in variables.chain(path_names).chain(path_values) {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(format!(
                    "`{key}` has {name:?}: a variable's name must not be empty or contain '=', and neither the name \
                     nor the value may contain a NUL character"
                ));
            }
        }
        for target in manifest.mounts.iter().map(|mount| &mount.target) {
            let has_parent_component = target.components().any(|part| part == Component::ParentDir);
            if !target.is_absolute()
                || has_parent_component
                || target.as_os_str().as_encoded_bytes().contains(&0)
                || target == Path::new("/")
                || RESERVED_TARGETS.iter().any(|reserved| target.starts_with(reserved))
            {
                return Err(format!(
                    "`mounts.target` {} must be an absolute path without \"..\", outside {}",
                    target.display(),
                    RESERVED_TARGETS.join(", ")
                ));
            }
        }
        Ok(manifest)
    }
}

impl MountSources {
    /// The mount of the first source that exists; `None` if none does. `folder` is the runtime's.
    pub(super) fn resolve(&self, folder: &Path) -> Option<Mount> {
        let source = self.sources.iter().find_map(|source| find_source(folder, source))?;
        Some(Mount { source, target: self.target.clone() })
    }
}

/// The folder that one of [`MountSources::sources`] stands for, if it exists.
fn find_source(folder: &Path, source: &str) -> Option<PathBuf> {
    let mut parts = Path::new(source).components();
    let first = parts.next()?.as_os_str().to_str()?;
    let start = match first.strip_prefix('$') {
        Some(name) => PathBuf::from(env::var_os(name)?),
        None if first == "~" => PathBuf::from(env::var_os("HOME")?),
        None => folder.join(first),
    };
    let path = start.join(parts.as_path());
    let Some(prefix) = path.file_name()?.to_str()?.strip_suffix('*') else {
        return path.is_dir().then_some(path);
    };
    let entries = fs::read_dir(path.parent()?).ok()?.filter_map(Result::ok);
    let matching =
        entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()));
    matching.map(|entry| entry.path()).filter(|path| path.is_dir()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_the_last_folder_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1.0", "2.0", "a-3"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("b-is-a-file"), "").unwrap();
        let at = |source: &str| find_source(folder.path(), source);
        assert_eq!(at("./*"), Some(folder.path().join("a-3")));
        assert_eq!(at("./1*"), Some(folder.path().join("1.0")));
        assert_eq!(at("./2.0"), Some(folder.path().join("2.0")));
        assert_eq!(at("/no/such/folder"), None);
        assert_eq!(at("$NO_SUCH_VARIABLE/x"), None);
    }

    #[test]
    fn an_error_names_what_is_wrong() {
        let valid = "title = 'X'\nfile = 'x'\neditor_mode = 'x'\ninstall = 'x'\nrun = ['x']\n";
        assert!(Manifest::parse(valid).is_ok());
        for (wrong, word) in [
            ("titel = 'x'\n", "titel"),
            ("compile = [[]]\n", "compile"),
            ("[test]\nrun = ['']\n", "test.run"),
            ("compile = [[\"x\", \"a\\u0000\"]]\n", "NUL"),
            ("[env]\n\"A=B\" = '1'\n", "A=B"),
            ("[search_paths]\n'' = ['/x']\n", "search_paths"),
            ("[[mounts]]\nsources = []\ntarget = '/x/../usr'\n", "/x/../usr"),
            ("[compile_limits]\ndisk_bytes = 1\n", "disk_bytes"),
            ("[links]\n'../x' = '/usr/bin/x'\n", "working directory"),
            ("[[mounts]]\nsources = []\ntarget = '/usr/local/x'\n", "/usr/local/x"),
        ] {
            let error = Manifest::parse(&format!("{valid}{wrong}")).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
