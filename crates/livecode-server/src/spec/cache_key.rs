//! The name under which what the compile steps make is kept: a digest of all that they see. A change of any of it compiles
//! again.
//!
//! | in the digest | so that it changes with |
//! | --- | --- |
//! | the commands, the environment, the files | the request |
//! | whose it is: the local user's, or a guest's | who asks: what one kind makes is not for the other |
//! | size and number of files of the working directory | a limit that the compiler could run into |
//! | the trees that the runtime shows | an upgrade of LiveCode, a toolchain's new folder |
//! | what is required of the machine, commands by all that `PATH` finds, with inode, size and times of the real files | a toolchain |
//! | the state of package managers and of the folders of libraries and headers | whatever is installed or upgraded |
//!
//! Not in it, since they decide whether a compile step ends well, not what it makes: time and memory. Standard input and arguments
//! are the program's; compile steps see neither.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use livecode_protocol::run_spec::{Contents, Mount, RunFile, RunSpec};
use sha2::{Digest as _, Sha256};

use crate::{
    auth::Owner,
    catalogue::{OPERATORS, Runtime},
};

/// Changes when the meaning of an entry does.
const VERSION: &str = "livecode compile cache 1";
/// Files of an operator's runtime that are looked at; one with more is compiled each time.
const MAX_RUNTIME_FILES: usize = 256;
/// What changes when packages are installed, or libraries and headers by hand.
const MACHINE: [&str; 15] = [
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
/// Folders of a mounted toolchain that change when it is upgraded in place.
const OF_TOOLCHAIN: [&str; 4] = ["", "bin", "lib", "libexec"];

/// What decides what the compile steps make, besides what is in the order.
#[derive(Debug)]
pub struct Recipe {
    runtime: String,
    artefacts: Vec<PathBuf>,
    requires: Vec<String>,
}

impl Recipe {
    /// The recipe of a runtime that says what its compile steps make.
    pub(super) fn new(runtime: &Runtime) -> Option<Self> {
        let manifest = &runtime.manifest;
        let recipe = || Self {
            runtime: runtime.name.clone(),
            artefacts: manifest.artefacts.clone(),
            requires: manifest.requires.clone(),
        };
        (!manifest.artefacts.is_empty()).then(recipe)
    }

    /// What the program needs of what the compile steps make.
    pub(crate) fn artefacts(&self) -> &[PathBuf] {
        &self.artefacts
    }

    /// The name of the entry for an order; `None` where too much would have to be looked at.
    pub(crate) fn key(&self, owner: &Owner, order: &RunSpec) -> Option<String> {
        let mut digest = Parts(Sha256::new());
        digest.add(VERSION);
        digest.add(match owner {
            Owner::Local => "local",
            Owner::Guest(_) => "guest",
        });
        digest.add(&self.runtime);
        digest.list(&self.artefacts, |digest, path| digest.add(path.as_os_str().as_encoded_bytes()));
        digest.list(&order.compile, |digest, step| digest.list(&step.argv, |digest, word| digest.add(word)));
        digest.list(&order.env, |digest, (name, value)| {
            digest.add(name);
            digest.add(value);
        });
        digest.list(&order.files, |digest, RunFile { name, contents }| {
            digest.add(name.as_str());
            match contents {
                Contents::Text(text) => digest.add(text),
                Contents::Base64(text) => {
                    digest.add("base64");
                    digest.add(text);
                }
            }
        });
        digest.add(order.limits.disk_bytes.to_le_bytes());
        digest.add(order.limits.disk_files.to_le_bytes());
        let mut looked_at = vec![];
        self.look(order, &mut looked_at)?;
        digest.list(&looked_at, |digest, path| digest.stamp(path));
        Some(digest.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The files and folders of the machine that stand for the toolchain.
    fn look(&self, order: &RunSpec, looked_at: &mut Vec<PathBuf>) -> Option<()> {
        looked_at.extend(MACHINE.iter().map(PathBuf::from));
        for Mount { source, target } in &order.mounts {
            looked_at.extend(OF_TOOLCHAIN.iter().map(|folder| source.join(folder)));
            if target == Path::new(OPERATORS) {
                // Its own tools may be beside its runtime.toml, and be mended there.
                let before = looked_at.len();
                add_tree(&source.join(&self.runtime), before + MAX_RUNTIME_FILES, looked_at)?;
            }
        }
        let path = order.env.iter().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value);
        let words = order.compile.iter().flat_map(|step| &step.argv).filter(|word| word.starts_with('/'));
        let commands = order.compile.iter().filter_map(|step| step.argv.first());
        for what in commands.chain(&self.requires).chain(words) {
            for folder in path.split(':') {
                looked_at.extend(outside(&order.mounts, &Path::new(folder).join(what)));
                if what.starts_with('/') {
                    break; // joined to any folder it is itself
                }
            }
        }
        Some(())
    }
}

/// Adds the files and folders of a tree, up to `max` in all.
fn add_tree(folder: &Path, max: usize, found: &mut Vec<PathBuf>) -> Option<()> {
    let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if found.len() >= max {
            return None;
        }
        found.push(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            add_tree(&entry.path(), max, found)?;
        }
    }
    Some(())
}

/// Where on the machine a path is that is seen inside, unless it is a session's own.
fn outside(mounts: &[Mount], path: &Path) -> Option<PathBuf> {
    let mounted =
        mounts.iter().find_map(|mount| Some(mount.source.join(path.strip_prefix(&mount.target).ok()?)));
    let is_shown = ["/usr", "/bin", "/sbin", "/lib", "/lib64"].iter().any(|shown| path.starts_with(shown));
    mounted.or_else(|| is_shown.then(|| path.to_owned()))
}

/// A digest of parts, each with its length, so that no two rows of parts are alike.
struct Parts(Sha256);

impl Parts {
    fn add(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    fn list<T>(&mut self, parts: &[T], mut add: impl FnMut(&mut Self, &T)) {
        self.0.update((parts.len() as u64).to_le_bytes());
        for part in parts {
            add(self, part);
        }
    }

    /// What is at a path, whatever links lead there, by what cannot stay the same when it is changed. The time of the last
    /// change of the inode is one that nobody can set.
    fn stamp(&mut self, path: &Path) {
        self.add(path.as_os_str().as_encoded_bytes());
        let Ok(metadata) = fs::metadata(path) else { return self.add("none") };
        for number in [metadata.dev(), metadata.ino(), metadata.size()] {
            self.add(number.to_le_bytes());
        }
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        times.iter().for_each(|number| self.add(number.to_le_bytes()));
    }
}

#[cfg(test)]
mod tests;
