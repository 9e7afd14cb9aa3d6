//! A reload of the catalogue while the server runs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    catalogue::{Catalogue, CatalogueError, CurrentCatalogue},
    config::Config,
    metrics::Metrics,
    runner::{spawner::SpawnerLauncher, spawner_set::SpawnerSet},
    sessions::blocking::blocking,
};

/// What a reload of the runtimes has changed.
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
    lock: Mutex<()>,
}

impl CatalogueReloader {
    /// Replaces what is in `current`, and the spawners in `spawners`, at each reload.
    pub fn new(
        current: CurrentCatalogue,
        config: Arc<Config>,
        launcher: SpawnerLauncher,
        spawners: Arc<SpawnerSet>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { current, config, launcher, spawners, metrics, lock: Mutex::default() }
    }

    /// Reads all runtimes again. Sessions that exist, also those that wait to run, stay as they are;
    /// sessions that are created afterwards use the new runtimes.
    ///
    /// # Errors
    /// As [`Catalogue::load`]. Then nothing has changed. The error is logged.
    pub async fn reload(self: &Arc<Self>) -> Result<ReloadReport, CatalogueError> {
        let reloader = self.clone();
        let reloaded = blocking(move || reloader.reload_blocking()).await;
        reloaded.unwrap_or_else(|error| Err(CatalogueError::Read(self.config.data_dir.clone(), error)))
    }

    fn reload_blocking(&self) -> Result<ReloadReport, CatalogueError> {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let runtimes_dir = self.config.runtimes_dir.as_deref();
        let loaded = Catalogue::load(&self.config.data_dir, runtimes_dir).inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::error!(error, "the runtimes were not reloaded; those from before stay");
        });
        let (new, old) = (Arc::new(loaded?), self.current.now());
        let report = compare(&old, &new);
        self.metrics.set_runtimes(new.iter().map(|runtime| runtime.name.clone()).collect());
        if has_replaced_folder(&old, &new)
            && let Err(error) = self.spawners.renew_default()
        {
            tracing::error!(%error, "the default spawner cannot be started again: programs may see old folders");
        }
        self.spawners.reload(&self.launcher, &new, &self.config, &self.metrics);
        self.current.replace(new);
        for warning in &report.warnings {
            tracing::warn!("{warning}");
        }
        let ReloadReport { added, changed, removed, runtimes, .. } = &report;
        tracing::info!(?added, ?changed, ?removed, runtimes, "the runtimes were reloaded");
        Ok(report)
    }
}

/// Whether a folder that is mounted in sandboxes is another one than before, at the same path.
fn has_replaced_folder(old: &Catalogue, new: &Catalogue) -> bool {
    let inodes = |catalogue: &Catalogue| -> HashMap<_, _> {
        let folders = catalogue.iter().flat_map(|runtime| runtime.mounts.iter().zip(&runtime.mount_inodes));
        folders.map(|(mount, inode)| (mount.source.clone(), *inode)).collect()
    };
    let old = inodes(old);
    inodes(new).iter().any(|(folder, inode)| old.get(folder).is_some_and(|before| before != inode))
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
