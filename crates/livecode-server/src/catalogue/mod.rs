//! The languages this server runs: a folder each, with a `runtime.toml`, built into the binary or the operator's.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod manifest;
mod unpack;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
};

use livecode_protocol::{FileName, run_spec::Mount, session::Mode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use manifest::{CompileLimits, Manifest, RunLimits, TestMode, Tree};

/// The variable that says where programs are searched.
const PATH: &str = "PATH";
/// Where they are searched inside, after a runtime's own folders.
const SYSTEM_PATH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
/// Where the support files of the built-in runtimes are inside.
const SUPPORT: &str = "/livecode";
/// Where compile steps can leave what they make.
const WRITABLE: [&str; 2] = ["/code", "/tmp"];
/// Where the operator's runtimes are inside.
pub(crate) const OPERATORS: &str = "/runtimes";
/// What is listed first; the rest follows by name.
const FIRST: &str = "python";

/// Why the catalogue could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A folder or file could not be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// The support files could not be unpacked into the data directory.
    #[error("cannot unpack the runtimes' support files into {0}")]
    Unpack(PathBuf, #[source] io::Error),
    /// A `runtime.toml` is wrong; the text names the key and the line.
    #[error("{path} is wrong:\n{error}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        error: String,
    },
    /// Two runtimes want the same name.
    #[error("{path} takes the name \"{name}\", which another runtime has")]
    Taken {
        /// The later file.
        path: PathBuf,
        /// The name or alias.
        name: String,
    },
}

/// One language, as this machine has it.
#[derive(Debug)]
pub struct Runtime {
    /// Its name: the name of its folder.
    pub name: String,
    /// What its `runtime.toml` says.
    pub manifest: Manifest,
    /// The trees it needs to see.
    pub mounts: Vec<Mount>,
    /// Lists of folders in its environment, `PATH` among them.
    pub search_paths: BTreeMap<String, String>,
    /// What this machine lacks, and how to get it; `None` where the runtime can run.
    pub needs: Option<String>,
    /// The same of its test mode.
    pub test_needs: Option<String>,
}

/// A runtime, as `GET /runtimes` lists it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RuntimeInfo {
    /// Its name.
    #[schema(example = "python")]
    pub name: String,
    /// Other names it answers to.
    pub aliases: Vec<String>,
    /// Its name for people.
    pub title: String,
    /// The file that `code` is saved as.
    #[schema(example = "main.py")]
    pub file: String,
    /// Endings of its source files, without the dot.
    pub extensions: Vec<String>,
    /// The editor's mode for its source.
    pub editor_mode: String,
    /// What can be done with its files here: `exec`, and `test` where it has that.
    pub modes: Vec<Mode>,
    /// Whether this machine can run it.
    pub available: bool,
    /// What this machine lacks, and how to get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub needs: Option<String>,
    /// A small program.
    pub example: String,
}

/// All runtimes, found by name or alias.
#[derive(Debug)]
pub struct Catalogue {
    runtimes: Vec<Runtime>,
    by_name: HashMap<String, usize>,
}

