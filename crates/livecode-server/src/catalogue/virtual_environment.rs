//! The virtual environment of a runtime of Python: where programs find it, and what they need of the
//! machine for it.
//!
//! Its interpreter runs in sandboxes only. Whoever may write there could otherwise have code run with
//! the rights of the server, which starts interpreter zygotes outside.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use livecode_protocol::run_spec::Mount;

use crate::catalogue::{mistake::Mistake, mounts::is_free};

/// The key of a `runtime.toml`.
const KEY: &str = "virtual_environment";
/// Folders of the machine that every sandbox has.
const SHARED: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/lib64"];

/// A virtual environment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VirtualEnvironment {
    /// Its path in the sandbox.
    pub path: PathBuf,
    /// The folders of the machine that must be mounted for it.
    pub mounts: Vec<Mount>,
}

impl VirtualEnvironment {
    /// The virtual environment at `path`. One in the runtime's folder, `./` and its name, is where
    /// that folder is mounted: at `folder_inside`. Others are mounted at their own path.
    ///
    /// # Errors
    /// If the path cannot be mounted.
    pub fn new(path: &Path, folder: &Path, folder_inside: &Path) -> Result<Self, Mistake> {
        if let Ok(name) = path.strip_prefix(".") {
            let mounts = interpreter_mount(&folder.join(name)).into_iter().collect();
            return Ok(Self { path: folder_inside.join(name), mounts });
        }
        let has_parent_component = path.components().any(|part| part == Component::ParentDir);
        let is_shared = SHARED.iter().any(|shared| path.starts_with(shared)) && !has_parent_component;
        if !is_shared && !is_free(path) {
            let text = format!(
                "`{KEY}` {} must be `./` and a name, or an absolute path without \"..\" where a mount may be",
                path.display()
            );
            return Err(Mistake::new(&[KEY], text));
        }
        let own = (!is_shared).then(|| Mount { source: path.to_owned(), target: path.to_owned() });
        // What does not exist cannot be mounted; the runtime then lacks its interpreter.
        let own = own.filter(|mount| mount.source.is_dir());
        Ok(Self { path: path.to_owned(), mounts: own.into_iter().chain(interpreter_mount(path)).collect() })
    }

    /// The folder with its interpreter.
    pub fn bin(&self) -> String {
        self.path.join("bin").to_string_lossy().into_owned()
    }
}

/// The mount of the installation that the interpreter of the virtual environment at `path` belongs
/// to, if programs do not see that anyway.
fn interpreter_mount(path: &Path) -> Option<Mount> {
    let settings = fs::read_to_string(path.join("pyvenv.cfg")).ok()?;
    let pairs = settings.lines().filter_map(|line| line.split_once('='));
    let home = pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == "home")?.1;
    let prefix = Path::new(home).parent().filter(|prefix| *prefix != Path::new("/"))?;
    (is_free(prefix) && prefix.is_dir())
        .then(|| Mount { source: prefix.to_owned(), target: prefix.to_owned() })
}

/// The folders of the virtual environment at `path` that change when packages are installed there.
pub(crate) fn package_folders(path: &Path) -> Vec<PathBuf> {
    let libraries = fs::read_dir(path.join("lib")).into_iter().flatten().flatten();
    let mut folders: Vec<_> = libraries.map(|library| library.path().join("site-packages")).collect();
    folders.sort();
    folders.push(path.join("pyvenv.cfg"));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_mounted_where_programs_do_not_see_it_already() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["venv", "python/bin"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let home = folder.path().join("python/bin");
        fs::write(folder.path().join("venv/pyvenv.cfg"), format!("home = {}\nversion = 3\n", home.display()))
            .unwrap();
        let inside = Path::new("/runtimes/x");
        let new = |path: &str| VirtualEnvironment::new(Path::new(path), folder.path(), inside);
        let in_folder = new("./venv").unwrap();
        // The temporary folder is in a place that no mount can have.
        assert_eq!((in_folder.bin().as_str(), in_folder.mounts.len()), ("/runtimes/x/venv/bin", 0));
        let in_usr = new("/usr/local/no-such-environment").unwrap();
        assert_eq!((in_usr.path.to_str(), in_usr.mounts.len()), (Some("/usr/local/no-such-environment"), 0));
        assert_eq!(new("/no/such/environment").unwrap().mounts, []);
        for wrong in ["venv", "/", "/tmp/venv", "/srv/../etc", "/code", "../venv"] {
            assert!(new(wrong).unwrap_err().in_toml("").contains(KEY), "{wrong}");
        }
    }
}
