//! One runtime, as this machine can run it.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use livecode_protocol::{FileName, run_spec::Mount, session::Mode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    catalogue::{
        check_result::{CheckInfo, LastCheck},
        manifest::Manifest,
        mistake::Mistake,
        mounts::{self, secret_in},
        own_root::FoundRoot,
        unpack::{SUPPORT, SUPPORT_FOLDER, TERMINAL, TERMINAL_PATH},
        virtual_environment::VirtualEnvironment,
    },
    rfc3339::rfc3339,
};

/// The environment variable with the folders in which programs are searched.
const PATH: &str = "PATH";
/// The folders of the sandbox in which programs are searched after those of the runtime.
const SYSTEM_PATH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
/// The folder of the sandbox where the folder of the operator's runtimes is mounted.
pub(crate) const OPERATOR_RUNTIMES: &str = "/runtimes";
/// The folders of the sandbox to which compile steps can write.
const WRITABLE: [&str; 2] = ["/code", "/tmp"];

/// A runtime, as this machine has it.
#[derive(Debug)]
pub struct Runtime {
    /// The name, which is that of the runtime's folder.
    pub name: String,
    /// The contents of its `runtime.toml`.
    pub manifest: Manifest,
    /// The text of that file.
    pub toml: String,
    /// The folders of this machine that are mounted in its sandboxes.
    pub mounts: Vec<Mount>,
    /// Those among them that `mounts` of the manifest names.
    pub(super) own_mounts: Vec<Mount>,
    /// The runtime's folder.
    pub(super) folder: PathBuf,
    /// The device and the inode of each of these folders, which are others if it was replaced.
    pub mount_inodes: Vec<Option<(u64, u64)>>,
    /// Whether its `LD_PRELOAD` was left out, since the C library of its root cannot load the object.
    pub(super) preloads_in_vain: bool,
    /// The folder of this machine whose contents its programs see in place of `/usr`, if any.
    pub root: Option<PathBuf>,
    /// The same with the lock of an image, for sessions that are created of the runtime.
    pub(crate) found_root: Option<Arc<FoundRoot>>,
    /// The search paths in its environment, among them `PATH`, each with folders separated by `:`.
    pub search_paths: BTreeMap<String, String>,
    /// The text that names what this machine lacks and how to install it; `None` if the runtime
    /// can run.
    pub needs: Option<String>,
    /// The same for the test mode; `None` if it can run or does not exist.
    pub test_needs: Option<String>,
    /// The findings of its last check.
    pub last_check: LastCheck,
}

/// A runtime, as `GET /runtimes` lists it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RuntimeInfo {
    /// The name.
    #[schema(example = "python")]
    pub name: String,
    /// Other names that a request may use.
    pub aliases: Vec<String>,
    /// The name for people.
    pub title: String,
    /// The file that `code` is saved as.
    #[schema(example = "main.py")]
    pub file: String,
    /// Extensions of its source files, without the dot.
    pub extensions: Vec<String>,
    /// The editor's mode for its source files.
    pub editor_mode: String,
    /// The modes that can be used here: `exec`, and `test` if it has a test mode.
    pub modes: Vec<Mode>,
    /// The version of the toolchain, as it says itself. Absent until the runtime was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "3.11.2")]
    pub version: Option<String>,
    /// Whether this machine can run it: it has all that the runtime requires, and the last check of
    /// the runtime has not failed.
    pub available: bool,
    /// The result of the check of this runtime. Absent until the runtime was checked since its
    /// toolchain has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub check: Option<CheckInfo>,
    /// Names of the packages that programs can import besides the language's own library. Absent
    /// until the runtime was checked, and where a runtime does not tell them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub packages: Option<Vec<String>>,
    /// The text that names what this machine lacks and how to install it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub needs: Option<String>,
    /// A small program.
    pub example: String,
}

impl Runtime {
    /// Makes the runtime in `folder` of its manifest: checks its name, aliases and artefacts, finds
    /// its mounts and its root, and looks for what it requires. `shared_mounts` come before its
    /// own. Imported images are in `data_dir`.
    ///
    /// # Errors
    /// The mistake in the manifest.
    pub(super) fn new(
        folder: &Path,
        mut manifest: Manifest,
        shared_mounts: &[Mount],
        data_dir: &Path,
    ) -> Result<Self, Mistake> {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        for name in manifest.aliases.iter().chain([&name]) {
            let is_allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.+#@".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_allowed) {
                let is_alias = manifest.aliases.contains(name);
                let (key, what) =
                    if is_alias { (&["aliases"][..], "alias") } else { (&[][..], "name of the folder") };
                let text = format!("the {what} {name:?} has other characters than a-z, 0-9 and -_.+#@");
                return Err(Mistake::new(key, text));
            }
        }
        for artefact in &manifest.artefacts {
            let below = WRITABLE.iter().find_map(|folder| artefact.strip_prefix(folder).ok()?.to_str());
            if below.is_none_or(|name| name.parse::<FileName>().is_err()) {
                let folders = WRITABLE.join(" or ");
                let text = format!("artefacts: {artefact:?} is not a plain path below {folders}");
                return Err(Mistake::new(&["artefacts"], text));
            }
        }
        let own_mounts = find_own_mounts(&manifest, folder, data_dir)?;
        let mut mounts = [shared_mounts, &own_mounts].concat();

