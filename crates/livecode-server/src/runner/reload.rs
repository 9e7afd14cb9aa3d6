//! A reload of the catalogue while the server runs.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    catalogue::{Catalogue, CatalogueError, CurrentCatalogue},
    config::Config,
    metrics::Metrics,
    runner::{
        spawner::SpawnerLauncher,
        spawner_set::{FailedZygotes, SpawnerSet},
    },
    sessions::blocking::blocking,
};

/// The changes that a reload of the runtimes has made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReloadReport {
    /// Runtimes that were not there before.
    pub added: Vec<String>,
    /// Runtimes whose `runtime.toml`, mounts or requirements have changed.
    pub changed: Vec<String>,
    /// Runtimes that are not there any more.
    pub removed: Vec<String>,
    /// The number of runtimes now.
    pub runtimes: u64,
    /// Sentences about what an operator has probably not meant.
    pub warnings: Vec<String>,
}

/// Reloads the catalogue of one server.
pub struct CatalogueReloader {
    current: CurrentCatalogue,
    config: Arc<Config>,
    launcher: SpawnerLauncher,
    spawners: Arc<SpawnerSet>,
    metrics: Arc<Metrics>,
    /// Held during a reload: only one may write the support files.
    state: Mutex<MountedFolders>,
}

/// The device and inode, by its path, of each folder that was ever mounted in sandboxes since the
/// default spawner was started, which may have some of them in warm sandboxes.
type MountedFolders = HashMap<PathBuf, Option<(u64, u64)>>;

impl CatalogueReloader {
    /// Replaces what is in `current`, and the spawners in `spawners`, at each reload.
    pub fn new(
        current: CurrentCatalogue,
        config: Arc<Config>,
        launcher: SpawnerLauncher,
        spawners: Arc<SpawnerSet>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let state = Mutex::new(mounted_folders(&current.now()));
        Self { current, config, launcher, spawners, metrics, state }
    }

    /// Reads all runtimes again. Sessions that exist, also those that wait to run, stay as they
    /// are; sessions that are created afterwards use the new runtimes.
    ///
    /// # Errors
    /// As [`Catalogue::load`]. Then nothing has changed. The error is logged.
    pub async fn reload(self: &Arc<Self>) -> Result<ReloadReport, CatalogueError> {
        let reloader = self.clone();
        let reloaded = blocking(move || reloader.reload_blocking()).await;
        reloaded.unwrap_or_else(|error| Err(CatalogueError::Read(self.config.data_dir.clone(), error)))
    }

    /// Takes over what an upgrade of the machine has changed: reloads the runtimes if one of them
    /// has a mount elsewhere now, and replaces the interpreter zygotes whose interpreter has
    /// changed.
    pub async fn review(self: &Arc<Self>) {
        let reloader = self.clone();
        let review = move || {
            let catalogue = reloader.current.now();
            if catalogue.iter().any(|runtime| runtime.has_other_mounts_now(&reloader.config.data_dir)) {
                tracing::info!("what a runtime mounts was changed on this machine");
                let _ = reloader.reload_blocking(); // it has logged the error
                return;
            }
            let _guard = reloader.state.lock().unwrap_or_else(PoisonError::into_inner);
            let CatalogueReloader { spawners, launcher, current, config, metrics, .. } = &*reloader;
            spawners.reload(launcher, &current.now(), config, metrics, FailedZygotes::Keep);
        };
        if let Err(error) = blocking(review).await {
            tracing::error!(%error, "it is unknown whether a runtime was changed by an upgrade");
        }
    }

    fn reload_blocking(&self) -> Result<ReloadReport, CatalogueError> {
        let mut mounted = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let runtimes_dir = self.config.runtimes_dir.as_deref();
        let loaded = Catalogue::load(&self.config.data_dir, runtimes_dir).inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::error!(error, "the runtimes were not reloaded; those from before stay");
        });
        let (new, old) = (Arc::new(loaded?), self.current.now());
        let report = compare(&old, &new);
        self.metrics.set_runtimes(new.iter().map(|runtime| runtime.name.clone()).collect());
        let folders = mounted_folders(&new);
        if !has_replaced_folder(&mounted, &folders) {
            mounted.extend(folders);
        } else if let Err(error) = self.spawners.renew_default() {
            tracing::error!(%error, "the default spawner cannot be started again: programs may see old folders");
        } else {
            *mounted = folders;
        }
        self.spawners.reload(&self.launcher, &new, &self.config, &self.metrics, FailedZygotes::Retry);
        self.current.replace(new);
        for warning in &report.warnings {
            tracing::warn!("{warning}");
        }
        let ReloadReport { added, changed, removed, runtimes, .. } = &report;
        tracing::info!(?added, ?changed, ?removed, runtimes, "the runtimes were reloaded");
        Ok(report)
    }
}

fn mounted_folders(catalogue: &Catalogue) -> MountedFolders {
    let folders = catalogue.iter().flat_map(|runtime| runtime.mounts.iter().zip(&runtime.mount_inodes));
    folders.map(|(mount, inode)| (mount.source.clone(), *inode)).collect()
}

/// Whether a folder is another one than before, at the same path. A folder that was not there in
/// between is compared with the one that was mounted.
fn has_replaced_folder(mounted: &MountedFolders, new: &MountedFolders) -> bool {
    new.iter().any(|(folder, inode)| mounted.get(folder).is_some_and(|before| before != inode))
}

fn compare(old: &Catalogue, new: &Catalogue) -> ReloadReport {
    let mut report = ReloadReport {
        runtimes: new.iter().count() as u64,
        warnings: new.warnings().to_vec(),
        ..ReloadReport::default()
    };
    for runtime in new.iter() {
        match old.iter().find(|other| other.name == runtime.name) {
            // The check of its toolchain still holds, or is repeated a moment later.
            Some(other) if other.is_same(runtime) => runtime.last_check.set(other.last_check.result()),
            Some(_) => report.changed.push(runtime.name.clone()),
            None => report.added.push(runtime.name.clone()),
        }
    }
    let is_gone = |name: &String| new.iter().all(|runtime| runtime.name != *name);
    report.removed = old.iter().map(|runtime| runtime.name.clone()).filter(is_gone).collect();
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_compared_with_the_one_that_was_mounted() {
        let folders = |pairs: &[(&str, u64)]| -> MountedFolders {
            pairs.iter().map(|(path, inode)| (PathBuf::from(path), Some((1, *inode)))).collect()
        };
        let mut mounted = folders(&[("/a", 1), ("/b", 2)]);
        // A reload while `/a` is away, and one when another folder has come.
        let without = folders(&[("/b", 2)]);
        assert!(!has_replaced_folder(&mounted, &without));
        mounted.extend(without);
        assert!(has_replaced_folder(&mounted, &folders(&[("/a", 3), ("/b", 2)])));
        assert!(!has_replaced_folder(&mounted, &folders(&[("/a", 1), ("/c", 4)])));
    }
}
