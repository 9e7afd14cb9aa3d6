//! `runtime.toml`.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Component, Path, PathBuf},
};

use livecode_protocol::{FileName, run_spec::Mount};
use serde::Deserialize;

/// Top folders of a sandbox that are made there; a runtime's trees are shown elsewhere.
const TAKEN: [&str; 14] = [
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

/// What a `runtime.toml` says. In commands, `{source}` stands for the file to run, and `{sources}` for it and the other
/// files of the same ending beside it. What a runtime requires are commands, or paths as seen inside.
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
    /// Files or folders that the program needs of what the compile steps make, absolute. Where any is named, they are kept, and
    /// the same is not compiled again.
    #[serde(default)]
    pub artefacts: Vec<PathBuf>,
    /// The program's command; arguments are appended.
    pub run: Vec<String>,
    /// Where the machine has an interpreter that may be started once and copied for each program; Python's alone can be.
    pub template: Option<PathBuf>,
    /// The test mode, where there is one.
    pub test: Option<TestMode>,
    /// What must be there for the runtime to run.
    #[serde(default)]
    pub requires: Vec<String>,
    /// What installs it.
    pub install: String,
    /// Links in a built-in runtime's folder, from name to target.
    #[serde(default)]
    pub links: BTreeMap<FileName, PathBuf>,
    /// Lists of folders in the environment (`PATH`, `PYTHONPATH`, …), as seen inside. A request's own come first.
    #[serde(default)]
    pub search_paths: BTreeMap<String, Vec<String>>,
    /// Environment of the program and of the compile steps.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Trees outside /usr that it shows.
    #[serde(default)]
    pub mounts: Vec<Tree>,
    /// Defaults that it raises for the program.
    #[serde(default)]
    pub limits: RunLimits,
    /// Limits of its compile steps.
    #[serde(default)]
    pub compile_limits: CompileLimits,
    /// A small program.
    #[serde(default)]
    pub example: String,
}

/// How the tests among the files are run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestMode {
    /// The command; arguments are appended.
    pub run: Vec<String>,
    /// What must be there besides what the runtime requires.
    #[serde(default)]
    pub requires: Vec<String>,
    /// What installs it.
    #[serde(default)]
    pub install: String,
}

/// Defaults that a runtime raises.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunLimits {
    /// CPU time, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Output, in bytes; of the session as a whole.
    pub output_bytes: Option<u64>,
    /// Working directory, in bytes; of the session as a whole.
    pub disk_bytes: Option<u64>,
}

/// Limits of compile steps, whatever a request asks for its program.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompileLimits {
    /// CPU time, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u32>,
}

/// A tree of the machine outside /usr, such as a toolchain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// Where it may be, the best first. `.`, `~` and `$NAME` at the start are the runtime's folder, and those of the
    /// server's environment; `*` at the end stands for the last folder by name that starts so.
    pub sources: Vec<String>,
    /// Where it is seen inside.
    pub target: PathBuf,
}

impl Manifest {
    /// Reads a manifest, and checks what its types do not say.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let commands = [("run", &manifest.run)].into_iter();
        let commands = commands.chain(manifest.compile.iter().map(|command| ("compile", command)));
        for (key, command) in commands.chain(manifest.test.iter().map(|test| ("test.run", &test.run))) {
            if command.first().is_none_or(String::is_empty) {
                return Err(format!("`{key}` needs a command: a program and its arguments"));
            }
            if command.iter().any(|word| word.contains('\0')) {
                return Err(format!("no word of `{key}` may hold a NUL"));
            }
        }
        let lists =
            manifest.search_paths.iter().flat_map(|(name, list)| list.iter().map(move |item| (name, item)));
        let names = manifest.search_paths.keys().map(|name| ("search_paths", name, ""));
        let values = lists.map(|(name, item)| ("search_paths", name, item.as_str()));
        let variables = manifest.env.iter().map(|(name, value)| ("env", name, value.as_str()));
        for (key, name, value) in variables.chain(names).chain(values) {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(format!(
                    "`{key}` has {name:?}: a variable's name is not empty and holds no '=', and no NUL is in it or its value"
                ));
            }
        }
        for target in manifest.mounts.iter().map(|tree| &tree.target) {
            let leads_back = target.components().any(|part| part == Component::ParentDir);
            if !target.is_absolute()
                || leads_back
                || target.as_os_str().as_encoded_bytes().contains(&0)
                || target == Path::new("/")
                || TAKEN.iter().any(|taken| target.starts_with(taken))
            {
                return Err(format!(
                    "`mounts.target` {} must be an absolute path without \"..\", outside {}",
                    target.display(),
                    TAKEN.join(", ")
                ));
            }
        }
        Ok(manifest)
    }
}

impl Tree {
    /// The first source that exists, for a runtime in `folder`.
    pub(super) fn resolve(&self, folder: &Path) -> Option<Mount> {
        let source = self.sources.iter().find_map(|source| find(folder, source))?;
        Some(Mount { source, target: self.target.clone() })
    }
}

fn find(folder: &Path, source: &str) -> Option<PathBuf> {
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
    fn a_star_is_the_last_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1.0", "2.0", "a-3"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("b-is-a-file"), "").unwrap();
        let at = |source: &str| find(folder.path(), source);
        assert_eq!(at("./*"), Some(folder.path().join("a-3")));
        assert_eq!(at("./1*"), Some(folder.path().join("1.0")));
        assert_eq!(at("./2.0"), Some(folder.path().join("2.0")));
        assert_eq!(at("/no/such/folder"), None);
        assert_eq!(at("$NO_SUCH_VARIABLE/x"), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let right = "title = 'X'\nfile = 'x'\neditor_mode = 'x'\ninstall = 'x'\nrun = ['x']\n";
        assert!(Manifest::parse(right).is_ok());
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
            let error = Manifest::parse(&format!("{right}{wrong}")).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
