//! Properties that hold for every image, whatever bytes it consists of.
#![allow(clippy::unwrap_used, missing_docs)] // a panic reports that a check failed

use std::{
    fs,
    io::Read,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{
    compression,
    entry::{Entry, for_each_entry},
    layer::{self, Whiteouts},
    limits::Limits,
    store::{Archive, ImageStore},
    tree::Tree,
};

/// Limits that keep each run short.
fn limits() -> Limits {
    Limits {
        unpacked_bytes: 1 << 20,
        entries: 200,
        whiteout_bytes: 4 << 10,
        path_bytes: 200,
        path_depth: 8,
        layers: 4,
        manifest_bytes: 64 << 10,
        process_bytes: 8 << 10,
        descriptors: 20,
        archive_members: 100,
    }
}

/// A folder for one run, below `parent`.
fn run_folder(parent: &Path) -> std::path::PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let folder = parent.join(format!("image-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(folder.join("data")).unwrap();
    folder
}

/// Checks that an archive is either refused, and leaves nothing, or imported, and is there then.
pub fn image_archive(parent: &Path, data: &[u8]) {
    let folder = run_folder(parent);
    let archive = folder.join("archive");
    fs::write(&archive, data).unwrap();
    let store = ImageStore::new(&folder.join("data"));
    let cancelled = AtomicBool::new(false);
    let imported = Archive::open(&archive, &limits(), &cancelled)
        .and_then(|archive| store.lock()?.import(&archive, &limits(), 0, &cancelled));
    match imported {
        Ok(imported) => {
            assert!(imported.is_new && store.get(&imported.image.digest) == Some(imported.image.clone()));
            check_tree(&store.root(&imported.image.digest));
        }
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.code().is_empty());
            let left = fs::read_dir(folder.join("data/images")).into_iter().flatten().flatten();
            assert!(left.map(|entry| entry.file_name()).all(|name| name == ".lock"));
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

/// Checks that a layer, whatever is in it, changes nothing outside of its root. It is unpacked over
/// a root that has a link to a folder beside it.
pub fn image_layer(parent: &Path, data: &[u8]) {
    let folder = run_folder(parent);
    let (root, beside) = (folder.join("data/root"), folder.join("data/beside"));
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("file"), "canary").unwrap();
    fs::write(root.join("a/file"), "lower").unwrap();
    for (name, target) in [("up", "../beside"), ("a/up", "../../beside/file"), ("absolute", "/")] {
        std::os::unix::fs::symlink(target, root.join(name)).unwrap();
    }
    if let Ok(tree) = Tree::open(&root) {
        let _ = unpack(data, &tree);
    }
    check_tree(&root);
    assert_eq!(fs::read(beside.join("file")).unwrap(), b"canary");
    assert_eq!(fs::metadata(beside.join("file")).unwrap().nlink(), 1);
    let names = |path: &Path| fs::read_dir(path).unwrap().count();
    assert_eq!((names(&beside), names(&folder.join("data")), names(&folder)), (1, 2, 1));
    fs::remove_dir_all(folder).unwrap();
}

/// Unpacks a layer without digests, as [`layer::check`] and [`layer::unpack`] do.
fn unpack(data: &[u8], tree: &Tree) -> Result<(), crate::ImageError> {
    let limits = limits();
    let each = |visit: &mut dyn FnMut(Entry, &mut dyn Read) -> Result<(), crate::ImageError>| {
        let source = compression::decompress(data);
        let source = source.map_err(|error| crate::ImageError::from_reader("layer", error))?;
        for_each_entry(source.take(limits.unpacked_bytes), 1, &limits, &mut 0, visit)
    };
    let mut whiteouts = Whiteouts::default();
    each(&mut |entry, _| layer::note(entry, 1, &limits, &mut whiteouts))?;
    layer::hide(whiteouts.of(1), 1, &AtomicBool::new(false), tree)?;
    each(&mut |entry, contents| layer::add(&entry, 1, contents, tree).map(drop))
}

/// Checks that a root has only files, folders and links, without permissions that it must not have.
fn check_tree(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let kind = metadata.file_type();
        assert!(kind.is_file() || kind.is_dir() || kind.is_symlink(), "{entry:?}");
        assert!(kind.is_symlink() || metadata.mode() & 0o7022 == 0, "{entry:?} {:o}", metadata.mode());
        if kind.is_dir() {
            check_tree(&entry.path());
        }
    }
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_of_images_hold() {
        let folder = tempfile::tempdir().unwrap();
        seeds::for_each_seed("image_archive", |data| image_archive(folder.path(), data));
        seeds::for_each_seed("image_layer", |data| image_layer(folder.path(), data));
    }
}
