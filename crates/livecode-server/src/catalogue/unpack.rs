//! Unpacks the files of the built-in runtimes from the binary into the data directory.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use include_dir::{Dir, DirEntry, include_dir};
use sha2::{Digest as _, Sha256};

use crate::{
    catalogue::{error::CatalogueError, manifest::Manifest},
    hex::hex,
};

static RUNTIMES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../runtimes");
/// The object that makes standard input and output behave as on a terminal.
pub(super) static TERMINAL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/terminal.so"));
/// The path of the preloaded object, where the runtimes expect it.
pub(super) const TERMINAL_PATH: &str = "shared/terminal.so";
/// The folder of the sandbox where the unpacked files are mounted.
pub(super) const SUPPORT: &str = "/livecode";
/// The folder of the data directory in which they are.
pub(super) const SUPPORT_FOLDER: &str = "support";
/// The link to the interpreter that imports our Python modules.
const PYTHON: &str = "python/bin/python";
/// How long the compilation of our Python modules may take. It usually takes about 100 ms.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(10);
const COMPILE_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Unpacks all files into a folder below `parent` that is named after their digest, and returns
/// the folder. Does nothing if the folder is complete already. The folder appears by a rename, so
/// it never has only some of the files. Only one caller may write below `parent`.
pub(super) fn unpack(parent: &Path) -> Result<PathBuf, CatalogueError> {
    let folder = parent.join(digest());
    let unpack = || -> io::Result<()> {
        // After a power failure the folder may have its name and not all of its contents.
        let is_complete = has_all_files(&RUNTIMES, &folder)
            && fs::read(folder.join(TERMINAL_PATH)).is_ok_and(|contents| contents == TERMINAL);
        if is_complete {
            return Ok(());
        }
        let partial = parent.join(".new");
        for old in [&partial, &folder] {
            match fs::remove_dir_all(old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        make_folder(&partial)?;
        write_all(&RUNTIMES, &partial)?;
        write(&partial.join(TERMINAL_PATH), TERMINAL)?;
        compile_python(&partial)?;
        fs::rename(&partial, &folder)
    };
    unpack().map_err(|error| CatalogueError::Unpack(folder.clone(), error))?;
    folder.canonicalize().map_err(|error| CatalogueError::Read(folder.clone(), error))
}

/// The name and the `runtime.toml` of each built-in runtime.
pub(super) fn built_in_manifests() -> impl Iterator<Item = (String, String)> {
    RUNTIMES.dirs().filter_map(|dir| {
        let text = dir.get_file(dir.path().join("runtime.toml"))?.contents_utf8()?;
        Some((dir.path().to_str()?.to_owned(), text.to_owned()))
    })
}

/// The digest of the names and contents of all files.
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
    hex(&hasher.finalize()[..8])
}

/// Whether `folder` has all files of `dir`, with the same contents.
fn has_all_files(dir: &Dir<'_>, folder: &Path) -> bool {
    dir.entries().iter().all(|entry| match entry {
        DirEntry::Dir(dir) => has_all_files(dir, folder),
        DirEntry::File(file) => {
            fs::read(folder.join(file.path())).is_ok_and(|contents| contents == file.contents())
        }
    })
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

/// Makes the symbolic links that a manifest declares. The manifest declares them because
/// `include_dir` cannot put links into the binary.
fn make_links(manifest: &Path) -> io::Result<()> {
    let parsed = Manifest::parse(&fs::read_to_string(manifest)?).map_err(io::Error::other)?;
    let folder = manifest.with_file_name("");
    for (name, target) in parsed.links {
        for parent in name.parents() {
            make_folder(&folder.join(parent))?;
        }
        symlink(target, folder.join(name.as_str()))?;
    }
    Ok(())
}

/// Compiles our Python modules, so that no program has to compile them when it imports one. If
/// there is no Python, or another version later, the modules are used uncompiled.
fn compile_python(folder: &Path) -> io::Result<()> {
    // With unchecked hashes Python does not compare a compiled module with its source. The source
    // never changes in a folder that is named after its contents.
    let compiler = Command::new(folder.join(PYTHON))
        .args(["-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s"])
        .arg(folder)
        .args(["-p", SUPPORT])
        .arg(folder)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut compiler) = compiler else { return Ok(()) };
    let started = Instant::now();
    while compiler.try_wait()?.is_none() {
        if started.elapsed() > COMPILE_TIMEOUT {
            compiler.kill()?;
            compiler.wait()?;
            break;
        }
        thread::sleep(COMPILE_POLL_INTERVAL);
    }
    publish_compiled(folder, false)
}

/// Makes all compiled modules below `folder` readable by all users, and syncs them to disk: Python
/// would use a module that a power failure left incomplete. `is_cache_folder` tells whether
/// `folder` is a folder of compiled modules.
fn publish_compiled(folder: &Path, is_cache_folder: bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            let is_cache_folder = entry.file_name() == "__pycache__";
            publish_compiled(&path, is_cache_folder)?;
            if is_cache_folder {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
                fs::File::open(&path)?.sync_all()?;
            }
        } else if is_cache_folder {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
            fs::File::open(&path)?.sync_all()?;
        }
    }
    Ok(())
}

/// Makes a folder, and its missing parents, that all users can read, whatever the umask is: in
/// root mode every session has its own uid.
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Writes a file that all users can read.
fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    fs::write(path, contents)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_folder_is_unpacked_again() {
        let data = tempfile::tempdir().unwrap();
        let parent = data.path().join("support");
        let folder = unpack(&parent).unwrap();
        let python = folder.join("python/bin/python");
        assert_eq!(fs::read_link(&python).unwrap(), Path::new("/usr/bin/python3"));
        let module = folder.join("python/lib/livecode.py");
        assert_eq!(fs::metadata(&module).unwrap().permissions().mode() & 0o777, 0o644);
        // The machine on which the tests run has Python.
        let compiled: Vec<_> =
            fs::read_dir(module.with_file_name("__pycache__")).unwrap().flatten().collect();
        assert!(compiled.iter().any(|module| module.file_name().to_string_lossy().starts_with("livecode.")));
        assert!(
            compiled.iter().all(|module| module.metadata().unwrap().permissions().mode() & 0o777 == 0o644)
        );

        fs::write(&module, "").unwrap();
        fs::create_dir(parent.join(".new")).unwrap();
        assert_eq!(unpack(&parent).unwrap(), folder);
        assert!(fs::metadata(&module).unwrap().len() > 0 && python.is_symlink());
    }
}
