//! The catalogue of runtimes. Each runtime is a folder with a `runtime.toml`, either built into
//! the binary or in the operator's folder.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `manifest` | what a `runtime.toml` may contain |
//! | `mounts` | what of this machine a runtime's programs see besides /usr |
//! | `runtime` | what a runtime needs of this machine, and whether the machine has it |
//! | `operator_folder` | whether the operator's folder can be used |
//! | `unpack` | how the built-in runtimes get into the data directory |

mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod manifest;
mod mounts;
mod operator_folder;
mod runtime;
mod unpack;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use livecode_protocol::run_spec::Mount;

pub use error::CatalogueError;
pub use manifest::{CompileLimits, Manifest, RaisedDefaults, TestMode};
pub use mounts::MountSources;
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
    /// Warnings for the operator that do not stop the start, a sentence each.
    warnings: Vec<String>,
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
        let built_in_count = runtimes.len();
        let mut warnings = vec![];
        if let Some(folder) = operator_folder {
            let folder = operator_folder::check(folder)?;
            let operator_mount = Mount { source: folder.clone(), target: OPERATOR_RUNTIMES.into() };
            let own = read_runtimes(&folder, &[support_mount, operator_mount])?;
            warnings.extend(operator_folder::check_runtimes(&folder, &own)?);
            runtimes.extend(own);
        }
        check_names(&runtimes, built_in_count)?;
        runtimes.sort_by_key(|(_, runtime)| (runtime.name != FIRST_RUNTIME, runtime.name.clone()));
        let runtimes: Vec<_> = runtimes.into_iter().map(|(_, runtime)| runtime).collect();
        let names = runtimes
            .iter()
            .enumerate()
            .flat_map(|(index, runtime)| names_of(runtime).map(move |name| (name.clone(), index)));
        Ok(Self { by_name: names.collect(), runtimes, warnings })
    }

    /// Warnings for the operator that do not stop the start, a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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

/// The name and the aliases of a runtime.
fn names_of(runtime: &Runtime) -> impl Iterator<Item = &String> {
    std::iter::once(&runtime.name).chain(&runtime.manifest.aliases)
}

/// Refuses a name that two runtimes have. The first `built_in_count` are the built-in ones.
fn check_names(runtimes: &[(PathBuf, Runtime)], built_in_count: usize) -> Result<(), CatalogueError> {
    let mut taken: HashMap<&String, usize> = HashMap::new();
    for (index, (path, runtime)) in runtimes.iter().enumerate() {
        for name in names_of(runtime) {
            let Some(before) = taken.insert(name, index) else { continue };
            let (other_path, other) = &runtimes[before];
            let other = match before < built_in_count {
                true => format!("the built-in runtime \"{}\"", other.name),
                false => other_path.display().to_string(),
            };
            return Err(CatalogueError::DuplicateName { path: path.clone(), name: name.clone(), other });
        }
    }
    Ok(())
}

/// Reads the runtime in every folder below `parent` that has a `runtime.toml`. `shared_mounts` are
/// mounted in the sandboxes of all of them. Returns each with the path of its `runtime.toml`.
fn read_runtimes(parent: &Path, shared_mounts: &[Mount]) -> Result<Vec<(PathBuf, Runtime)>, CatalogueError> {
    let read_error = |error| CatalogueError::Read(parent.to_owned(), error);
    let mut runtimes = vec![];
    let mut unreadable = None;
    for entry in std::fs::read_dir(parent).map_err(read_error)? {
        let folder = entry.map_err(read_error)?.path();
        let path = folder.join("runtime.toml");
        match path.metadata() {
            Ok(file) if file.is_file() => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                unreadable.get_or_insert((path, error));
                continue;
            }
            _ => continue, // a folder of files that several runtimes share
        }
        let text =
            std::fs::read_to_string(&path).map_err(|error| CatalogueError::Read(path.clone(), error))?;
        let manifest = Manifest::parse(&text);
        match manifest.and_then(|manifest| Runtime::new(&folder, manifest, shared_mounts)) {
            Ok(runtime) => runtimes.push((path, runtime)),
            Err(error) => return Err(CatalogueError::Manifest { path, error }),
        }
    }
    // Where there is no runtime at all, as in /etc, the folder itself is the mistake.
    match unreadable.filter(|_| !runtimes.is_empty()) {
        Some((path, error)) => Err(CatalogueError::Read(path, error)),
        None => Ok(runtimes),
    }
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
            "assembly",
            "bash",
            "c",
            "cpp",
            "csharp",
            "fortran",
            "go",
            "java",
            "javascript",
            "javascript-canvas",
            "joy",
            "lua",
            "mypy",
            "ocaml",
            "pascal",
            "perl",
            "php",
            "python-canvas",
            "r",
            "ruby",
            "rust",
            "sqlite",
            "typescript",
        ];
        assert_eq!(names, expected);
        assert_eq!(catalogue.get("golang").unwrap().name, "go");
        assert!(catalogue.get("cobol").is_none());
    }

    #[test]
    fn a_folder_of_the_operator_is_a_runtime() {
        let operator_folder = tempfile::tempdir().unwrap();
        let folder = operator_folder.path().join("tcl");
        std::fs::create_dir(&folder).unwrap();
        let toml = "title = 'Tcl'\nfile = 'main.tcl'\neditor_mode = 'tcl'\nrun = ['tclsh', '{source}']\n\
                    requires = ['no-such-tclsh']\ninstall = 'apt-get install tcl'\n";
        std::fs::write(folder.join("runtime.toml"), toml).unwrap();
        let catalogue = load(Some(operator_folder.path())).unwrap();
        let tcl = catalogue.get("tcl").unwrap();
        let targets: Vec<_> = tcl.mounts.iter().map(|mount| &*mount.target).collect();
        assert_eq!(targets, [Path::new("/livecode"), Path::new("/runtimes")]);
        assert!(tcl.needs.as_ref().unwrap().contains("no-such-tclsh"));

        for (wrong, word) in
            [("titel = 'x'\n", "titel"), ("aliases = ['go']\n", "go"), ("aliases = ['Go!']\n", "Go!")]
        {
            std::fs::write(folder.join("runtime.toml"), format!("{wrong}{toml}")).unwrap();
            let error = load(Some(operator_folder.path())).unwrap_err().to_string();
            assert!(error.contains("runtime.toml") && error.contains(word), "{error}");
        }
    }
}
