//! The catalogue of runtimes. Each runtime is a folder with a `runtime.toml`, either built into
//! the binary or in the operator's folder.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `manifest` | what a `runtime.toml` may contain |
//! | `mounts` | what of this machine a runtime's programs see besides /usr |
//! | `runtime` | what a runtime needs of this machine, and whether the machine has it |
//! | `mistake` | at which line of a `runtime.toml` a mistake is |
//! | `own_root` | which root programs see in place of the machine's |
//! | `imported` | the runtimes that were made of imported images |
//! | `operator_folder` | whether the operator's folder can be used |
//! | `extends` | how a `runtime.toml` has only what differs from another one |
//! | `layers` | how an operator's runtimes add, replace and hide others |
//! | `check_result` | what the last check of a runtime has found |
//! | `virtual_environment` | where programs find a virtual environment of Python |
//! | `versions` | which runtime a name with a version stands for |
//! | `unpack` | how the built-in runtimes get into the data directory |

mod check_result;
mod error;
mod extends;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod imported;
mod layers;
mod manifest;
mod mistake;
mod mounts;
mod operator_folder;
mod own_root;
mod runtime;
mod unpack;
mod versions;
mod virtual_environment;

use std::{collections::HashMap, path::Path, sync::Arc};

use livecode_protocol::run_spec::Mount;
use tokio::sync::watch;

