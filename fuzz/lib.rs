//! State that the fuzz targets share. Each target calls a function of the `fuzz.rs` of a crate,
//! which holds the checks. A test in that crate runs the same checks on the seeds.

use std::{env, fs, path::PathBuf, sync::LazyLock};

/// A folder for this process alone. It is created in `FUZZ_FOLDER` if that variable is set, or
/// else in the folder for temporary files.
pub static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let parent = env::var_os("FUZZ_FOLDER").map_or_else(env::temp_dir, PathBuf::from);
    let folder = parent.join(format!("livecode-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the folder can be created");
    folder
});
