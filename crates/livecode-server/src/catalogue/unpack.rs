//! The built-in runtimes' files, from the binary into the data directory.

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

use crate::catalogue::{CatalogueError, Manifest, SUPPORT};

static RUNTIMES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../runtimes");
static TERMINAL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/terminal.so"));
/// Where runtimes expect the preloaded object.
const TERMINAL_PATH: &str = "shared/terminal.so";
/// The interpreter that uses our modules, as the runtimes link it.
const PYTHON: &str = "python/bin/python";
/// How long compiling them may take: a tenth of a second is usual.
const COMPILE_MAX: Duration = Duration::from_secs(10);
const COMPILE_LOOK: Duration = Duration::from_millis(5);

/// Unpacks all files into a folder below `parent` that is named after their contents, unless it is there already, and
/// returns the folder. It appears whole or not at all; the caller is the only one to write below `parent`.
pub(super) fn unpack(parent: &Path) -> Result<PathBuf, CatalogueError> {
    let folder = parent.join(digest());
    let unpack = || -> io::Result<()> {
        // A machine that lost power may have kept the name and lost the contents.
        if is_whole(&RUNTIMES, &folder) && fs::read(folder.join(TERMINAL_PATH)).is_ok_and(|it| it == TERMINAL)
        {
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

fn is_whole(dir: &Dir<'_>, folder: &Path) -> bool {
    dir.entries().iter().all(|entry| match entry {
        DirEntry::Dir(dir) => is_whole(dir, folder),
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

/// Links cannot be built in, so manifests name them.
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

/// Compiles Python's modules, so that no program has to when it imports one. Where there is no Python, or another
/// later, they are used as they stand.
fn compile_python(folder: &Path) -> io::Result<()> {
    // Not compared with the source when used: that does not change in a folder that is named after its contents.
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
    let began = Instant::now();
    while compiler.try_wait()?.is_none() {
        if began.elapsed() > COMPILE_MAX {
            compiler.kill()?;
            compiler.wait()?;
            break;
        }
        thread::sleep(COMPILE_LOOK);
    }
    settle_compiled(folder, false)
}

/// Makes what was compiled readable by all, and durable: a half one would be believed.
fn settle_compiled(folder: &Path, is_compiled: bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            let is_compiled = entry.file_name() == "__pycache__";
            settle_compiled(&path, is_compiled)?;
            if is_compiled {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
                fs::File::open(&path)?.sync_all()?;
            }
        } else if is_compiled {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
            fs::File::open(&path)?.sync_all()?;
        }
    }
    Ok(())
}

/// Readable by all, whatever the umask: in root mode every session has a uid of its own.
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    fs::write(path, contents)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_made_again() {
        let data = tempfile::tempdir().unwrap();
        let parent = data.path().join("support");
        let folder = unpack(&parent).unwrap();
        let python = folder.join("python/bin/python");
        assert_eq!(fs::read_link(&python).unwrap(), Path::new("/usr/bin/python3"));
        let module = folder.join("python/lib/livecode.py");
        assert_eq!(fs::metadata(&module).unwrap().permissions().mode() & 0o777, 0o644);
        // The machine of the tests has Python.
        let compiled: Vec<_> =
            fs::read_dir(module.with_file_name("__pycache__")).unwrap().flatten().collect();
        assert!(compiled.iter().any(|it| it.file_name().to_string_lossy().starts_with("livecode.")));
        assert!(compiled.iter().all(|it| it.metadata().unwrap().permissions().mode() & 0o777 == 0o644));

        fs::write(&module, "").unwrap();
        fs::create_dir(parent.join(".new")).unwrap();
        assert_eq!(unpack(&parent).unwrap(), folder);
        assert!(fs::metadata(&module).unwrap().len() > 0 && python.is_symlink());
    }
}
