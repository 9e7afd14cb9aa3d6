//! The files and folders at the paths that a sandbox's mounts are made from.
//!
//! A bind mount shows the file or folder that stood at its source when the mount was made, also
//! after another one has taken its place there. A warm sandbox whose sources have been replaced
//! would show a session an earlier version of a toolchain.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use livecode_protocol::run_spec::SandboxLayout;

use crate::host::Host;

/// The files and folders that stand at the sources of all mounts of one layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSources {
    /// Device and inode of each source; `None` if it cannot be found.
    inodes: Vec<Option<(u64, u64)>>,
    /// When the entries of a root of its own were last changed, since each is a mount. In seconds
    /// and nanoseconds.
    root_changed_at: Option<(i64, i64)>,
}

impl MountSources {
    /// Looks up what stands at the sources now. To be called before a sandbox is made: if a source
    /// is replaced meanwhile, then the sandbox is taken for older than it is, and not for newer.
    pub fn find(host: &Host, layout: &SandboxLayout) -> Self {
        let root = layout.root.as_deref();
        let host_paths = root.is_none().then(|| host.mounts.sources()).into_iter().flatten();
        let mounted = layout.mounts.iter().map(|mount| mount.source.as_path());
        let inode = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        let changed_at = |folder: Metadata| (folder.mtime(), folder.mtime_nsec());
        Self {
            inodes: host_paths.chain(mounted).chain(root).map(inode).collect(),
            root_changed_at: root.and_then(|root| fs::metadata(root).ok()).map(changed_at),
        }
    }
}
