//! Properties that hold for any request, whatever its bytes. The fuzz targets and a test with the
//! fuzz seeds check them.
#![allow(clippy::unwrap_used, missing_docs)] // a panic reports that a property does not hold

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::IntoResponse as _,
};
use futures_util::stream;
use livecode_protocol::session::{CreateSession, SourceFile};

use crate::http::{
    api::v01::request::{ExecRequest, arguments, environment, files_from_parts, mode},
    body::parse_json,
    problem::ApiError,
};
use crate::spec::fuzz::check_request;
use crate::{
    auth::Payer,
    catalogue::{Catalogue, fuzz::catalogue},
    config::Config,
    held_bytes::ByteBudget,
};

/// The largest body in this test, in bytes. It is small so that the fuzzer exceeds it often.
const MAX_BODY_BYTES: usize = 2048;

/// A body of `POST /sessions`, and the same bytes as a body of `POST /exec`.
pub fn session_document(data: &[u8]) {
    match parse_json::<CreateSession>(data) {
        Ok(request) => check_resolution(&request, catalogue()),
        Err(error) => check_refusal(error),
    }
    match parse_json::<ExecRequest>(data) {
        Ok(exec) => check_resolution(&exec.into(), catalogue()),
        Err(error) => check_refusal(error),
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
            return; // hyper refuses such a header
        };
        headers.append(name, value);
    }
    let whole = parse_parts(&headers, body, body.len().max(1));
    for chunk_bytes in [1, 7] {
        match (&whole, parse_parts(&headers, body, chunk_bytes)) {
            (Ok(whole), Ok(chunked)) => assert!(whole == &chunked, "in chunks of {chunk_bytes} bytes"),
            (Err(()), Err(())) => {}
            (whole, chunked) => panic!("{whole:?}, and in chunks of {chunk_bytes} bytes {chunked:?}"),
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
            let files = Some(files.into_iter().map(file).collect());
            check_resolution(&CreateSession { files, ..request }, catalogue());
        }
        (Err(error), _) => check_refusal(error),
        (Ok(_), Err(())) => {}
    }
}

/// Checks that the request is either resolved into a spec that can be run, or refused with the
/// name of a field.
fn check_resolution(request: &CreateSession, catalogue: &Catalogue) {
    for refusal in check_request(request, catalogue) {
        check_refusal(refusal.into());
    }
}

/// Checks that a refused request is reported as the client's error, with a text.
fn check_refusal(error: ApiError) {
    assert!(!error.to_string().is_empty());
    assert!(error.into_response().status().is_client_error());
}

/// The names and contents of the parts of a multipart body that arrives in chunks of
/// `chunk_bytes` bytes.
fn parse_parts(headers: &HeaderMap, body: &[u8], chunk_bytes: usize) -> Result<Vec<(String, String)>, ()> {
    let chunks: Vec<_> = body.chunks(chunk_bytes).map(|chunk| Ok::<_, Infallible>(chunk.to_vec())).collect();
    let mut request = Request::new(Body::from_stream(stream::iter(chunks)));
    request
        .headers_mut()
        .extend(headers.get(header::CONTENT_TYPE).map(|value| (header::CONTENT_TYPE, value.clone())));
    let budget = ByteBudget::new(&Config::default(), Arc::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match runtime.block_on(files_from_parts(request, MAX_BODY_BYTES, budget.hold(Payer::Local))) {
        Ok((files, _)) => {
            let bytes: usize =
                files.iter().map(|file| file.filename.len() + file.contents.len() * 3 / 4).sum();
            assert!(bytes <= body.len(), "the files are larger than the body");
            assert!(body.len() <= MAX_BODY_BYTES);
            Ok(files.into_iter().map(|file| (file.filename, file.contents)).collect())
        }
        Err(error) => {
            check_refusal(error);
            Err(())
        }
    }
}
