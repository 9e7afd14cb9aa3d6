//! The built-in runtimes' files, from the binary into the data directory.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink},
    path::{Path, PathBuf},
};

use include_dir::{Dir, DirEntry, include_dir};
use sha2::{Digest as _, Sha256};

use super::{CatalogueError, Manifest};

static RUNTIMES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../runtimes");
static TERMINAL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/terminal.so"));

/// Unpacks all files into a folder below `parent` that is named after their contents, unless it is there already, and
/// returns the folder. It appears whole or not at all.
pub(super) fn unpack(parent: &Path) -> Result<PathBuf, CatalogueError> {
    let folder = parent.join(digest());
    let unpack = || -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let partial = parent.join(format!(".new-{}", std::process::id()));
        make_folder(&partial)?;
        write_all(&RUNTIMES, &partial)?;
        write(&partial.join("shared/terminal.so"), TERMINAL)?;
        match fs::rename(&partial, &folder) {
            // Another server on the same data was faster; it unpacked the same.
            Err(_) if folder.is_dir() => fs::remove_dir_all(partial),
            other => other,
        }
    };
    unpack().map_err(|error| CatalogueError::Unpack(folder.clone(), error))?;
    folder.canonicalize().map_err(|error| CatalogueError::Read(folder.clone(), error))
}

fn digest() -> String {
    fn add(hasher: &mut Sha256, dir: &Dir<'_>) {
        for entry in dir.entries() {
            hasher.update(entry.path().as_os_str().as_encoded_bytes());
            match entry {
                DirEntry::Dir(dir) => add(hasher, dir),
                DirEntry::File(file) => hasher.update(Sha256::digest(file.contents())),
            }
        }
    }
    let mut hasher = Sha256::new();
    add(&mut hasher, &RUNTIMES);
    hasher.update(TERMINAL);
    hasher.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_all(dir: &Dir<'_>, to: &Path) -> io::Result<()> {
    for entry in dir.entries() {
        let path = to.join(entry.path());
        match entry {
            DirEntry::Dir(dir) => {
                make_folder(&path)?;
                write_all(dir, to)?;
            }
            DirEntry::File(file) => write(&path, file.contents())?,
        }
        if path.file_name().is_some_and(|name| name == "runtime.toml") {
            make_links(&path)?;
        }
    }
    Ok(())
}

/// Links cannot be built in, so manifests name them.
fn make_links(manifest: &Path) -> io::Result<()> {
    let parsed = Manifest::parse(&fs::read_to_string(manifest)?).map_err(io::Error::other)?;
    for (name, target) in parsed.links {
        let link = manifest.with_file_name("").join(name);
        make_folder(link.parent().unwrap_or(Path::new("/")))?;
        symlink(target, link)?;
    }
    Ok(())
}

/// Readable by all: in root mode every session has a uid of its own.
fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = fs::File::options().write(true).create_new(true).mode(0o644).open(path)?;
    io::Write::write_all(&mut file, contents)
}
