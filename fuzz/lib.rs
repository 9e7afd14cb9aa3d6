//! What the targets share. What each checks is in its crate's `fuzz.rs`, where a test runs it with the seeds.

use std::{env, fs, path::PathBuf, sync::LazyLock};

/// A folder of this process's own, in `FUZZ_FOLDER` where that is set.
pub static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let parent = env::var_os("FUZZ_FOLDER").map_or_else(env::temp_dir, PathBuf::from);
    let folder = parent.join(format!("livecode-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("room for a folder");
    folder
});
