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
use livecode_protocol::session::{CreateSession, SourceFile};

use crate::http::{
    api::v01::{Exec, arguments, environment, mode, parts},
    caller::parse_json,
    problem::ApiError,
};
use crate::{
    catalogue::{Catalogue, fuzz::catalogue},
    spec::fuzz::check_request,
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

/// Checks a request, and how its refusals are reported.
fn order(request: &CreateSession, catalogue: &Catalogue) {
    for bad in check_request(request, catalogue) {
        refused(bad.into());
    }
}
