//! What must hold of requests whatever bytes they are.
#![allow(clippy::unwrap_used, missing_docs)] // a panic is what says that something does not hold

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::IntoResponse as _,
};
use futures_util::stream;
use livecode_protocol::{
    SessionId,
    control::VERSION,
    run_spec::RunSpec,
    session::{CreateSession, SourceFile},
};

use crate::http::{
    api::v01::{Exec, arguments, environment, mode, parts},
    caller::parse_json,
    problem::ApiError,
};
use crate::{
    catalogue::{Catalogue, fuzz::catalogue},
    spec::{Endpoint, LimitSettings, ResolvedSpec, resolve},
};

/// The largest body of a test, in bytes: small, so that it is passed.
const MAX_BODY_BYTES: usize = 2048;

/// A body of `POST /sessions`, and the same as one of `/exec`.
pub fn session_document(data: &[u8]) {
    match parse_json::<CreateSession>(data) {
        Ok(request) => order(&request, catalogue()),
        Err(error) => refused(error),
    }
    match parse_json::<Exec>(data) {
        Ok(exec) => order(&exec.into(), catalogue()),
        Err(error) => refused(error),
    }
}

/// A request to `/runtimes/python`: lines of headers, an empty line, a body.
pub fn multipart(data: &[u8]) {
    let head = data.windows(2).position(|end| end == b"\n\n").unwrap_or(data.len());
    let body = data.get(head + 2..).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for line in data[..head].split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) else {
            return; // refused by what reads HTTP
        };
        headers.append(name, value);
    }
    let whole = files(&headers, body, body.len().max(1));
    for size in [1, 7] {
        match (&whole, files(&headers, body, size)) {
            (Ok(whole), Ok(cut)) => assert!(whole == &cut, "read {size} bytes at a time"),
            (Err(()), Err(())) => {}
            (whole, cut) => panic!("{whole:?}, and {size} bytes at a time {cut:?}"),
        }
    }
    let fields = || -> Result<CreateSession, ApiError> {
        Ok(CreateSession {
            runtime: Some("python".into()),
            mode: mode(&headers)?,
            args: arguments(&headers)?,
            env: environment(&headers)?,
            ..CreateSession::default()
        })
    };
    match (fields(), whole) {
        (Ok(request), Ok(files)) => {
            let file = |(filename, contents)| SourceFile { filename, contents, encoding: None };
            order(
                &CreateSession { files: Some(files.into_iter().map(file).collect()), ..request },
                catalogue(),
            );
        }
        (Err(error), _) => refused(error),
        (Ok(_), Err(())) => {}
    }
}

/// Names and contents of the parts of a body that comes `size` bytes at a time.
fn files(headers: &HeaderMap, body: &[u8], size: usize) -> Result<Vec<(String, String)>, ()> {
    let chunks: Vec<_> = body.chunks(size).map(|chunk| Ok::<_, Infallible>(chunk.to_vec())).collect();
    let mut request = Request::new(Body::from_stream(stream::iter(chunks)));
    request
        .headers_mut()
        .extend(headers.get(header::CONTENT_TYPE).map(|value| (header::CONTENT_TYPE, value.clone())));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match runtime.block_on(parts(request, MAX_BODY_BYTES)) {
        Ok(files) => {
            let bytes: usize =
                files.iter().map(|file| file.filename.len() + file.contents.len() * 3 / 4).sum();
            assert!(bytes <= body.len(), "more came out than went in");
            assert!(body.len() <= MAX_BODY_BYTES);
            Ok(files.into_iter().map(|file| (file.filename, file.contents)).collect())
        }
        Err(error) => {
            refused(error);
            Err(())
        }
    }
}

/// What is wrong with a request is its own fault, and said.
fn refused(error: ApiError) {
    assert!(!error.to_string().is_empty());
    assert!(error.into_response().status().is_client_error());
}

/// A request is refused by its field, or is an order that can be carried out.
pub(crate) fn order(request: &CreateSession, catalogue: &Catalogue) {
    let settings = LimitSettings::default();
    for endpoint in [Endpoint::Sessions, Endpoint::V01] {
        match resolve(request, catalogue, &settings, endpoint) {
            Ok(prepared) => {
                assert!(request.env.iter().flatten().all(|(name, _)| !name.starts_with("LIVECODE_")));
                can_be_carried_out(prepared, &settings);
            }
            Err(bad) => {
                assert!(!bad.field.is_empty() && !bad.detail.is_empty());
                refused(bad.into());
            }
        }
    }
}

fn can_be_carried_out(prepared: ResolvedSpec, settings: &LimitSettings) {
    let ResolvedSpec { compile, run, env, files, stdin, mounts, limits, .. } = prepared;
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
    // The supervisor reads it as it was meant.
    let id = SessionId::from_random([7; 16]);
    let order = RunSpec {
        version: VERSION,
        id,
        slot: 0,
        compile,
        run,
        env,
        files,
        stdin,
        mounts,
        limits,
        cache: None,
    };
    let written = serde_json::to_vec(&order).unwrap();
    let read: RunSpec = serde_json::from_slice(&written).unwrap();
    assert!(serde_json::to_vec(&read).unwrap() == written);
}
