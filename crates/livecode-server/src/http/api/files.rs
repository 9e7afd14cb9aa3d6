//! `/sessions/{id}/files`: the result files of a session.

use std::{io, os::unix::fs::FileExt as _, sync::Arc};

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use livecode_protocol::{
    ErrorCode, FileName, SessionId,
    results::{ResultFile, ResultFileDocument, ResultFilesDocument, ResultManifest},
    session::Problem,
};

use crate::http::{api::sessions::find_session, app::App, caller::PublicAddress, problem::ApiError};
use crate::{
    auth::{Caller, Payer, Verb},
    sessions::{Store, blocking::blocking},
};

/// Bytes of a file that are in memory at once while it is sent.
const PIECE_BYTES: u64 = 64 * 1024;
/// The type of a file whose name tells no other.
const UNKNOWN_TYPE: &str = "application/octet-stream";
/// The types by the endings of names. None of them makes a browser run anything, even if it showed
/// the file and did not save it.
const TYPES: [(&str, &str); 12] = [
    ("csv", "text/csv; charset=utf-8"),
    ("gif", "image/gif"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("log", "text/plain; charset=utf-8"),
    ("md", "text/plain; charset=utf-8"),
    ("png", "image/png"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("wav", "audio/wav"),
    ("webp", "image/webp"),
];
/// The policy of a file: it runs nothing, loads nothing, and has an origin of its own.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; sandbox";
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Lists the files that the session has left: those that `collect` named in the request, once the
/// session has ended.
#[utoipa::path(
    get, path = "/sessions/{id}/files", tag = "sessions", operation_id = "list_files",
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, description = "The files", body = ResultFilesDocument),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The server failed, and has logged the cause", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server holds as many bytes as it may", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    Extension(address): Extension<PublicAddress>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ResultFilesDocument>, ApiError> {
    let session = find_session(&app, (&caller, payer), Verb::Watch, id)?;
    if session.progress().ended.is_none() {
        return Ok(Json(ResultFilesDocument { files: vec![], refused: vec![], complete: false }));
    }
    let (id, is_collecting) = (session.id, session.is_collecting);
    let link = move |name: &FileName| address.http(&format!("/sessions/{id}/files/{}", name.url_path()));
    let read = read_results(&app, id, move |store| {
        let Some(ResultManifest { mut files, refused, is_complete }) = store.result_manifest(id)? else {
            let complete = !is_collecting.unwrap_or_else(|| store.wants_results(id));
            return Ok(ResultFilesDocument { files: vec![], refused: vec![], complete });
        };
        files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let documents = files.into_iter().map(|ResultFile { name, bytes }| ResultFileDocument {
            link: link(&name),
            name,
            bytes,
        });
        Ok(ResultFilesDocument { files: documents.collect(), refused, complete: is_complete })
    });
    Ok(Json(read.await?))
}

/// Downloads a file that the session has left.
#[utoipa::path(
    get, path = "/sessions/{id}/files/{name}", tag = "sessions", operation_id = "download_file",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("name" = String, Path, description = "The name of the file, as the list has it"),
    ),
    responses(
        (status = 200, description = "The bytes of the file, to be saved", body = Vec<u8>, content_type = "application/octet-stream", headers(
            ("Content-Disposition" = String, description = "`attachment`, with the file's name"),
        )),
        (status = 403, description = "The Host header names a host that this server does not answer for", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session, or it has left no such file", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The server failed, and has logged the cause", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn download(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(payer): Extension<Payer>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, ApiError> {
    let (id, name) = match path {
        Ok(Path((id, name))) => (Ok(Path(id)), name),
        Err(rejection) => (Err(rejection), String::new()),
    };
    let session = find_session(&app, (&caller, payer), Verb::Watch, id)?;
    let id = session.id;
    let no_such_file = || {
        let detail = "the session has left no such file; GET /sessions/{id}/files lists its files";
        ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NoSuchFile, detail)
    };
    let name: FileName = name.parse().map_err(|_| no_such_file())?;
    if session.progress().ended.is_none() {
        return Err(no_such_file());
    }
    let wanted = name.clone();
    let found = read_results(&app, id, move |store| store.find_result(id, &wanted)).await?;
    let (offset, bytes) = found.ok_or_else(no_such_file)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type(&name))),
        (header::CONTENT_LENGTH, HeaderValue::from(bytes)),
        (header::CONTENT_DISPOSITION, content_disposition(&name)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
    ];
    Ok((headers, pieces(app.registry.store().clone(), id, offset, offset + bytes)).into_response())
}

/// Reads what a session has left, away from the threads that serve.
///
/// # Errors
/// 500 if it cannot be read.
async fn read_results<T: Send + 'static>(
    app: &App,
    id: SessionId,
    read: impl FnOnce(&Store) -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let store = app.registry.store().clone();
    blocking(move || read(&store)).await.flatten().map_err(|error| {
        tracing::error!(id = %id.short(), %error, "cannot read the result files of a session");
        let detail = "the result files of the session cannot be read";
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, detail)
    })
}

/// The bytes that a session has left from one offset to another, each piece read when the one
/// before is sent. Their file is opened for each: so no client, however slowly it reads, holds a
/// descriptor, nor the room on the disk of a session that was deleted. Its download breaks off
/// then.
fn pieces(store: Arc<Store>, id: SessionId, from: u64, to: u64) -> Body {
    Body::from_stream(stream::try_unfold(from, move |at| {
        let store = store.clone();
        async move {
            if at >= to {
                return Ok(None);
            }
            let read = move || -> io::Result<Vec<u8>> {
                let mut piece = vec![0; (to - at).min(PIECE_BYTES) as usize];
                store.open_results(id)?.read_exact_at(&mut piece, at)?;
                Ok(piece)
            };
            let piece = blocking(read).await.flatten()?;
            let next = at + piece.len() as u64;
            Ok::<_, io::Error>(Some((Bytes::from(piece), next)))
        }
    }))
}

fn content_type(name: &FileName) -> &'static str {
    let (_, ending) = name.as_str().rsplit_once('.').unwrap_or_default();
    let known = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
    known.map_or(UNKNOWN_TYPE, |(_, content_type)| content_type)
}

/// Asks the browser to save the file under the last part of its name (RFC 6266, RFC 8187).
fn content_disposition(name: &FileName) -> HeaderValue {
    let path = name.url_path();
    let part = path.rsplit('/').next().unwrap_or_default();
    let text = format!("attachment; filename*=UTF-8''{part}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_a_header_or_a_url() {
        let name: FileName = "a b/\"é\"; x=1?#%.png".parse().unwrap();
        assert_eq!(
            content_disposition(&name),
            "attachment; filename*=UTF-8''%22%C3%A9%22%3B%20x%3D1%3F%23%25.png"
        );
        assert_eq!(name.url_path(), "a%20b/%22%C3%A9%22%3B%20x%3D1%3F%23%25.png");
    }

    #[test]
    fn no_type_makes_a_browser_run_a_file() {
        let of = |name: &str| content_type(&name.parse().unwrap());
        for name in ["a.html", "a.svg", "a.js", "a.xml", "a.pdf", "a", ".html", "png"] {
            assert_eq!(of(name), UNKNOWN_TYPE, "{name}");
        }
        assert_eq!((of("a/b.PNG"), of("a.csv")), ("image/png", "text/csv; charset=utf-8"));
    }
}
