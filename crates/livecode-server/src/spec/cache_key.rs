//! The key of a session in the compile cache: a digest of everything that its compile steps see. A
//! program is compiled again whenever any of this changes.
//!
//! | part of the digest | changes with |
//! | --- | --- |
//! | the commands, the environment, the files | the request |
//! | local user or guest | the caller: neither kind gets the other's results |
//! | size and number of files of the working directory | a limit that the compiler could reach |
//! | the folders that the runtime mounts | an upgrade of LiveCode, a new folder of a toolchain |
//! | what the runtime requires, and the commands, in each folder of `PATH` | the toolchain |
//! | state of package managers, of folders of libraries and headers | installed packages |
//!
//! Files and folders of the machine are represented by inode, size and times of the real file.
//!
//! Limits of time and memory are not in the digest, because they decide whether a compile step
//! succeeds and not what it makes. Standard input and arguments are not in it either, because the
//! compile steps see neither.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use livecode_protocol::run_spec::{Contents, Mount, RunFile, RunSpec};
use sha2::{Digest as _, Sha256};

use crate::{
    auth::Owner,
    catalogue::{OPERATOR_RUNTIMES, Runtime, package_folders},
    hex::hex,
    spec::environment,
};

/// The version of the key's format. It has to change when the meaning of a cache entry does.
const VERSION: &str = "livecode compile cache 1";
/// The largest number of files in the folder of an operator's runtime. A runtime with more is
/// compiled for each session, because inspecting the files would take too long.
const MAX_RUNTIME_FILES: usize = 256;
/// The largest number of files of such a folder that are looked at to find out whether the
/// toolchain has changed since its check.
const MAX_INSPECTED_FILES: usize = 20_000;
/// Paths that change when packages are installed, or libraries and headers are installed by hand.
const MACHINE_PATHS: [&str; 15] = [
    "/var/lib/dpkg/status",
    "/var/lib/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/lib/apk/db/installed",
    "/var/lib/pacman/local",
    "/etc/ld.so.cache",
    "/usr",
    "/usr/bin",
    "/usr/include",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/bin",
    "/usr/local/include",
    "/usr/local/lib",
    "/usr/libexec",
];
/// Folders of a mounted toolchain that change, besides the mounted folder itself, when the
/// toolchain is upgraded in place.
const TOOLCHAIN_FOLDERS: [&str; 3] = ["bin", "lib", "libexec"];

/// The inputs of the key besides the owner and the run spec.
#[derive(Debug)]
pub struct CacheKeyInputs {
    runtime: String,
    artefacts: Vec<PathBuf>,
    requires: Vec<String>,
    /// The runtime's own `PATH`, in which its compilers are found.
    search_path: String,
}

impl CacheKeyInputs {
    /// The inputs of a runtime; `None` if it does not name the artefacts of its compile steps, and
    /// so nothing can be cached.
    pub(super) fn new(runtime: &Runtime) -> Option<Self> {
        (!runtime.manifest.artefacts.is_empty()).then(|| Self::of(runtime))
    }

    fn of(runtime: &Runtime) -> Self {
        Self {
            runtime: runtime.name.clone(),
            artefacts: runtime.manifest.artefacts.clone(),
            requires: runtime.manifest.requires.clone(),
            search_path: environment::search_path(runtime),
        }
    }

    /// The files and folders, made by the compile steps, that the program needs.
    pub(crate) fn artefacts(&self) -> &[PathBuf] {
        &self.artefacts
    }