        let mut search_folders = manifest.search_paths.clone();
        if let Some(path) = manifest.virtual_environment.take() {
            let folder_inside = Path::new(OPERATOR_RUNTIMES).join(&name);
            let environment = VirtualEnvironment::new(&path, folder, &folder_inside)?;
            search_folders.entry(PATH.into()).or_default().insert(0, environment.bin());
            let inside = environment.path.to_string_lossy().into_owned();
            manifest.requires.push(format!("{inside}/bin/python"));
            manifest.env.entry("VIRTUAL_ENV".to_owned()).or_insert(inside);
            for mount in environment.mounts {
                let source = &mount.source;
                if let Some(secret) = secret_in(source, data_dir, &[folder]) {
                    let text = format!("`virtual_environment`: {} would show {secret}", source.display());
                    return Err(Mistake::new(&["virtual_environment"], text));
                }
                if !mounts.iter().any(|other| other.target == mount.target) {
                    mounts.push(mount);
                }
            }
            manifest.zygote_interpreter = None;
            manifest.virtual_environment = Some(folder.join(path));
        }
        mounts::check_length(&mounts)?;
        search_folders.entry(PATH.into()).or_default().extend(SYSTEM_PATH.map(str::to_owned));
        let found_root = manifest.root.as_ref().map(|root| root.resolve(folder, data_dir));
        let (found_root, needs_root) = match found_root.transpose() {
            Ok(root) => (root, None),
            Err(missing) => (None, Some(missing)),
        };
        let root = found_root.as_ref().map(|root| root.path.clone());
        let object = format!("{SUPPORT}/{TERMINAL_PATH}");
        let preloads_in_vain = manifest.env.get("LD_PRELOAD") == Some(&object)
            && root.as_deref().is_some_and(|root| !livecode_image::lookup::can_load(root, TERMINAL));
        if preloads_in_vain {
            manifest.env.remove("LD_PRELOAD"); // with musl, no program would start
        }
        let needs_place = root.as_deref().and_then(|root| {
            let own = &mounts[shared_mounts.len()..];
            let target =
                &own.iter().find(|mount| !livecode_image::lookup::has_place(root, &mount.target))?.target;
            Some(format!("its root has a link, or no folder, at {} for a mount", target.display()))
        });
        let exists = |path: &Path| exists_inside(&mounts, root.as_deref(), path);
        let find_needs = |requires: &[String], install: &str| {
            let path = &search_folders[PATH];
            let exists = |what: &&str| path.iter().any(|folder| exists(&Path::new(folder).join(what)));
            let missing: Vec<&str> =
                requires.iter().map(String::as_str).filter(|what| !exists(what)).collect();
            let place = if root.is_some() { "its root" } else { "this machine" };
            let needs = || format!("{place} lacks {}; install it with: {install}", missing.join(", "));
            (!missing.is_empty()).then(needs)
        };
        let needs = needs_root.or(needs_place).or_else(|| find_needs(&manifest.requires, &manifest.install));
        let test_needs = manifest.test.as_ref().and_then(|test| find_needs(&test.requires, &test.install));
        let search_paths =
            search_folders.into_iter().map(|(name, folders)| (name, folders.join(":"))).collect();
        let inode = |mount: &Mount| Some(mount.source.metadata().ok()?).map(|file| (file.dev(), file.ino()));
        let mount_inodes = mounts.iter().map(inode).collect();
        Ok(Self {
            name,
            manifest,
            toml: String::new(),
            mounts,
            own_mounts,
            folder: folder.to_owned(),
            mount_inodes,
            root,
            preloads_in_vain,
            found_root: found_root.map(Arc::new),
            search_paths,
            needs,
            test_needs,
            last_check: LastCheck::default(),
        })
    }

    /// Whether other folders than before would be mounted now, as after an upgrade that has renamed
    /// the folder of a configuration.
    pub(crate) fn has_other_mounts_now(&self, data_dir: &Path) -> bool {
        find_own_mounts(&self.manifest, &self.folder, data_dir)
            .is_ok_and(|own_mounts| own_mounts != self.own_mounts)
    }

    /// The mounts of a session that is created now: without those at their own path that an upgrade
    /// has removed, as a configuration below `/etc`.
    pub(crate) fn present_mounts(&self) -> Vec<Mount> {
        let is_gone = |mount: &Mount| mount.source == mount.target && !mount.source.exists();
        self.mounts.iter().filter(|mount| !is_gone(mount)).cloned().collect()
    }

    /// Sentences about mounts and variables that an operator has probably meant to have.
    pub(super) fn warnings(&self) -> Vec<String> {
        let preload = self.preloads_in_vain.then(|| {
            format!(
                "the runtime {:?} goes without its LD_PRELOAD: the C library of its root cannot load \
                 {SUPPORT}/{TERMINAL_PATH}, so output of programs that write through it appears late unless \
                 they flush",
                self.name
            )
        });
        let passed_over = self.manifest.mounts.iter().flat_map(|sources| sources.passed_over(&self.folder));
        let warning = |path: PathBuf| {
            let (name, path) = (&self.name, path.display());
            format!("the runtime {name:?} does not mount {path}, since a sandbox has something there itself")
        };
        passed_over.map(warning).chain(preload).collect()
    }

    /// The name and the aliases.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.name).chain(&self.manifest.aliases)
    }

    /// Whether a session that uses one runtime and one that uses the other are the same, but for
    /// the files in their folders.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.toml == other.toml
            && self.manifest.aliases == other.manifest.aliases
            && self.mounts == other.mounts
            && self.mount_inodes == other.mount_inodes
            && self.root == other.root
            && (&self.needs, &self.test_needs) == (&other.needs, &other.test_needs)
    }

    /// The description of the runtime for clients.
    pub fn info(&self) -> RuntimeInfo {
        let Manifest { aliases, title, file, extensions, editor_mode, test, example, .. } =
            self.manifest.clone();
        let result = self.last_check.result().filter(|_| self.needs.is_none());
        let failure = result.as_ref().and_then(|result| result.failure.as_ref());
        let check = result.as_ref().map(|result| CheckInfo {
            passed: failure.is_none(),
            duration_ms: result.duration_ms,
            checked: rfc3339(result.checked_us),
            failure: failure.cloned(),
        });
        let has_test_mode = test.is_some() && self.test_needs.is_none();
        RuntimeInfo {
            name: self.name.clone(),
            aliases,
            title,
            file: file.to_string(),
            extensions,
            editor_mode,
            modes: if has_test_mode { vec![Mode::Exec, Mode::Test] } else { vec![Mode::Exec] },
            version: self.version().filter(|_| self.needs.is_none()),
            available: self.needs.is_none() && failure.is_none(),
            check,
            packages: result.as_ref().and_then(|result| result.packages.clone()),
            needs: self.needs.clone(),
            example: example.trim_start().to_owned(),
        }
    }
}

