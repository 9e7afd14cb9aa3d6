//! Properties that hold for every request, whatever its fields contain. Used by the fuzz targets
//! of requests and of runtimes.
#![allow(clippy::unwrap_used)] // a panic reports that a check failed

use livecode_protocol::{SessionId, run_spec::RunSpec, session::CreateSession};

use crate::{
    catalogue::Catalogue,
    spec::{BadField, Endpoint, LimitSettings, ResolvedSpec, resolve},
};

/// Checks that a request, on each endpoint, is either refused with the name of a field or resolved
/// to a spec that a supervisor can run. Returns the refusals.
pub(crate) fn check_request(request: &CreateSession, catalogue: &Catalogue) -> Vec<BadField> {
    let settings = LimitSettings::default();
    let mut refusals = vec![];
    for endpoint in [Endpoint::Sessions, Endpoint::V01] {
        match resolve(request, catalogue, &settings, endpoint) {
            Ok(resolved) => {
                assert!(request.env.iter().flatten().all(|(name, _)| !name.starts_with("LIVECODE_")));
                check_resolved(resolved, &settings);
            }
            Err(bad) => {
                assert!(!bad.field.is_empty() && !bad.detail.is_empty());
                refusals.push(bad);
            }
        }
    }
    refusals
}

/// Checks that a supervisor can run a resolved spec.
fn check_resolved(resolved: ResolvedSpec, settings: &LimitSettings) {
    let ResolvedSpec { compile, run, env, files, stdin, mounts, root, limits, .. } = resolved;
    for step in compile.iter().chain([&run]) {
        assert!(step.argv.first().is_some_and(|program| !program.is_empty()));
        assert!(step.argv.iter().all(|word| !word.contains('\0')), "{:?}", step.argv);
    }
    assert!(run.limits.memory_bytes <= settings.memory_max_bytes && run.limits.cpu_ms <= settings.cpu_max_ms);
    assert!(limits.wall_ms <= settings.wall_max_ms && limits.output_bytes <= settings.output_max_bytes);
    assert!(limits.disk_bytes <= settings.disk_max_bytes);
    for (name, value) in &env {
        assert!(
            !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'),
            "{name:?}={value:?}"
        );
    }
    for mount in &mounts {
        let mut parts = mount.target.components();
        assert!(
            mount.target.is_absolute() && parts.all(|part| part != std::path::Component::ParentDir),
            "{mount:?}"
        );
        assert!(!mount.target.as_os_str().as_encoded_bytes().contains(&0), "{mount:?}");
    }
    let mut bytes = 0;
    for file in &files {
        let name = file.name.as_str();
        assert!(!name.starts_with('/') && name.split('/').all(|part| !["", ".", ".."].contains(&part)));
        bytes += file.contents.clone().into_bytes().unwrap().len() as u64;
    }
    assert!(bytes <= limits.disk_bytes);
    if let Some(stdin) = &stdin {
        stdin.clone().into_bytes().unwrap();
    }
    // The supervisor reads the same run spec that the server writes.
    let mut run_spec = RunSpec {
        id: SessionId::from_random([7; 16]),
        slot: 0,
        compile,
        run,
        env,
        files,
        stdin,
        stored: None,
        mounts,
        root,
        limits,
        echo: false,
        diagnostics: false,
        cache: None,
        stages: false,
        collect: None,
        cases: None,
    };
    let names: Vec<_> = run_spec.file_names().cloned().collect();
    if let Some(pieces) = run_spec.detach_contents().unwrap() {
        let stored = run_spec.stored.as_ref().unwrap();
        let lengths = stored.files.iter().map(|file| file.bytes).chain(stored.stdin_bytes);
        assert!(lengths.eq(pieces.iter().map(|piece| piece.len() as u64)));
        assert!(run_spec.file_names().eq(&names) && run_spec.files.is_empty() && run_spec.stdin.is_none());
    }
    let written = serde_json::to_vec(&run_spec).unwrap();
    let read: RunSpec = serde_json::from_slice(&written).unwrap();
    assert!(serde_json::to_vec(&read).unwrap() == written);
}
