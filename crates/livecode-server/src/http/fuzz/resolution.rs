//! Properties of the resolution of a request into a spec of a session, for any request.
#![allow(clippy::unwrap_used)] // a panic reports that a property does not hold

use axum::response::IntoResponse as _;
use livecode_protocol::{SessionId, control::VERSION, run_spec::RunSpec, session::CreateSession};

use crate::catalogue::Catalogue;
use crate::http::problem::ApiError;
use crate::spec::{Endpoint, LimitSettings, ResolvedSpec, resolve};

/// Checks that a request is either refused with the name of a field, or resolved into a spec that
/// can be run.
pub(crate) fn check_resolution(request: &CreateSession, catalogue: &Catalogue) {
    let settings = LimitSettings::default();
    for endpoint in [Endpoint::Sessions, Endpoint::V01] {
        match resolve(request, catalogue, &settings, endpoint) {
            Ok(spec) => {
                assert!(request.env.iter().flatten().all(|(name, _)| !name.starts_with("LIVECODE_")));
                check_can_run(spec, &settings);
            }
            Err(bad) => {
                assert!(!bad.field.is_empty() && !bad.detail.is_empty());
                check_refusal(bad.into());
            }
        }
    }
}

/// Checks that a refused request is reported as the client's error, with a text.
pub(super) fn check_refusal(error: ApiError) {
    assert!(!error.to_string().is_empty());
    assert!(error.into_response().status().is_client_error());
}

fn check_can_run(spec: ResolvedSpec, settings: &LimitSettings) {
    let ResolvedSpec { compile, run, env, files, stdin, mounts, limits, .. } = spec;
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
    // The supervisor reads exactly what the server wrote.
    let id = SessionId::from_random([7; 16]);
    let cache = None;
    let run_spec =
        RunSpec { version: VERSION, id, slot: 0, compile, run, env, files, stdin, mounts, limits, cache };
    let written = serde_json::to_vec(&run_spec).unwrap();
    let read: RunSpec = serde_json::from_slice(&written).unwrap();
    assert!(serde_json::to_vec(&read).unwrap() == written);
}