/// The mounts that the manifest of the runtime in `folder` names. A built-in runtime, whose folder
/// is in the data directory, goes without one that would show secrets.
fn find_own_mounts(manifest: &Manifest, folder: &Path, data_dir: &Path) -> Result<Vec<Mount>, Mistake> {
    let support = data_dir.join(SUPPORT_FOLDER);
    let support = support.canonicalize().unwrap_or(support);
    let mut own_mounts = vec![];
    for (index, sources) in manifest.mounts.iter().enumerate() {
        for mount in sources.resolve(folder) {
            match secret_in(&mount.source, data_dir, &[folder, &support]) {
                None => own_mounts.push(mount),
                Some(_) if folder.starts_with(&support) => {}
                Some(secret) => {
                    let source = mount.source.display();
                    let text = format!("`mounts.sources`: {source} would show {secret} to every program");
                    return Err(Mistake::new(&["mounts", &index.to_string(), "sources"], text));
                }
            }
        }
    }
    Ok(own_mounts)
}

/// Whether a program would find something at `path` in the sandbox. A link counts as existing,
/// wherever it leads: commands in /usr may be links to places outside (such as those of the
/// alternatives system), and commands of a mounted toolchain may be links that are valid only in
/// the sandbox. In a root of its own, links lead to places in that root.
fn exists_inside(mounts: &[Mount], root: Option<&Path>, path: &Path) -> bool {
    let mounted = mounts.iter().find_map(|mount| mount.source_of(path));
    match (mounted, root) {
        (None, Some(root)) => livecode_image::lookup::exists(root, path),
        (mounted, _) => mounted.unwrap_or_else(|| path.to_owned()).symlink_metadata().is_ok(),
    }
}
