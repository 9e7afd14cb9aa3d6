//! What was compiled before: a folder of entries, which supervisors write and read, and whose size is bounded here.
//!
//! An entry's name says all that decides what is in it (`spec::cache_key`), so it never becomes wrong, only unused. A supervisor
//! that uses one marks it by its time of modification; the least recently used go first.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use livecode_protocol::run_spec::{self, RunSpec};

use crate::{auth::Owner, config::Config, metrics::Metrics, spec::cache_key::Recipe};

/// Below the data directory.
const FOLDER: &str = "cache";
/// What starts the name of an entry that is being written.
const PARTIAL: &str = ".new-";
/// Nobody writes one entry for so long.
const PARTIAL_MAX_AGE: Duration = Duration::from_secs(600);
/// What an entry takes on the disk is a multiple of this.
const BLOCK_BYTES: u64 = 4096;

/// All entries of a data directory.
pub(crate) struct CompileCache {
    folder: PathBuf,
    max_bytes: u64,
    entry_max_bytes: u64,
    disk_min_free_bytes: u64,
    metrics: Arc<Metrics>,
    room: Mutex<Room>,
}

#[derive(Default)]
struct Room {
    used_bytes: u64,
    is_evicting: bool,
}

/// An entry that was found.
struct Entry {
    path: PathBuf,
    used: SystemTime,
    bytes: u64,
}

impl CompileCache {
    /// Takes up what is there, as far as there is room for it. `None` where nothing is to be kept, or can be: then
    /// everything is compiled each time.
    pub fn open(config: &Config, metrics: Arc<Metrics>) -> Option<Arc<Self>> {
        let folder = config.data_dir.join(FOLDER);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        let folder = match made.and_then(|()| folder.canonicalize()) {
            Ok(folder) => folder,
            Err(error) => {
                tracing::warn!(%error, path = %folder.display(), "what is compiled cannot be kept");
                return None;
            }
        };
        let cache = Arc::new(Self {
            folder,
            max_bytes: config.compile_cache_bytes,
            entry_max_bytes: config.compile_cache_entry_bytes.min(config.compile_cache_bytes),
            disk_min_free_bytes: config.disk_min_free_bytes,
            metrics,
            room: Mutex::default(),
        });
        // Of those who were writing when the last server died, few live; they compile, and keep nothing.
        cache.evict(Duration::ZERO);
        (config.compile_cache_bytes > 0).then_some(cache)
    }

    /// Where what this order's compile steps make is found, or to be kept.
    pub fn place(
        &self,
        owner: &Owner,
        recipe: &Recipe,
        order: &RunSpec,
    ) -> Option<run_spec::CompileCacheSlot> {
        Some(run_spec::CompileCacheSlot {
            folder: self.folder.clone(),
            key: recipe.key(owner, order)?,
            artefacts: recipe.artefacts().to_vec(),
            entry_bytes: self.entry_max_bytes,
            min_free_bytes: self.disk_min_free_bytes,
        })
    }

    /// A supervisor has written an entry of this length.
    pub fn stored(self: &Arc<Self>, bytes: u64) {
        let mut room = self.room();
        room.used_bytes += on_disk(bytes);
        self.tell(&room);
        if room.used_bytes > self.max_bytes && !room.is_evicting {
            room.is_evicting = true;
            let cache = self.clone();
            tokio::task::spawn_blocking(move || cache.evict(PARTIAL_MAX_AGE));
        }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, room: &Room) {
        self.metrics.compile_cache_bytes.set(i64::try_from(room.used_bytes).unwrap_or(i64::MAX));
    }

    /// Looks at what is there, and removes the least recently used until an eighth of the room is free, where there is not
    /// enough of it. What takes longer than `partial_max_age` to be written was left by a dead supervisor.
    fn evict(&self, partial_max_age: Duration) {
        let before_bytes = self.room().used_bytes;
        let found = scan(&self.folder, partial_max_age);
        if let Err(error) = &found {
            tracing::warn!(%error, path = %self.folder.display(), "what was compiled before cannot be looked at");
        }
        let mut entries = found.unwrap_or_default();
        let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        if bytes > self.max_bytes {
            entries.sort_by_key(|entry| entry.used);
            for entry in entries {
                if bytes <= self.max_bytes - self.max_bytes / 8 {
                    break;
                }
                match fs::remove_file(&entry.path) {
                    Ok(()) => self.metrics.compile_cache_evicted.inc(),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        tracing::warn!(%error, path = %entry.path.display(), "cannot be removed");
                        continue;
                    }
                }
                bytes -= entry.bytes;
            }
        }
        let mut room = self.room();
        // What was written meanwhile may have been seen, too; it counts twice until the next look.
        room.used_bytes = bytes + room.used_bytes.saturating_sub(before_bytes);
        room.is_evicting = false;
        self.tell(&room);
    }
}

fn on_disk(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES)
}

fn scan(folder: &Path, partial_max_age: Duration) -> io::Result<Vec<Entry>> {
    let now = SystemTime::now();
    let mut entries = vec![];
    for entry in fs::read_dir(folder)?.flatten() {
        let Ok(metadata) = entry.metadata() else { continue }; // gone
        let used = metadata.modified()?;
        if entry.file_name().as_encoded_bytes().starts_with(PARTIAL.as_bytes()) {
            if now.duration_since(used).unwrap_or_default() >= partial_max_age {
                let _ = fs::remove_file(entry.path());
            }
            continue;
        }
        entries.push(Entry { path: entry.path(), used, bytes: on_disk(metadata.size()) });
    }
    Ok(entries)
}