    /// The key for a run spec, in hexadecimal; `None` if nothing can be cached, since too many
    /// files would have to be inspected, or since the request has brought a `PATH` of its own. A
    /// path of a request is never looked up on the machine: from the answer a stranger could learn
    /// which files exist there.
    pub(crate) fn key(&self, owner: &Owner, run_spec: &RunSpec) -> Option<String> {
        let search_path = run_spec.env.iter().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value);
        if search_path != self.search_path {
            return None;
        }
        let mut hasher = KeyHasher(Sha256::new());
        hasher.add(VERSION);
        hasher.add(match owner {
            Owner::Local => "local",
            Owner::Guest(_) => "guest",
            Owner::User(_) => "user",
        });
        hasher.add(&self.runtime);
        hasher.add_list(&self.artefacts, |hasher, path| hasher.add(path.as_os_str().as_encoded_bytes()));
        hasher.add_list(&run_spec.compile, |hasher, step| {
            hasher.add_list(&step.argv, |hasher, word| hasher.add(word));
        });
        hasher.add_list(&run_spec.env, |hasher, (name, value)| {
            hasher.add(name);
            hasher.add(value);
        });
        hasher.add_list(&run_spec.files, |hasher, RunFile { name, contents }| {
            hasher.add(name.as_str());
            match contents {
                Contents::Text(text) => hasher.add(text),
                Contents::Base64(text) => {
                    hasher.add("base64");
                    hasher.add(text);
                }
            }
        });
        hasher.add(run_spec.limits.disk_bytes.to_le_bytes());
        hasher.add(run_spec.limits.disk_files.to_le_bytes());
        let commands: Vec<_> = run_spec.compile.iter().map(|step| &step.argv).collect();
        let is_complete =
            self.add_toolchain(&mut hasher, run_spec.root.as_deref(), &run_spec.mounts, &commands);
        is_complete.then(|| hex(&hasher.0.finalize()))
    }

    /// The files and folders of the machine whose state represents the toolchain, and whether these
    /// are all: of an operator's folder with too many files, none is among them.
    fn toolchain_paths(
        &self,
        root: Option<&Path>,
        mounts: &[Mount],
        commands: &[&Vec<String>],
    ) -> (Vec<PathBuf>, bool) {
        let mut is_complete = true;
        let mut paths: Vec<PathBuf> = vec![];
        if root.is_none() {
            paths.extend(MACHINE_PATHS.iter().map(PathBuf::from));
        }
        for Mount { source, target } in mounts {
            paths.push(source.clone());
            paths.extend(TOOLCHAIN_FOLDERS.iter().map(|folder| source.join(folder)));
            if target == Path::new(OPERATOR_RUNTIMES) {
                // The tools of an operator's runtime may lie beside its runtime.toml and be
                // modified there.
                let before = paths.len();
                if add_tree(&source.join(&self.runtime), before + MAX_RUNTIME_FILES, &mut paths).is_none() {
                    paths.truncate(before);
                    is_complete = false;
                }
            }
        }
        let inside = self.command_paths(commands);
        paths.extend(inside.iter().filter_map(|path| host_path(mounts, root.is_some(), path)));
        (paths, is_complete)
    }

    /// Adds what represents the toolchain: files of the machine, and those of the runtime's own
    /// root if it has one. Returns whether these are all, as [`Self::toolchain_paths`].
    fn add_toolchain(
        &self,
        hasher: &mut KeyHasher,
        root: Option<&Path>,
        mounts: &[Mount],
        commands: &[&Vec<String>],
    ) -> bool {
        let (paths, is_complete) = self.toolchain_paths(root, mounts, commands);
        hasher.add_list(&paths, |hasher, path| hasher.add_stat(path));
        if let Some(root) = root {
            let inside: Vec<_> =
                MACHINE_PATHS.iter().map(PathBuf::from).chain(self.command_paths(commands)).collect();
            hasher.add(root.as_os_str().as_encoded_bytes());
            hasher.add_list(&inside, |hasher, path| hasher.add_state_in(root, path));
        }
        is_complete
    }

    /// The places, as seen inside, where the commands and what the runtime requires may be.
    fn command_paths(&self, commands: &[&Vec<String>]) -> Vec<PathBuf> {
        let mut paths = vec![];
        let absolute_words = commands.iter().flat_map(|argv| *argv).filter(|word| word.starts_with('/'));
        let programs = commands.iter().filter_map(|argv| argv.first());
        for command in programs.chain(&self.requires).chain(absolute_words) {
            for folder in self.search_path.split(':') {
                paths.push(Path::new(folder).join(command));
                if command.starts_with('/') {
                    break; // `join` with an absolute path gives that path, whatever the folder is
                }
            }
        }
        paths
    }
}

