//! The mounts of a runtime: folders and files of this machine that its programs see.

use std::{
    env, fs,
    path::{Component, Path, PathBuf},
};

use livecode_protocol::run_spec::Mount;
use serde::Deserialize;

use crate::catalogue::mistake::Mistake;

/// Paths that every sandbox has. A runtime cannot mount anything there, below or above.
const RESERVED_TARGETS: [&str; 22] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/dev",
    "/proc",
    "/sys",
    "/code",
    "/tmp",
    "/livecode",
    "/runtimes",
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/hostname",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/ssl/certs",
];

/// Mounts of folders or files outside /usr, such as a toolchain or its configuration, which may
/// lie in one of several places.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountSources {
    /// The places where the folder or file may be on this machine. At the start of a path, `.`
    /// stands for the runtime's folder, `~` for the server's home folder and `$NAME` for a
    /// variable of the server's environment. A `*` at the end of a name stands for any rest of it.
    pub sources: Vec<String>,
    /// The path of the mount in the sandbox. The first source that exists is mounted there; of
    /// those that match a `*`, the last by name. Without a target, everything that matches a
    /// source is mounted at its own path.
    pub target: Option<PathBuf>,
}

impl MountSources {
    /// Checks that the sandbox has room for the mounts. `index` is the place of these sources among
    /// the mounts of the runtime, from 0.
    pub(super) fn check(&self, index: usize) -> Result<(), Mistake> {
        let mistake = |key, text| Err(Mistake::new(&["mounts", &index.to_string(), key], text));
        let Some(target) = &self.target else {
            let is_absolute = |source: &&String| Path::new(source).is_absolute();
            if let Some(source) = self.sources.iter().find(|source| !is_absolute(source)) {
                let text = format!(
                    "`mounts.sources` {source:?} must be an absolute path, since there is no `mounts.target`"
                );
                return mistake("sources", text);
            }
            // The matches of a `*` are looked at later: it may match what a mount can be of, too.
            let is_wrong = |source: &&String| !source.contains('*') && !is_free(Path::new(source));
            return match self.sources.iter().find(is_wrong) {
                Some(source) => {
                    let text = format!(
                        "`mounts.sources` {source:?} cannot be mounted at its own path, which must be without \
                         \"..\", outside {}; give it a `mounts.target`",
                        RESERVED_TARGETS.join(", ")
                    );
                    mistake("sources", text)
                }
                None => Ok(()),
            };
        };
        if is_free(target) {
            return Ok(());
        }
        let text = format!(
            "`mounts.target` {} must be an absolute path without \"..\", outside {}",
            target.display(),
            RESERVED_TARGETS.join(", ")
        );
        mistake("target", text)
    }

    /// The paths that match a source with a `*` and are not mounted, since the sandbox has
    /// something there.
    pub(super) fn passed_over(&self, folder: &Path) -> Vec<PathBuf> {
        let without_target = self.sources.iter().filter(|_| self.target.is_none());
        without_target
            .flat_map(|source| find_sources(folder, source))
            .filter(|source| !is_free(source))
            .collect()
    }

    /// The mounts of what exists on this machine. `folder` is the runtime's.
    pub(super) fn resolve(&self, folder: &Path) -> Vec<Mount> {
        let mut found = self.sources.iter().map(|source| find_sources(folder, source));
        if let Some(target) = &self.target {
            let source = found.find_map(|mut paths| paths.pop());
            return source.into_iter().map(|source| Mount { source, target: target.clone() }).collect();
        }
        let mut mounts: Vec<Mount> = vec![];
        for source in found.flatten() {
            let is_mounted = mounts.iter().any(|mount| mount.source_of(&source).is_some());
            if is_free(&source) && !is_mounted {
                mounts.push(Mount { target: source.clone(), source });
            }
        }
        mounts
    }
}

/// The longest list of the mounts of one runtime, in bytes of JSON. A spawner is sent it in one
/// message, which the kernel limits (unix(7)).
const MAX_MOUNTS_BYTES: usize = 16 * 1024;

/// Checks that all mounts of a runtime together can be sent to a spawner.
pub(super) fn check_length(mounts: &[Mount]) -> Result<(), Mistake> {
    let bytes = serde_json::to_vec(mounts).map_or(usize::MAX, |json| json.len());
    if bytes <= MAX_MOUNTS_BYTES {
        return Ok(());
    }
    let count = mounts.len();
    let text = format!(
        "`mounts` has {count} folders and files, with {bytes} bytes of paths, but at most \
         {MAX_MOUNTS_BYTES} bytes can be mounted; mount a folder that holds several of them"
    );
    Err(Mistake::new(&["mounts"], text))
}

/// Why the folder at `source` must not be mounted: programs would see what only the server may see.
/// `own` are the folders of runtimes, which may be in the data directory.
pub(super) fn secret_in(source: &Path, data_dir: &Path, own: &[&Path]) -> Option<String> {
    let source = source.canonicalize().ok()?;
    let is_own = |folder: &&Path| folder.canonicalize().is_ok_and(|folder| source.starts_with(folder));
    if let Ok(data_dir) = data_dir.canonicalize()
        && (data_dir.starts_with(&source) || source.starts_with(&data_dir) && !own.iter().any(is_own))
    {
        return Some(format!("the server's data directory {}", data_dir.display()));
    }
    let home = env::var_os("HOME").map(PathBuf::from);
    let homes = home.into_iter().chain([PathBuf::from("/root")]);
    let home = homes.filter_map(|home| home.canonicalize().ok()).find(|home| home.starts_with(&source))?;
    Some(format!("the home folder {}", home.display()))
}

