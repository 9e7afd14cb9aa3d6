//! The contents of a `runtime.toml`.

use std::{collections::BTreeMap, path::PathBuf};

use livecode_protocol::FileName;
use serde::Deserialize;

use crate::catalogue::{mistake::Mistake, mounts::MountSources, own_root::OwnRoot};

/// The contents of a `runtime.toml`. Commands and variables may have placeholders, which
/// `spec::placeholders` fills in. Each item of a `requires` list is a command, or an absolute path
/// in the sandbox.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Whether the runtime is not there, and one of the same name neither that would be there
    /// without this one.
    #[serde(default)]
    pub hidden: bool,
    /// The built-in runtime whose keys hold where this one has none.
    pub extends: Option<String>,
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
    /// A virtual environment of Python, whose interpreter and packages programs use: an absolute
    /// path of the machine, or `./` and a name in the runtime's folder.
    pub virtual_environment: Option<PathBuf>,
    /// Folders and files outside /usr that are mounted in the sandbox.
    #[serde(default)]
    pub mounts: Vec<MountSources>,
    /// The root that programs see in place of the machine's `/usr`.
    pub root: Option<OwnRoot>,
    /// Default limits that the runtime raises for the program.
    #[serde(default)]
    pub limits: RaisedDefaults,
    /// Limits of the compile steps.
    #[serde(default)]
    pub compile_limits: CompileLimits,
    /// A small program.
    #[serde(default)]
    pub example: String,
    /// How the hello of the runtime is run, which shows whether the runtime works.
    #[serde(default)]
    pub check: Check,
    /// A command, run in a sandbox, that prints the version of the toolchain; empty if there is
    /// none.
    #[serde(default)]
    pub version: Vec<String>,
    /// A command, run in a sandbox, that prints the names of the packages that programs can import,
    /// one on each line; empty if there is none.
    #[serde(default)]
    pub packages: Vec<String>,
}

/// How the hello of a runtime is run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The program; by default the example.
    pub code: Option<String>,
    /// Its standard input; by default one line, for an example that asks for a name.
    pub stdin: Option<String>,
    /// The exit status of a runtime that works.
    #[serde(default)]
    pub exitstatus: i32,
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

impl Manifest {
    /// Parses a manifest, and checks the rules that its types do not express. An error has the line
    /// and the key.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string()).and_then(|parsed: Self| parsed.checked(text))
    }

    /// Checks the rules that the types do not express. An error has the line in `text`.
    pub(super) fn checked(self, text: &str) -> Result<Self, String> {
        self.check_rules().map_err(|mistake| mistake.in_toml(text))?;
        Ok(self)
    }

    fn check_rules(&self) -> Result<(), Mistake> {
        let compile = self.compile.iter().enumerate();
        let compile = compile.map(|(index, command)| (vec!["compile".into(), index.to_string()], command));
        let test = self.test.iter().map(|test| (vec!["test".into(), "run".into()], &test.run));
        let run = std::iter::once((vec!["run".to_owned()], &self.run));
        for (key, command) in run.chain(compile).chain(test) {
            let (keys, name): (Vec<_>, _) = (key.iter().map(String::as_str).collect(), key.join("."));
            if command.first().is_none_or(String::is_empty) {
                let text = format!("`{name}` needs a command: a program and its arguments");
                return Err(Mistake::new(&keys, text));
            }
            if command.iter().any(|word| word.contains('\0')) {
                return Err(Mistake::new(&keys, format!("no word of `{name}` may contain a NUL character")));
            }
        }
        for (name, command) in [("version", &self.version), ("packages", &self.packages)] {
            if command.first().is_some_and(String::is_empty) || command.iter().any(|word| word.contains('\0'))
            {
                let text = format!("`{name}` needs a command: a program and its arguments, without NUL");
                return Err(Mistake::new(&[name], text));
            }
        }
        let path_items = self
            .search_paths
            .iter()
            .flat_map(|(name, folders)| folders.iter().map(move |folder| (name, folder)));
        let path_names = self.search_paths.keys().map(|name| ("search_paths", name, ""));
        let path_values = path_items.map(|(name, folder)| ("search_paths", name, folder.as_str()));
        let variables = self.env.iter().map(|(name, value)| ("env", name, value.as_str()));
        for (key, name, value) in variables.chain(path_names).chain(path_values) {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                let text = format!(
                    "`{key}` has {name:?}: a variable's name must not be empty or contain '=', and neither the name \
                     nor the value may contain a NUL character"
                );
                return Err(Mistake::new(&[key, name], text));
            }
        }
        if let Some(root) = &self.root {
            root.check()?;
            if self.zygote_interpreter.is_some() {
                let text = "`zygote_interpreter` cannot be used with `[root]`: it is started outside of \
                            sandboxes, where nothing of such a root ever runs";
                return Err(Mistake::new(&["zygote_interpreter"], text));
            }
            if self.virtual_environment.is_some() {
                let text = "`virtual_environment` is one of the machine, and cannot be used with `[root]`; put \
                            the `bin` of one in the image first into `search_paths.PATH`";
                return Err(Mistake::new(&["virtual_environment"], text));
            }
        }
        self.mounts.iter().enumerate().try_for_each(|(index, mount)| mount.check(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("[[mounts]]\nsources = []\ntarget = '/etc/passwd'\n", "/etc/passwd"),
            ("[[mounts]]\nsources = []\ntarget = '/etc'\n", "/etc"),
            ("[[mounts]]\nsources = ['~/x']\n", "~/x"),
            ("[root]\nimage = 'sha256:12'\n", "root.image"),
            ("[root]\nimage = 'python:3.13'\n", "root.image"),
            ("zygote_interpreter = '/usr/bin/python3'\n[root]\nimage = '/srv/root'\n", "zygote_interpreter"),
        ] {
            let error = Manifest::parse(&format!("{valid}{wrong}")).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
