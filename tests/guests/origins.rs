//! Which pages of other origins may use the server (`cors_origins`).

use std::process::{Command, Stdio};

use serde_json::json;

use super::Browser;
use crate::{
    common::{Server, binary, id},
    users::{User, new_token},
};

const LEARN: &str = "https://learn.example";
const OTHER: &str = "https://other.example";

fn page(origin: &str) -> Browser {
    Browser::default().with("origin", origin)
}

/// The names of the headers by which an answer tells a browser that a page may read it.
fn cors_headers(answer: &crate::common::http::Response) -> Vec<&'static str> {
    let names = [
        "access-control-allow-origin",
        "access-control-allow-methods",
        "access-control-allow-headers",
        "access-control-expose-headers",
        "access-control-allow-credentials",
    ];
    names.into_iter().filter(|name| answer.header(name).is_some()).collect()
}

fn preflight(server: &Server, origin: &str) -> crate::common::http::Response {
    let asks = page(origin).with("access-control-request-method", "POST");
    asks.with("access-control-request-headers", "content-type").send(server, "OPTIONS", "/sessions", "")
}

#[test]
fn only_pages_of_listed_origins_use_the_server() {
    let server = Server::start_with(&["--cors-origins", &format!("{LEARN},http://127.0.0.1:3000")]);
    let exec = json!({"runtime": "bash", "code": "echo hello"}).to_string();
    for origin in [LEARN, "http://127.0.0.1:3000"] {
        let allowed = preflight(&server, origin);
        assert_eq!(allowed.header("access-control-allow-origin"), Some(origin));
        assert_eq!(allowed.header("access-control-allow-headers"), Some("content-type"));
        let session = page(origin).create(&server, "echo hello");
        let read = page(origin).send(&server, "GET", &format!("/sessions/{}", id(&session)), "");
        assert_eq!(read.header("access-control-allow-origin"), Some(origin));
        assert!(read.header("vary").is_some_and(|vary| vary.contains("origin")));
        assert_eq!(cors_headers(&read), ["access-control-allow-origin", "access-control-expose-headers"]);
        assert_eq!(page(origin).send(&server, "POST", "/exec", &exec).text(), "hello\n");
        assert!(page(origin).stream(&server, "/livecode").is_ok());
    }
    let own = format!("http://{}", server.address());
    assert_eq!(page(&own).send(&server, "POST", "/exec", &exec).status, 200, "the own page");
    assert_eq!(server.post("/exec", &json!({"runtime": "bash", "code": "true"})).status, 200, "no page");

    let session = id(&server.create(&json!({"runtime": "bash", "code": "true"})));
    let stream = format!("/sessions/{session}/stream");
    let pages = [
        page(OTHER),
        page("null"),
        page(""),
        page("http://learn.example"),
        page("https://learn.example:444"),
        page("https://learn.example.other.example"),
        page(&own).with("sec-fetch-site", "same-site"),
        Browser::default().with("sec-fetch-site", "cross-site"),
    ];
    for page in &pages {
        for (method, path) in [
            ("POST", "/sessions"),
            ("POST", "/exec"),
            ("POST", "/runtimes/bash"),
            ("DELETE", &*format!("/sessions/{session}")),
            ("POST", "/tickets"),
        ] {
            let plain = page.with("content-type", "text/plain");
            let answer = server.request(method, path, &plain.borrowed(), exec.as_bytes());
            answer.problem_with_code(403, "origin_not_allowed");
            assert_eq!(cors_headers(&answer), [""; 0], "{page:?}");
        }
        for path in ["/livecode", &stream] {
            assert_eq!(page.stream(&server, path).err(), Some(403), "{path} {page:?}");
        }
        let read = page.send(&server, "GET", "/runtimes", "");
        assert_eq!((read.status, cors_headers(&read)), (200, vec![]), "{page:?}");
    }
    assert_eq!(cors_headers(&preflight(&server, OTHER)), [""; 0]);
    let text = page(OTHER).send(&server, "POST", "/exec", &exec).text();
    assert!(text.contains(OTHER) && text.contains("cors_origins"), "{text}");
}

#[test]
fn an_empty_list_allows_no_page_and_the_default_all() {
    let closed = Server::start_with_environment(&[("LIVECODE_CORS_ORIGINS", "")]);
    assert_eq!(cors_headers(&preflight(&closed, LEARN)), [""; 0]);
    assert_eq!(page(LEARN).stream(&closed, "/livecode").err(), Some(403));
    let open = Server::start();
    for origin in [LEARN, "null"] {
        assert_eq!(preflight(&open, origin).header("access-control-allow-origin"), Some("*"));
        // A course site of version 0.1 may send plain text.
        let exec = br#"{"runtime": "bash", "code": "echo hello"}"#;
        let plain = page(origin).with("content-type", "text/plain");
        assert_eq!(open.request("POST", "/exec", &plain.borrowed(), exec).text(), "hello\n");
        assert!(page(origin).stream(&open, "/livecode").is_ok());
    }
}

#[test]
fn a_page_with_a_users_token_needs_an_allowed_origin_too() {
    let server = Server::start_with(&["--auth", "tokens", "--cors-origins", LEARN]);
    let token = new_token(&server, &["ada"]);
    let ada = User::with(&server, &token);
    let with_token = |origin| page(origin).with("authorization", ada.authorization.clone());
    with_token(LEARN).create(&server, "true");
    let body = json!({"runtime": "bash", "code": "true"}).to_string();
    assert_eq!(with_token(OTHER).send(&server, "POST", "/sessions", &body).status, 403);
    assert_eq!(ada.ids().len(), 1);
}

#[test]
fn what_is_no_origin_stops_the_start() {
    let data = tempfile::tempdir().expect("a temporary folder is created");
    for (origins, right) in [
        ("https://learn.example/", "https://learn.example"),
        ("https://Learn.example:443", "https://learn.example"),
        ("learn.example", "is not an origin, such as https://"),
        ("https://*.example", "list each origin"),
        ("*,https://learn.example", "stands alone"),
        ("null", "leave it out"),
    ] {
        let mut command = Command::new(binary());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path().join("data"));
        command.env("LIVECODE_CORS_ORIGINS", origins).stdin(Stdio::null());
        let output = command.output().expect("the binary starts");
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{origins}: {printed}");
        assert!(printed.contains(right) && printed.contains("CORS_ORIGINS"), "{origins}: {printed}");
    }
}