/// Whether nothing else of the sandbox is at `target`, below or above it.
pub(super) fn is_free(target: &Path) -> bool {
    let has_parent_component = target.components().any(|part| part == Component::ParentDir);
    let is_reserved =
        |reserved: &str| target.starts_with(reserved) || Path::new(reserved).starts_with(target);
    target.is_absolute()
        && !has_parent_component
        && !target.as_os_str().as_encoded_bytes().contains(&0)
        && !RESERVED_TARGETS.into_iter().any(is_reserved)
}

/// The folders and files that one of [`MountSources::sources`] stands for, by name.
fn find_sources(folder: &Path, source: &str) -> Vec<PathBuf> {
    let Some(path) = absolute(folder, source) else { return vec![] };
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        match part.as_os_str().to_str().and_then(|name| name.strip_suffix('*')) {
            Some(prefix) => found = found.iter().flat_map(|folder| entries(folder, prefix)).collect(),
            None => found.iter_mut().for_each(|path| path.push(part)),
        }
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

/// The entries of a folder whose names begin with `prefix`.
fn entries(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let matching =
        entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()));
    matching.map(|entry| entry.path()).collect()
}

/// A source with its first part filled in; `None` if that is a variable that is not set.
fn absolute(folder: &Path, source: &str) -> Option<PathBuf> {
    let mut parts = Path::new(source).components();
    let first = parts.next()?.as_os_str().to_str()?;
    let start = match first.strip_prefix('$') {
        Some(name) => PathBuf::from(env::var_os(name)?),
        None if first == "~" => PathBuf::from(env::var_os("HOME")?),
        None => folder.join(first),
    };
    Some(start.join(parts.as_path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(folder: &Path, sources: &[&str], target: Option<&str>) -> Vec<(PathBuf, PathBuf)> {
        let sources = sources.iter().map(|source| (*source).to_owned()).collect();
        let mounts = MountSources { sources, target: target.map(PathBuf::from) };
        mounts.resolve(folder).into_iter().map(|mount| (mount.source, mount.target)).collect()
    }

    #[test]
    fn the_first_source_is_mounted_at_the_target_and_of_a_star_the_last_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1.0", "2.0", "a-3"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let at = |source: &str| {
            let found =
                resolve(folder.path(), &["/no/such/folder", "$NO_SUCH_VARIABLE/x", source], Some("/opt/x"));
            found.first().map(|(source, _)| source.clone())
        };
        assert_eq!(at("./*"), Some(folder.path().join("a-3")));
        assert_eq!(at("./1*"), Some(folder.path().join("1.0")));
        assert_eq!(at("./2.0"), Some(folder.path().join("2.0")));
        assert_eq!(at("./3*"), None);
    }

    #[test]
    fn without_a_target_all_sources_are_mounted_where_they_are() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["x-1", "x-2"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("x.cfg"), "").unwrap();
        let star = at("x*");
        let below = at("x-1/./");
        let same = |name: &str| (at(name), at(name));
        fs::create_dir(at("x-2/deep")).unwrap();
        let deep = at("x*").join("deep");
        assert_eq!(resolve(Path::new("/"), &[deep.to_str().unwrap()], None), [same("x-2/deep")]);
        let found = resolve(Path::new("/"), &[star.to_str().unwrap(), below.to_str().unwrap()], None);
        assert_eq!(found, [same("x-1"), same("x-2"), same("x.cfg")]);
        // A star may match what the sandbox has itself.
        let sources = vec!["/etc/nsswitch.con*".to_owned(), "/var/li*".to_owned()];
        let passed_over = MountSources { sources, target: None }.passed_over(Path::new("/"));
        assert_eq!(passed_over, [Path::new("/etc/nsswitch.conf")]);
        assert_eq!(resolve(Path::new("/"), &["/etc/nsswitch.con*", "/usr", "/et*"], None), []);
    }

    #[test]
    fn a_source_that_could_never_be_mounted_is_a_mistake() {
        let check = |source: &str, target: Option<&str>| {
            MountSources { sources: vec![source.to_owned()], target: target.map(PathBuf::from) }.check(0)
        };
        for wrong in ["/etc/ssl", "/srv/../x", "/usr/x", "./x"] {
            let mistake = check(wrong, None).unwrap_err().in_toml("\n[[mounts]]\nsources = []\n");
            assert!(mistake.starts_with("line 3: ") && mistake.contains(wrong), "{mistake}");
        }
        for right in ["/etc/ssl*", "/srv/x", "/etc/java*"] {
            check(right, None).unwrap();
        }
        check("/usr/x", Some("/x")).unwrap();
    }

    #[test]
    fn no_mount_has_the_secrets_of_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["data/sessions", "data/support/x", "other"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        std::os::unix::fs::symlink("data", at("link")).unwrap();
        let secret = |name: &str| secret_in(&at(name), &at("data"), &[&at("data/support")]);
        for wrong in ["", "data", "data/sessions", "link", "link/sessions"] {
            assert!(secret(wrong).unwrap().contains("data directory"), "{wrong}");
        }
        assert_eq!((secret("other"), secret("data/support/x"), secret("missing")), (None, None, None));
        assert!(secret_in(Path::new("/root"), &at("data"), &[]).is_some());
    }
}