/// A digest that changes with the toolchain of a runtime, as far as the compile cache knows it, and
/// with its `runtime.toml`. Of a folder with too many files, it has the newest change.
pub(crate) fn toolchain_fingerprint(runtime: &Runtime) -> String {
    let inputs = CacheKeyInputs::of(runtime);
    let mut hasher = KeyHasher(Sha256::new());
    hasher.add(VERSION);
    hasher.add(env!("CARGO_PKG_VERSION"));
    hasher.add(&runtime.name);
    hasher.add(&runtime.toml);
    hasher.add_list(&runtime.mounts, |hasher, Mount { source, target }| {
        hasher.add(source.as_os_str().as_encoded_bytes());
        hasher.add(target.as_os_str().as_encoded_bytes());
    });
    let commands: Vec<_> = runtime.manifest.compile.iter().chain([&runtime.manifest.run]).collect();
    if !inputs.add_toolchain(&mut hasher, runtime.root.as_deref(), &runtime.mounts, &commands) {
        let operator_mount = runtime.mounts.iter().find(|mount| mount.target == Path::new(OPERATOR_RUNTIMES));
        let folder = operator_mount.map(|mount| mount.source.join(&runtime.name)).unwrap_or_default();
        let (mut files_left, mut newest) = (MAX_INSPECTED_FILES, (0, 0));
        find_newest_change(&folder, &mut files_left, &mut newest);
        hasher.add((files_left as u64).to_le_bytes());
        hasher.add(newest.0.to_le_bytes());
        hasher.add(newest.1.to_le_bytes());
    }
    let environment = runtime.manifest.virtual_environment.iter();
    let paths: Vec<_> = environment.flat_map(|path| package_folders(path)).collect();
    hasher.add_list(&paths, |hasher, path| hasher.add_stat(path));
    hex(&hasher.0.finalize())
}

/// Adds the files and folders below `folder` to `paths`; `None` if `paths` would get longer than
/// `max_paths`.
fn add_tree(folder: &Path, max_paths: usize, paths: &mut Vec<PathBuf>) -> Option<()> {
    let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if paths.len() >= max_paths {
            return None;
        }
        paths.push(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            add_tree(&entry.path(), max_paths, paths)?;
        }
    }
    Some(())
}

/// Finds the newest change (ctime) of the files and folders below `folder`, of `files_left` of them
/// at most. A file that is taken away changes its folder.
fn find_newest_change(folder: &Path, files_left: &mut usize, newest: &mut (i64, i64)) {
    let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if *files_left == 0 {
            return;
        }
        *files_left -= 1;
        let Ok(metadata) = entry.metadata() else { continue };
        *newest = (*newest).max((metadata.ctime(), metadata.ctime_nsec()));
        if metadata.is_dir() {
            find_newest_change(&entry.path(), files_left, newest);
        }
    }
}

/// The path on the machine of a path in the sandbox; `None` if it is not of the machine, but of
/// the session, such as a file in the working directory, or of the runtime's own root.
fn host_path(mounts: &[Mount], has_own_root: bool, path: &Path) -> Option<PathBuf> {
    let mounted = mounts.iter().find_map(|mount| mount.source_of(path));
    let is_shared = ["/usr", "/bin", "/sbin", "/lib", "/lib64"].iter().any(|shared| path.starts_with(shared));
    mounted.or_else(|| (is_shared && !has_own_root).then(|| path.to_owned()))
}

/// A digest of a sequence of parts. The length of each part is hashed with it, so that two
/// different sequences never hash the same bytes.
struct KeyHasher(Sha256);

impl KeyHasher {
    fn add(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// Adds the number of items and then each item by `add_item`.
    fn add_list<T>(&mut self, items: &[T], mut add_item: impl FnMut(&mut Self, &T)) {
        self.0.update((items.len() as u64).to_le_bytes());
        for item in items {
            add_item(self, item);
        }
    }

    /// Adds a path and the state of the file that it leads to, through links if there are any. No
    /// change of the file leaves all parts of its state the same: nobody can set the time of the
    /// inode's last change (ctime).
    fn add_stat(&mut self, path: &Path) {
        self.add(path.as_os_str().as_encoded_bytes());
        let Ok(metadata) = fs::metadata(path) else { return self.add("none") };
        for number in [metadata.dev(), metadata.ino(), metadata.size()] {
            self.add(number.to_le_bytes());
        }
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        times.iter().for_each(|number| self.add(number.to_le_bytes()));
    }

    /// Adds a path and the state of the file that it leads to in a root.
    fn add_state_in(&mut self, root: &Path, path: &Path) {
        self.add(path.as_os_str().as_encoded_bytes());
        match livecode_image::lookup::state(root, path) {
            Ok(state) => state.iter().for_each(|number| self.add(number.to_le_bytes())),
            Err(_) => self.add("none"),
        }
    }
}

#[cfg(test)]
mod tests;
