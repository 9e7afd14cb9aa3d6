//! Properties that hold for every `runtime.toml`, whatever bytes it consists of.
#![allow(clippy::unwrap_used, missing_docs)] // a panic reports that a check failed

use std::{path::Path, sync::OnceLock};

use livecode_protocol::session::{CreateSession, Mode};

use crate::{
    catalogue::{Catalogue, Manifest, Runtime},
    spec::fuzz::check_request,
};

/// The built-in runtimes, as if this machine had everything that they need.
pub(crate) fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| {
        let data_dir = std::env::temp_dir().join(format!("livecode-fuzz-{}", std::process::id()));
        let mut catalogue = Catalogue::load(&data_dir, None).unwrap();
        std::fs::remove_dir_all(data_dir).unwrap();
        for runtime in &mut catalogue.runtimes {
            (runtime.needs, runtime.test_needs) = (None, None);
        }
        catalogue
    })
}

/// Checks that a `runtime.toml` in `folder` is either refused, or the sessions of its runtime
/// resolve to specs that a supervisor can run.
pub fn runtime_toml(folder: &Path, data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let folder = folder.join("fuzzed");
    let make =
        |manifest| Runtime::new(&folder, manifest, &[], &folder).map_err(|mistake| mistake.in_toml(text));
    let runtime = match Manifest::parse(text).and_then(make) {
        Ok(runtime) => Runtime { needs: None, test_needs: None, ..runtime },
        Err(error) => {
            assert!(!error.is_empty());
            return;
        }
    };
    serde_json::to_string(&runtime.info()).unwrap();
    let name = runtime.name.clone();
    let catalogue =
        Catalogue { by_name: [(name.clone(), 0)].into(), runtimes: vec![runtime], warnings: vec![] };
    for mode in [Mode::Exec, Mode::Test] {
        let request = CreateSession {
            runtime: Some(name.clone()),
            code: Some("x".into()),
            mode: Some(mode),
            ..CreateSession::default()
        };
        check_request(&request, &catalogue);
    }
}
