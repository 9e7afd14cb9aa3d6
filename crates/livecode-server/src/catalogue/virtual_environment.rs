//! The virtual environment of a runtime of Python: where programs find it, and what they need of
//! the machine for it.
//!
//! Its interpreter runs in sandboxes only. Whoever may write there could otherwise have code run
//! with the rights of the server, which starts interpreter zygotes outside.

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
        let has_parent_component = path.components().any(|part| part == Component::ParentDir);
        if let Ok(name) = path.strip_prefix(".")
            && !has_parent_component
        {
            let mounts = interpreter_mounts(&folder.join(name));
            return Ok(Self { path: folder_inside.join(name), mounts });
        }
        let is_shared = SHARED.iter().any(|shared| path.starts_with(shared)) && !has_parent_component;
        if !is_shared && !is_free(path) {
            let text = format!(
                "`{KEY}` {} must be `./` and a name, or an absolute path where a mount may be, each without \"..\"",
                path.display()
            );
            return Err(Mistake::new(&[KEY], text));
        }
        let own = (!is_shared).then(|| Mount { source: path.to_owned(), target: path.to_owned() });
        // A path that does not exist cannot be mounted; the runtime then lacks its interpreter.
        let own = own.filter(|mount| mount.source.is_dir());
        Ok(Self { path: path.to_owned(), mounts: own.into_iter().chain(interpreter_mounts(path)).collect() })
    }

    /// The folder with its interpreter.
    pub fn bin(&self) -> String {
        self.path.join("bin").to_string_lossy().into_owned()
    }
}

/// The mounts of the interpreter of the virtual environment at `path` and of its library, if
/// programs do not see them anyway. Nothing else of its installation is mounted: an interpreter at
/// `~/.local/bin` has the secrets of a user beside it.
fn interpreter_mounts(path: &Path) -> Vec<Mount> {
    let Ok(settings) = fs::read_to_string(path.join("pyvenv.cfg")) else { return vec![] };
    let pairs = settings.lines().filter_map(|line| line.split_once('='));
    let Some((_, home)) =
        pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == "home")
    else {
        return vec![];
    };
    let Ok(interpreter) = Path::new(home).join("python3").canonicalize() else { return vec![] };
    // The file itself has the version in its name, such as python3.13.
    let Some(versioned) = interpreter.file_name().and_then(|name| name.to_str()) else { return vec![] };
    let mut paths: Vec<_> = ["python", "python3", versioned].map(|name| Path::new(home).join(name)).into();
    paths.push(interpreter.clone());
    let prefixes = [Path::new(home).parent(), interpreter.parent().and_then(Path::parent)];
    for prefix in prefixes.into_iter().flatten() {
        let library = prefix.join("lib").join(versioned);
        // Without this file the folder is one of a user's packages.
        if library.join("os.py").is_file() {
            paths.push(library);
        }
        for entry in fs::read_dir(prefix.join("lib")).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b"libpython") {
                paths.push(entry.path());
            }
        }
    }
    let mut mounts: Vec<Mount> = vec![];
    for path in paths.into_iter().filter(|path| is_free(path) && path.exists()) {
        if !mounts.iter().any(|mount| mount.target == path) {
            mounts.push(Mount { source: path.clone(), target: path });
        }
    }
    mounts
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
        for wrong in ["venv", "/", "/tmp/venv", "/srv/../etc", "/code", "../venv", "./../venv"] {
            assert!(new(wrong).unwrap_err().in_toml("").contains(KEY), "{wrong}");
        }
    }

    #[test]
    fn of_the_installation_of_its_interpreter_only_python_is_mounted() {
        // The temporary folder is in a place that no mount can have.
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in
            ["venv", "local/bin", "local/share/secret", "local/lib/python3.13", "local/lib/python3.12"]
        {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["local/bin/python3.13", "local/bin/other", "local/lib/python3.13/os.py"] {
            fs::write(at(name), "").unwrap();
        }
        fs::write(at("local/lib/libpython3.13.so.1.0"), "").unwrap();
        std::os::unix::fs::symlink("python3.13", at("local/bin/python3")).unwrap();
        fs::write(at("venv/pyvenv.cfg"), format!("home = {}\n", at("local/bin").display())).unwrap();
        let environment =
            VirtualEnvironment::new(Path::new("./venv"), folder.path(), Path::new("/x")).unwrap();
        let mut mounted: Vec<_> = environment.mounts.into_iter().map(|mount| mount.target).collect();
        mounted.sort();
        let expected = [
            "local/bin/python3",
            "local/bin/python3.13",
            "local/lib/libpython3.13.so.1.0",
            "local/lib/python3.13",
        ];
        assert_eq!(mounted, expected.map(at));
    }
}
