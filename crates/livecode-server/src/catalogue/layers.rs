//! The runtimes of one folder, and how those of a further folder come over them: each of these
//! adds a runtime, replaces one, or hides one.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use livecode_protocol::run_spec::Mount;
use serde::Deserialize;

use crate::catalogue::{
    error::CatalogueError,
    extends::{Base, parse_extended},
    manifest::Manifest,
    mistake::Mistake,
    runtime::Runtime,
};

/// The file that makes a folder a runtime.
pub(super) const RUNTIME_TOML: &str = "runtime.toml";

/// A folder with a `runtime.toml`.
#[derive(Debug)]
pub(super) struct RuntimeFolder {
    /// The path of the `runtime.toml`.
    pub path: PathBuf,
    /// The name of the folder.
    name: String,
    is_built_in: bool,
    kind: FolderKind,
}

#[derive(Debug)]
enum FolderKind {
    Runtime(Box<Runtime>),
    /// The folder hides the runtime of its name.
    Hidden {
        /// Whether `hidden` is the only key, so that the folder has no other purpose.
        is_only_key: bool,
    },
}

/// The keys of a `runtime.toml` that are read before all others.
#[derive(Deserialize)]
struct FirstKeys {
    #[serde(default)]
    hidden: bool,
    extends: Option<String>,
}

impl FolderKind {
    /// Reads the text of a `runtime.toml` in `folder`, which may extend one `below`. A hidden
    /// runtime needs no other key, and the others that it has are not checked.
    fn parse(
        folder: &Path,
        text: &str,
        below: &[RuntimeFolder],
        shared_mounts: &[Mount],
        data_dir: &Path,
    ) -> Result<Self, String> {
        let first: FirstKeys = toml::from_str(text).map_err(|error| error.to_string())?;
        if first.hidden {
            let table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
            return Ok(Self::Hidden { is_only_key: table.len() == 1 });
        }
        let base = first.extends.map(|name| find_base(&name, below).map_err(|error| error.in_toml(text)));
        let base = base.transpose()?;
        let manifest = match &base {
            Some(base) => parse_extended(text, base),
            None => Manifest::parse(text),
        };
        let runtime = Runtime::new(folder, manifest?, shared_mounts, data_dir);
        let mut runtime = runtime.map_err(|mistake| mistake.in_toml(text))?;
        // With the base, a change of either is noticed.
        runtime.toml = [text, base.map_or("", |base| base.toml)].join("\n");
        Ok(Self::Runtime(Box::new(runtime)))
    }
}

/// The runtime `below` that a `runtime.toml` extends.
fn find_base<'b>(name: &str, below: &'b [RuntimeFolder]) -> Result<Base<'b>, Mistake> {
    let found = below.iter().find(|folder| folder.name == name);
    let base = found.and_then(|folder| match &folder.kind {
        // The text of one that extends another holds both texts.
        FolderKind::Runtime(runtime) if runtime.manifest.extends.is_none() => {
            Some(Base { toml: &runtime.toml, folder: folder.path.parent()? })
        }
        _ => None,
    });
    base.ok_or_else(|| {
        let text = format!(
            "`extends`: there is no built-in or imported runtime {name:?} that does not itself extend another one"
        );
        Mistake::new(&["extends"], text)
    })
}

impl RuntimeFolder {
    /// The runtime, unless the folder hides one.
    pub fn into_runtime(self) -> Option<Runtime> {
        match self.kind {
            FolderKind::Runtime(runtime) => Some(*runtime),
            FolderKind::Hidden { .. } => None,
        }
    }

    /// The name and the aliases of the runtime; none if the folder hides one.
    fn names(&self) -> impl Iterator<Item = &String> {
        let runtime = match &self.kind {
            FolderKind::Runtime(runtime) => Some(runtime),
            FolderKind::Hidden { .. } => None,
        };
        runtime.into_iter().flat_map(|runtime| runtime.names())
    }

    /// The folder, as an error names it that another one has the same name as.
    fn description(&self) -> String {
        match self.is_built_in {
            true => format!("the built-in runtime \"{}\"", self.name),
            false => self.path.display().to_string(),
        }
    }
}

