//! The compile cache: a folder of entries, each with the artefacts of one program's compile steps.
//! Supervisors write and read the entries; the server bounds the size of the folder.
//!
//! The name of an entry is a digest of everything that decides its contents (`spec::cache_key`).
//! An entry therefore never becomes wrong, only unused. A supervisor that uses an entry updates
//! its modification time, and the least recently used entries are evicted first.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use livecode_protocol::run_spec::{CompileCacheEntry, RunSpec};

use crate::{auth::Owner, config::Config, metrics::Metrics, spec::cache_key::CacheKeyInputs};

/// The cache's folder in the data directory.
const FOLDER: &str = "cache";
/// Prefix of the name of an entry that is being written.
const PARTIAL_PREFIX: &str = ".new-";
/// Age at which an entry that is being written is removed. No supervisor writes for so long.
const PARTIAL_MAX_AGE: Duration = Duration::from_secs(600);
/// The disk space of an entry is a multiple of this.
const BLOCK_BYTES: u64 = 4096;

/// The compile cache of a data directory.
pub(crate) struct CompileCache {
    folder: PathBuf,
    max_bytes: u64,
    entry_max_bytes: u64,
    disk_min_free_bytes: u64,
    metrics: Arc<Metrics>,
    usage: Mutex<DiskUsage>,
}

#[derive(Default)]
struct DiskUsage {
    /// The disk space of all entries.
    bytes: u64,
    /// Whether a thread evicts entries.
    is_evicting: bool,
}

/// An entry of the folder.
struct CacheEntry {
    path: PathBuf,
    used_at: SystemTime,
    bytes: u64,
}

/// The path of an entry of the cache of a data directory.
pub(crate) fn path(data_dir: &Path, key: &str) -> PathBuf {
    data_dir.join(FOLDER).join(key)
}

impl CompileCache {
    /// Opens the cache of the configured data directory, and evicts entries if it is too large.
    /// `None` if the cache is disabled or its folder cannot be used; then every session compiles
    /// its program.
    pub fn open(config: &Config, metrics: Arc<Metrics>) -> Option<Arc<Self>> {
        let folder = config.data_dir.join(FOLDER);
        let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        let folder = match created.and_then(|()| folder.canonicalize()) {
            Ok(folder) => folder,
            Err(error) => {
                tracing::warn!(%error, path = %folder.display(), "the compile cache cannot be used");
                return None;
            }
        };
        let cache = Arc::new(Self {
            folder,
            max_bytes: config.compile_cache_bytes,
            entry_max_bytes: config.compile_cache_entry_bytes.min(config.compile_cache_bytes),
            disk_min_free_bytes: config.disk_min_free_bytes,
            metrics,
            usage: Mutex::default(),
        });
        // All partial entries are removed. Few of the supervisors that were writing them are still
        // alive; these compile their programs and keep nothing.
        cache.evict(Duration::ZERO);
        (config.compile_cache_bytes > 0).then_some(cache)
    }

    /// The entry in which the results of a run spec's compile steps are found or put; `None` if
    /// they have no key.
    pub fn entry_for(
        &self,
        owner: &Owner,
        inputs: &CacheKeyInputs,
        run_spec: &RunSpec,
    ) -> Option<CompileCacheEntry> {
        Some(CompileCacheEntry {
            folder: self.folder.clone(),
            key: inputs.key(owner, run_spec)?,
            artefacts: inputs.artefacts().to_vec(),
            entry_bytes: self.entry_max_bytes,
            min_free_bytes: self.disk_min_free_bytes,
        })
    }

    /// Counts an entry of `bytes` that a supervisor has written. Starts eviction if the cache has
    /// become too large.
    pub fn count_stored(self: &Arc<Self>, bytes: u64) {
        let mut usage = self.usage();
        usage.bytes += disk_bytes(bytes);
        self.report(&usage);
        if usage.bytes > self.max_bytes && !usage.is_evicting {
            usage.is_evicting = true;
            let cache = self.clone();
            tokio::task::spawn_blocking(move || cache.evict(PARTIAL_MAX_AGE));
        }
    }

    fn usage(&self) -> MutexGuard<'_, DiskUsage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the gauge of the cache's size.
    fn report(&self, usage: &DiskUsage) {
        self.metrics.compile_cache_bytes.set(i64::try_from(usage.bytes).unwrap_or(i64::MAX));
    }

    /// Scans the folder. If the entries take more than the maximum, removes the least recently
    /// used until an eighth of the maximum is free. Partial entries older than `partial_max_age`
    /// are removed too, because their supervisors are dead.
    fn evict(&self, partial_max_age: Duration) {
        let bytes_before = self.usage().bytes;
        let scanned = scan(&self.folder, partial_max_age);
        if let Err(error) = &scanned {
            tracing::warn!(%error, path = %self.folder.display(), "the compile cache cannot be scanned");
        }
        let mut entries = scanned.unwrap_or_default();
        let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        if bytes > self.max_bytes {
            entries.sort_by_key(|entry| entry.used_at);
            for entry in entries {
                if bytes <= self.max_bytes - self.max_bytes / 8 {
                    break;
                }
                match fs::remove_file(&entry.path) {
                    Ok(()) => self.metrics.compile_cache_evicted.inc(),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        tracing::warn!(
                            %error,
                            path = %entry.path.display(),
                            "an entry of the compile cache cannot be removed"
                        );
                        continue;
                    }
                }
                bytes -= entry.bytes;
            }
        }
        let mut usage = self.usage();
        // An entry that was stored during the scan may have been scanned too. It then counts twice
        // until the next scan.
        usage.bytes = bytes + usage.bytes.saturating_sub(bytes_before);
        usage.is_evicting = false;
        self.report(&usage);
    }
}

/// The disk space of an entry of this length.
fn disk_bytes(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES)
}

/// Lists the entries of the cache, and removes partial entries that are at least `partial_max_age`
/// old.
fn scan(folder: &Path, partial_max_age: Duration) -> io::Result<Vec<CacheEntry>> {
    let now = SystemTime::now();
    let mut entries = vec![];
    for entry in fs::read_dir(folder)?.flatten() {
        let Ok(metadata) = entry.metadata() else { continue }; // it was removed meanwhile
        let used_at = metadata.modified()?;
        if entry.file_name().as_encoded_bytes().starts_with(PARTIAL_PREFIX.as_bytes()) {
            if now.duration_since(used_at).unwrap_or_default() >= partial_max_age {
                let _ = fs::remove_file(entry.path());
            }
            continue;
        }
        entries.push(CacheEntry { path: entry.path(), used_at, bytes: disk_bytes(metadata.size()) });
    }
    Ok(entries)
}
