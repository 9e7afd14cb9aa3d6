//! The catalogue of runtimes. Each runtime is a folder with a `runtime.toml`, either built into
//! the binary or in the operator's folder.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `manifest` | what a `runtime.toml` may contain |
//! | `runtime` | what a runtime needs of this machine, and whether the machine has it |
//! | `unpack` | how the built-in runtimes get into the data directory |

mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod manifest;
mod runtime;
mod unpack;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use livecode_protocol::run_spec::Mount;

pub use error::CatalogueError;
pub use manifest::{CompileLimits, Manifest, MountSources, RaisedDefaults, TestMode};
pub use runtime::{Runtime, RuntimeInfo};

/// The folder of the sandbox where the folder of the operator's runtimes is mounted.
pub(crate) const OPERATOR_RUNTIMES: &str = "/runtimes";
/// The runtime that is listed first. The others follow by name.
const FIRST_RUNTIME: &str = "python";

/// All runtimes, found by name or alias.
#[derive(Debug)]
pub struct Catalogue {
    runtimes: Vec<Runtime>,
    /// Index in `runtimes` by name and by alias.
    by_name: HashMap<String, usize>,
}

impl Catalogue {
    /// Unpacks the files of the built-in runtimes below `data_dir`, and reads these runtimes and
    /// those in `operator_folder`.
    ///
    /// # Errors
    /// A file cannot be read or written, or a `runtime.toml` is wrong.
    pub fn load(data_dir: &Path, operator_folder: Option<&Path>) -> Result<Self, CatalogueError> {
        let support = unpack::unpack(&data_dir.join("support"))?;
        let support_mount = Mount { source: support.clone(), target: unpack::SUPPORT.into() };
        let mut runtimes = read_runtimes(&support, std::slice::from_ref(&support_mount))?;
        if let Some(folder) = operator_folder {
            let folder =
                folder.canonicalize().map_err(|error| CatalogueError::Read(folder.to_owned(), error))?;
            let operator_mount = Mount { source: folder.clone(), target: OPERATOR_RUNTIMES.into() };
            runtimes.extend(read_runtimes(&folder, &[support_mount, operator_mount])?);
        }
        runtimes.sort_by_key(|(_, runtime)| (runtime.name != FIRST_RUNTIME, runtime.name.clone()));

        let mut catalogue = Self { runtimes: vec![], by_name: HashMap::new() };
        for (path, runtime) in runtimes {
            for name in std::iter::once(&runtime.name).chain(&runtime.manifest.aliases) {
                if catalogue.by_name.insert(name.clone(), catalogue.runtimes.len()).is_some() {
                    return Err(CatalogueError::DuplicateName { path, name: name.clone() });
                }
            }
            catalogue.runtimes.push(runtime);
        }
        Ok(catalogue)
    }

    /// The runtime with this name or alias.
    pub fn get(&self, name: &str) -> Option<&Runtime> {
        self.by_name.get(name).map(|index| &self.runtimes[*index])
    }

    /// All runtimes, Python first.
    pub fn iter(&self) -> impl Iterator<Item = &Runtime> {
        self.runtimes.iter()
    }
}

/// Reads the runtime in every folder below `parent` that has a `runtime.toml`. `shared_mounts` are
/// mounted in the sandboxes of all of them. Returns each with the path of its `runtime.toml`.
fn read_runtimes(parent: &Path, shared_mounts: &[Mount]) -> Result<Vec<(PathBuf, Runtime)>, CatalogueError> {
    let read_error = |error| CatalogueError::Read(parent.to_owned(), error);
    let mut runtimes = vec![];
    for entry in std::fs::read_dir(parent).map_err(read_error)? {
        let folder = entry.map_err(read_error)?.path();
        let path = folder.join("runtime.toml");
        if !path.is_file() {
            continue; // a folder of files that several runtimes share
        }
        let text =
            std::fs::read_to_string(&path).map_err(|error| CatalogueError::Read(path.clone(), error))?;
        let manifest = Manifest::parse(&text);
        match manifest.and_then(|manifest| Runtime::new(&folder, manifest, shared_mounts)) {
            Ok(runtime) => runtimes.push((path, runtime)),
            Err(error) => return Err(CatalogueError::Manifest { path, error }),
        }
    }
    Ok(runtimes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(operator_folder: Option<&Path>) -> Result<Catalogue, CatalogueError> {
        let data = tempfile::tempdir().unwrap();
        Catalogue::load(data.path(), operator_folder)
    }

    #[test]
    fn the_built_in_runtimes_are_listed_python_first() {
        let catalogue = load(None).unwrap();
        let names: Vec<_> = catalogue.iter().map(|runtime| &*runtime.name).collect();
        let expected = [
            "python",
            "bash",
            "c",
            "cpp",
            "go",
            "javascript",
            "javascript-canvas",
            "joy",
            "mypy",
            "python-canvas",
            "rust",
        ];
        assert_eq!(names, expected);
        assert_eq!(catalogue.get("golang").unwrap().name, "go");
        assert!(catalogue.get("cobol").is_none());
    }

    #[test]
    fn a_folder_of_the_operator_is_a_runtime() {
        let operator_folder = tempfile::tempdir().unwrap();
        let folder = operator_folder.path().join("perl");
        std::fs::create_dir(&folder).unwrap();
        let toml = "title = 'Perl'\nfile = 'main.pl'\neditor_mode = 'perl'\nrun = ['perl', '{source}']\n\
                    requires = ['no-such-perl']\ninstall = 'apt-get install perl'\n";
        std::fs::write(folder.join("runtime.toml"), toml).unwrap();
        let catalogue = load(Some(operator_folder.path())).unwrap();
        let perl = catalogue.get("perl").unwrap();
        let targets: Vec<_> = perl.mounts.iter().map(|mount| &*mount.target).collect();
        assert_eq!(targets, [Path::new("/livecode"), Path::new("/runtimes")]);
        assert!(perl.needs.as_ref().unwrap().contains("no-such-perl"));

        for (wrong, word) in
            [("titel = 'x'\n", "titel"), ("aliases = ['go']\n", "go"), ("aliases = ['Go!']\n", "Go!")]
        {
            std::fs::write(folder.join("runtime.toml"), format!("{wrong}{toml}")).unwrap();
            let error = load(Some(operator_folder.path())).unwrap_err().to_string();
            assert!(error.contains("runtime.toml") && error.contains(word), "{error}");
        }
    }
}