impl Catalogue {
    /// Unpacks the built-in runtimes' support files below `data_dir`, and reads the operator's runtimes from `extra`.
    ///
    /// # Errors
    /// Where a file cannot be read or written, or a `runtime.toml` is wrong.
    pub fn load(data_dir: &Path, extra: Option<&Path>) -> Result<Self, CatalogueError> {
        let support = unpack::unpack(&data_dir.join("support"))?;
        let built_in = Mount { source: support.clone(), target: SUPPORT.into() };
        let mut runtimes = read_folders(&support, std::slice::from_ref(&built_in))?;
        if let Some(extra) = extra {
            let extra =
                extra.canonicalize().map_err(|error| CatalogueError::Read(extra.to_owned(), error))?;
            let operators = Mount { source: extra.clone(), target: OPERATORS.into() };
            runtimes.extend(read_folders(&extra, &[built_in, operators])?);
        }
        runtimes.sort_by_key(|(_, runtime)| (runtime.name != FIRST, runtime.name.clone()));

        let mut catalogue = Self { runtimes: vec![], by_name: HashMap::new() };
        for (path, runtime) in runtimes {
            for name in std::iter::once(&runtime.name).chain(&runtime.manifest.aliases) {
                if catalogue.by_name.insert(name.clone(), catalogue.runtimes.len()).is_some() {
                    return Err(CatalogueError::Taken { path, name: name.clone() });
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

    /// All of them, Python first.
    pub fn iter(&self) -> impl Iterator<Item = &Runtime> {
        self.runtimes.iter()
    }
}

/// Reads every folder with a `runtime.toml` below `parent`; their programs see the trees of `support`.
fn read_folders(parent: &Path, support: &[Mount]) -> Result<Vec<(PathBuf, Runtime)>, CatalogueError> {
    let read = |error| CatalogueError::Read(parent.to_owned(), error);
    let mut runtimes = vec![];
    for entry in std::fs::read_dir(parent).map_err(read)? {
        let folder = entry.map_err(read)?.path();
        let path = folder.join("runtime.toml");
        if !path.is_file() {
            continue; // files that several runtimes share
        }
        let text =
            std::fs::read_to_string(&path).map_err(|error| CatalogueError::Read(path.clone(), error))?;
        let manifest = Manifest::parse(&text);
        match manifest.and_then(|manifest| Runtime::new(&folder, manifest, support)) {
            Ok(runtime) => runtimes.push((path, runtime)),
            Err(error) => return Err(CatalogueError::Manifest { path, error }),
        }
    }
    Ok(runtimes)
}

impl Runtime {
    fn new(folder: &Path, manifest: Manifest, support: &[Mount]) -> Result<Self, String> {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        for name in manifest.aliases.iter().chain([&name]) {
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.+#".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_plain) {
                return Err(format!("the name {name:?} has other characters than a-z, 0-9 and -_.+#"));
            }
        }
        for artefact in &manifest.artefacts {
            let below = WRITABLE.iter().find_map(|folder| artefact.strip_prefix(folder).ok()?.to_str());
            if below.is_none_or(|name| name.parse::<FileName>().is_err()) {
                return Err(format!(
                    "artefacts: {artefact:?} is not a plain path below {}",
                    WRITABLE.join(" or ")
                ));
            }
        }
        let mut mounts = support.to_vec();
        mounts.extend(manifest.mounts.iter().filter_map(|tree| tree.resolve(folder)));

        let mut folders = manifest.search_paths.clone();
        folders.entry(PATH.into()).or_default().extend(SYSTEM_PATH.map(str::to_owned));
        let lacks = |requires: &[String], install: &str| {
            let path = &folders[PATH];
            let is_there =
                |what: &&str| path.iter().any(|folder| exists_inside(&mounts, &Path::new(folder).join(what)));
            let missing: Vec<&str> =
                requires.iter().map(String::as_str).filter(|what| !is_there(what)).collect();
            let needs = || format!("this machine lacks {}; install it with: {install}", missing.join(", "));
            (!missing.is_empty()).then(needs)
        };
        let needs = lacks(&manifest.requires, &manifest.install);
        let test_needs = manifest.test.as_ref().and_then(|test| lacks(&test.requires, &test.install));
        let search_paths = folders.into_iter().map(|(name, list)| (name, list.join(":"))).collect();
        Ok(Self { name, manifest, mounts, search_paths, needs, test_needs })
    }

    /// Its entry in the list.
    pub fn info(&self) -> RuntimeInfo {
        let Manifest { aliases, title, file, extensions, editor_mode, test, example, .. } =
            self.manifest.clone();
        let has_tests = test.is_some() && self.test_needs.is_none();
        RuntimeInfo {
            name: self.name.clone(),
            aliases,
            title,
            file: file.to_string(),
            extensions,
            editor_mode,
            modes: if has_tests { vec![Mode::Exec, Mode::Test] } else { vec![Mode::Exec] },
            available: self.needs.is_none(),
            needs: self.needs.clone(),
            example: example.trim_start().to_owned(),
        }
    }
}

/// Whether a program would find `path` inside. Commands of /usr may be links that lead out of it, as those of
/// alternatives do, and so are those in a mounted toolchain; only the first step is looked at from here.
fn exists_inside(mounts: &[Mount], path: &Path) -> bool {
    let mounted =
        mounts.iter().find_map(|mount| Some(mount.source.join(path.strip_prefix(&mount.target).ok()?)));
    mounted.unwrap_or_else(|| path.to_owned()).symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(extra: Option<&Path>) -> Result<Catalogue, CatalogueError> {
        let data = tempfile::tempdir().unwrap();
        Catalogue::load(data.path(), extra)
    }

    #[test]
    fn the_built_in_runtimes() {
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
    fn an_operators_runtime_is_a_folder() {
        let extra = tempfile::tempdir().unwrap();
        let folder = extra.path().join("perl");
        std::fs::create_dir(&folder).unwrap();
        let toml = "title = 'Perl'\nfile = 'main.pl'\neditor_mode = 'perl'\nrun = ['perl', '{source}']\n\
                    requires = ['no-such-perl']\ninstall = 'apt-get install perl'\n";
        std::fs::write(folder.join("runtime.toml"), toml).unwrap();
        let catalogue = load(Some(extra.path())).unwrap();
        let perl = catalogue.get("perl").unwrap();
        let targets: Vec<_> = perl.mounts.iter().map(|mount| &*mount.target).collect();
        assert_eq!(targets, [Path::new("/livecode"), Path::new("/runtimes")]);
        assert!(perl.needs.as_ref().unwrap().contains("no-such-perl"));

        for (wrong, word) in
            [("titel = 'x'\n", "titel"), ("aliases = ['go']\n", "go"), ("aliases = ['Go!']\n", "Go!")]
        {
            std::fs::write(folder.join("runtime.toml"), format!("{wrong}{toml}")).unwrap();
            let error = load(Some(extra.path())).unwrap_err().to_string();
            assert!(error.contains("runtime.toml") && error.contains(word), "{error}");
        }
    }
}
