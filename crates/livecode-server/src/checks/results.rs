//! The results of checks, in memory and in a file of the data directory. A result holds as long as
//! the toolchain stays as it was checked, also over a restart of the server.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::catalogue::CheckResult;

/// The file in the data directory.
const FILE: &str = "runtime-checks.json";

/// The last result of each runtime.
pub(super) struct Results {
    path: PathBuf,
    by_name: Mutex<BTreeMap<String, Arc<CheckResult>>>,
}

impl Results {
    /// Reads the file. Without it, or if it cannot be understood, there are no results.
    pub fn open(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let kept: Option<BTreeMap<String, CheckResult>> =
            fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let kept = kept.unwrap_or_default().into_iter().map(|(name, result)| (name, Arc::new(result)));
        Self { path, by_name: Mutex::new(kept.collect()) }
    }

    fn by_name(&self) -> MutexGuard<'_, BTreeMap<String, Arc<CheckResult>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of a runtime whose toolchain has this fingerprint.
    pub fn get(&self, name: &str, fingerprint: &str) -> Option<Arc<CheckResult>> {
        self.by_name().get(name).filter(|result| result.fingerprint == fingerprint).cloned()
    }

    /// Replaces the result of a runtime.
    pub fn insert(&self, name: &str, result: CheckResult) {
        self.by_name().insert(name.to_owned(), Arc::new(result));
    }

    /// Writes the results of the runtimes with these names. If that fails, they are found again
    /// after the next start.
    pub fn save(&self, names: &BTreeSet<String>) {
        let kept: BTreeMap<_, _> = {
            let by_name = self.by_name();
            let kept = by_name.iter().filter(|(name, _)| names.contains(*name));
            kept.map(|(name, result)| (name.clone(), CheckResult::clone(result))).collect()
        };
        let new_path = self.path.with_extension("new");
        let write = || -> io::Result<()> {
            fs::write(&new_path, serde_json::to_vec(&kept)?)?;
            fs::rename(&new_path, &self.path)
        };
        if let Err(error) = write() {
            let path = self.path.display();
            tracing::warn!(%error, %path, "the results of checks of runtimes cannot be written");
        }
    }
}