/// A `runtime.toml` that was read and not parsed.
#[derive(Clone, Debug)]
pub(super) struct RuntimeText {
    /// The path of the file.
    pub path: PathBuf,
    /// Its contents.
    pub text: String,
}

/// Reads the `runtime.toml` of every folder in `parent` that has one, in the order of their names.
pub(super) fn read_texts(parent: &Path) -> Result<Vec<RuntimeText>, CatalogueError> {
    let read_error = |error| CatalogueError::Read(parent.to_owned(), error);
    let mut texts = vec![];
    let mut unreadable = None;
    for entry in std::fs::read_dir(parent).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path().join(RUNTIME_TOML);
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
        texts.push(RuntimeText { path, text });
    }
    // The order of a folder's entries is arbitrary, and must not decide which error is reported.
    texts.sort_by(|one, other| one.path.cmp(&other.path));
    // Where there is no runtime at all, as in /etc, the folder itself is the mistake.
    match unreadable.filter(|_| !texts.is_empty()) {
        Some((path, error)) => Err(CatalogueError::Read(path, error)),
        None => Ok(texts),
    }
}

/// Parses the texts of one folder. Each may extend a runtime of those `below`; if there are none,
/// the texts are the built-in ones. `shared_mounts` are mounted in the sandboxes of all of them.
/// Imported images are in `data_dir`.
pub(super) fn parse_texts(
    texts: Vec<RuntimeText>,
    below: &[RuntimeFolder],
    shared_mounts: &[Mount],
    data_dir: &Path,
) -> Result<Vec<RuntimeFolder>, CatalogueError> {
    let parse = |RuntimeText { path, text }| {
        let folder: &Path = Path::parent(&path).unwrap_or(Path::new(""));
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        match FolderKind::parse(folder, &text, below, shared_mounts, data_dir) {
            Ok(kind) => Ok(RuntimeFolder { name, is_built_in: below.is_empty(), kind, path }),
            Err(error) => Err(CatalogueError::Manifest { path, error }),
        }
    };
    texts.into_iter().map(parse).collect()
}

/// Lays the runtimes of one folder over those `below`. A folder replaces or hides the runtime below
/// that has its name. Besides, a name or alias above takes an alias from a runtime below, so that
/// an upgrade that brings a further runtime changes nothing of what an operator has.
///
/// # Errors
/// Two runtimes above have the same name or alias, or an alias above is the name of a runtime
/// below.
pub(super) fn lay_over(
    below: Vec<RuntimeFolder>,
    above: Vec<RuntimeFolder>,
    warnings: &mut Vec<String>,
) -> Result<Vec<RuntimeFolder>, CatalogueError> {
    let mut taken: HashMap<String, usize> = HashMap::new();
    for (index, folder) in above.iter().enumerate() {
        for name in folder.names() {
            if let Some(before) = taken.insert(name.clone(), index) {
                return Err(duplicate(folder, name, &above[before]));
            }
        }
        if matches!(folder.kind, FolderKind::Hidden { is_only_key: true })
            && !below.iter().any(|other| other.name == folder.name)
        {
            let (path, name) = (folder.path.display(), &folder.name);
            warnings.push(format!("{path} hides the runtime {name:?}, and there is none of this name"));
        }
    }
    let mut folders = vec![];
    for mut folder in below {
        if above.iter().any(|other| other.name == folder.name) {
            continue; // replaced or hidden
        }
        if let Some(index) = taken.get(&folder.name) {
            return Err(duplicate(&above[*index], &folder.name, &folder));
        }
        if let FolderKind::Runtime(runtime) = &mut folder.kind {
            runtime.manifest.aliases.retain(|alias| !taken.contains_key(alias));
        }
        folders.push(folder);
    }
    folders.extend(above);
    Ok(folders)
}

fn duplicate(folder: &RuntimeFolder, name: &str, other: &RuntimeFolder) -> CatalogueError {
    let place = match &folder.kind {
        FolderKind::Runtime(runtime) if folder.name != name => {
            Mistake::new(&["aliases"], "`aliases`").in_toml(&runtime.toml)
        }
        _ => "its folder".to_owned(),
    };
    CatalogueError::DuplicateName {
        place,
        path: folder.path.clone(),
        name: name.to_owned(),
        other: other.description(),
    }
}