pub use check_result::{CheckInfo, CheckResult};
pub use error::CatalogueError;
pub use manifest::{Check, CompileLimits, Manifest, RaisedDefaults, TestMode};
pub use mounts::MountSources;
pub use own_root::{FoundRoot, OwnRoot};
pub(crate) use runtime::OPERATOR_RUNTIMES;
pub use runtime::{Runtime, RuntimeInfo};
pub use versions::FindError;
pub(crate) use versions::version_in;
pub(crate) use virtual_environment::package_folders;

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
    /// Unpacks the files of the built-in runtimes below `data_dir`, and reads these runtimes, the
    /// imported ones, and those in `operator_folder`.
    ///
    /// # Errors
    /// A file cannot be read or written, or a `runtime.toml` is wrong.
    pub fn load(data_dir: &Path, operator_folder: Option<&Path>) -> Result<Self, CatalogueError> {
        let support = unpack::unpack(&data_dir.join(unpack::SUPPORT_FOLDER))?;
        let built_in = layers::read_texts(&support)?;
        let imported = Self::imported_texts(data_dir)?;
        Self::assemble(&support, built_in, imported, data_dir, operator_folder)
    }

    /// The texts of the imported runtimes.
    fn imported_texts(data_dir: &Path) -> Result<Vec<layers::RuntimeText>, CatalogueError> {
        let folder = imported::folder(data_dir);
        if folder.is_dir() { layers::read_texts(&folder) } else { Ok(vec![]) }
    }

    /// Checks that a server could start if the imported runtime `name` had the `runtime.toml` `new`,
    /// or were removed (`None`). Runtimes in `operator_folder` may extend it. Where no server could
    /// start now, it is unknown what the change would break, and the check passes. Nothing is written,
    /// so this may be called beside a server that runs.
    ///
    /// # Errors
    /// The mistake that would keep the server from starting.
    pub fn check_change(
        data_dir: &Path,
        operator_folder: Option<&Path>,
        name: &str,
        new: Option<&str>,
    ) -> Result<(), CatalogueError> {
        let Ok(before) = Self::imported_texts(data_dir) else { return Ok(()) };
        let path = imported::folder(data_dir).join(name).join(layers::RUNTIME_TOML);
        let mut after: Vec<_> = before.iter().filter(|text| text.path != path).cloned().collect();
        after.extend(new.map(|text| layers::RuntimeText { path, text: text.to_owned() }));
        after.sort_by(|one, other| one.path.cmp(&other.path));
        let support = data_dir.join(unpack::SUPPORT_FOLDER);
        let support = support.canonicalize().unwrap_or(support);
        let load = |imported| {
            let built_in = unpack::built_in_manifests().map(|(name, text)| layers::RuntimeText {
                path: support.join(name).join(layers::RUNTIME_TOML),
                text,
            });
            Self::assemble(&support, built_in.collect(), imported, data_dir, operator_folder)
        };
        match load(after) {
            Err(error) if load(before).is_ok() => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes the catalogue of the texts of the built-in and imported runtimes, and of the folders in
    /// `operator_folder`. The files of the built-in runtimes are in `support`.
    fn assemble(
        support: &Path,
        built_in: Vec<layers::RuntimeText>,
        imported: Vec<layers::RuntimeText>,
        data_dir: &Path,
        operator_folder: Option<&Path>,
    ) -> Result<Self, CatalogueError> {
        let support_mount = Mount { source: support.to_owned(), target: unpack::SUPPORT.into() };
        let shared_mounts = std::slice::from_ref(&support_mount);
        let mut folders = layers::parse_texts(built_in, &[], shared_mounts, data_dir)?;
        let mut warnings = vec![];
        let imported = layers::parse_texts(imported, &folders, shared_mounts, data_dir)?;
        folders = layers::lay_over(folders, imported, &mut warnings)?;
        if let Some(folder) = operator_folder {
            let folder = operator_folder::check(folder, data_dir)?;
            let operator_mount = Mount { source: folder.clone(), target: OPERATOR_RUNTIMES.into() };
            let texts = layers::read_texts(&folder)?;
            let mounts = [support_mount, operator_mount];
            let own = layers::parse_texts(texts, &folders, &mounts, data_dir)?;
            warnings.extend(operator_folder::check_runtimes(&folder, &own)?);
            folders = layers::lay_over(folders, own, &mut warnings)?;
        }
        let mut runtimes: Vec<_> =
            folders.into_iter().filter_map(layers::RuntimeFolder::into_runtime).collect();
        warnings.extend(runtimes.iter().flat_map(Runtime::warnings));
        runtimes.sort_by_key(|runtime| (runtime.name != FIRST_RUNTIME, runtime.name.clone()));
        let names = runtimes
            .iter()
            .enumerate()
            .flat_map(|(index, runtime)| runtime.names().map(move |name| (name.clone(), index)));
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

/// The catalogue that holds now. Clones share it.
#[derive(Clone, Debug)]
pub struct CurrentCatalogue(Arc<watch::Sender<Arc<Catalogue>>>);

impl CurrentCatalogue {
    /// Begins with `catalogue`.
    pub fn new(catalogue: Arc<Catalogue>) -> Self {
        Self(Arc::new(watch::Sender::new(catalogue)))
    }

    /// The catalogue of this moment. A request uses one catalogue from its beginning to its end.
    pub fn now(&self) -> Arc<Catalogue> {
        self.0.borrow().clone()
    }

    /// Replaces the catalogue.
    pub fn replace(&self, catalogue: Arc<Catalogue>) {
        self.0.send_replace(catalogue);
    }

    /// Tells when the catalogue was replaced.
    pub fn changes(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.0.subscribe()
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
            "haskell",
            "java",
            "javascript",
            "javascript-canvas",
            "joy",
            "kotlin",
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
    fn every_built_in_runtime_tells_its_version_and_has_a_hello() {
        for runtime in load(None).unwrap().iter() {
            let manifest = &runtime.manifest;
            assert!(!manifest.version.is_empty(), "{}", runtime.name);
            assert!(!manifest.example.is_empty() || manifest.check.code.is_some(), "{}", runtime.name);
        }
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

        for (wrong, word) in [
            ("titel = 'x'\n", "titel"),
            ("aliases = ['go']\n", "line 1: `aliases` takes the name \"go\""),
            ("aliases = ['Go!']\n", "line 1: the alias \"Go!\""),
        ] {
            std::fs::write(folder.join("runtime.toml"), format!("{wrong}{toml}")).unwrap();
            let error = load(Some(operator_folder.path())).unwrap_err().to_string();
            assert!(error.contains("runtime.toml") && error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_folder_of_the_operator_replaces_or_hides_a_built_in_runtime() {
        let operator_folder = tempfile::tempdir().unwrap();
        let write = |name: &str, toml: &str| {
            let folder = operator_folder.path().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("runtime.toml"), toml).unwrap();
        };
        let toml = "title = 'Own'\nfile = 'x'\neditor_mode = 'x'\nrun = ['x']\ninstall = 'x'\n";
        write("go", &format!("aliases = ['py']\n{toml}"));
        write("rust", "hidden = true\n");
        write("golang", &format!("hidden = true\n{toml}"));
        write("bash", &format!("hidden = false\n{toml}"));
        write("rs", toml);
        let catalogue = load(Some(operator_folder.path())).unwrap();
        for name in ["go", "py", "bash", "rs"] {
            assert_eq!(catalogue.get(name).unwrap().manifest.title, "Own", "{name}");
        }
        assert!(catalogue.get("rust").is_none() && catalogue.get("golang").is_none());
        // The built-in runtime has lost one of its aliases.
        assert_eq!(catalogue.get("python3").unwrap().info().aliases, ["python3"]);
        assert_eq!(catalogue.warnings(), [""; 0]);

        write("rust", "hidden = true\ntitle = 'X'\n");
        write("pyhton", "hidden = true\n");
        let warnings = load(Some(operator_folder.path())).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("\"pyhton\""), "{warnings:?}");
        write("rust", "\nhidden = 'yes'\n");
        let error = load(Some(operator_folder.path())).unwrap_err().to_string();
        assert!(error.contains("rust/runtime.toml") && error.contains("line 2"), "{error}");
    }
    #[test]
    fn an_object_that_the_root_cannot_load_is_not_preloaded() {
        let operator_folder = tempfile::tempdir().unwrap();
        let folder = operator_folder.path().join("own");
        std::fs::create_dir_all(folder.join("root")).unwrap();
        std::fs::write(folder.join("runtime.toml"), "extends = 'c'\n[root]\nimage = './root'\n").unwrap();
        let catalogue = load(Some(operator_folder.path())).unwrap();
        let preload = |name: &str| catalogue.get(name).unwrap().manifest.env.get("LD_PRELOAD");
        assert!(preload("c").is_some() && preload("own").is_none());
        let warnings = catalogue.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("LD_PRELOAD"), "{warnings:?}");
    }
}
