//! Pages of `/embed`, which other sites show in frames: their sandbox, the pages that may show them,
//! and what they may do.

use serde_json::json;

use super::Browser;
use crate::common::{Server, eventually, id};

const LEARN: &str = "https://learn.example";
const OTHER: &str = "https://other.example";

/// A browser in which a page of `/embed` was loaded, as the client with this address that a proxy
/// tells, and the pass of the page.
fn load(server: &Server, address: &str) -> (Browser, String) {
    let client = Browser::default().with("x-forwarded-for", address);
    let answer = client.send(server, "GET", "/embed?runtime=bash", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let (_, rest) = text.split_once("name=\"livecode-pass\" content=\"").expect("a pass");
    let pass = rest.split('"').next().expect("a pass").to_owned();
    let frame = client.with("origin", "null").with("sec-fetch-site", "cross-site");
    (frame.with("authorization", format!("Bearer {pass}")), pass)
}

/// The sources of a directive in the policy of `/embed`; `None` if it is not there.
fn directive(server: &Server, name: &str) -> Option<String> {
    let answer = server.get("/embed");
    let policy = answer.header("content-security-policy").expect("a policy").to_owned();
    let mut parts = policy.split("; ").filter_map(|part| part.split_once(' '));
    parts.find(|(own, _)| *own == name).map(|(_, sources)| sources.to_owned())
}

#[test]
fn the_page_for_frames_is_in_a_sandbox_and_names_the_pages_that_may_show_it() {
    let server = Server::start_with(&["--local-user", "none"]);
    let answer = server.get("/embed?runtime=bash&unknown");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(directive(&server, "sandbox").as_deref(), Some("allow-scripts"));
    assert_eq!(directive(&server, "default-src").as_deref(), Some("'none'"));
    let files = format!("'self' {}", server.address());
    assert_eq!(directive(&server, "script-src"), Some(files.clone()));
    let streams = format!("{files} ws://{0} wss://{0}", server.address());
    assert_eq!(directive(&server, "connect-src"), Some(streams));
    let text = answer.text();
    assert!(!text.contains(" style=") && !text.contains("<style"), "{text}");
    for name in text.split('"').filter(|part| part.starts_with("static/")) {
        assert_eq!(server.get(&format!("/{name}")).status, 200, "{name}");
    }
    assert_eq!(directive(&server, "frame-ancestors"), None, "any page may");
    // A host that is none is not repeated.
    let strange = server.request("GET", "/embed", &[("host", "127.0.0.1:80; script-src *")], &[]);
    assert!(!strange.header("content-security-policy").is_some_and(|policy| policy.contains('*')));
    let server = Server::start_with(&["--cors-origins", &format!("{LEARN},http://127.0.0.1:3000")]);
    let both = format!("{LEARN} http://127.0.0.1:3000");
    assert_eq!(directive(&server, "frame-ancestors"), Some(both));
    let server = Server::start_with(&["--cors-origins", LEARN, "--frame-ancestors", OTHER]);
    assert_eq!(directive(&server, "frame-ancestors").as_deref(), Some(OTHER));
    let server = Server::start_with(&["--frame-ancestors", ""]);
    assert_eq!(directive(&server, "frame-ancestors").as_deref(), Some("'none'"));
    let server = Server::start_with(&["--cors-origins", LEARN, "--frame-ancestors", "*"]);
    assert_eq!(directive(&server, "frame-ancestors"), None);
}

#[test]
fn a_frame_is_a_guest_of_its_own() {
    for flags in [&[][..], &["--cors-origins", LEARN], &["--local-user", "none", "--cors-origins", ""]] {
        let server = Server::start_with(flags);
        let (frame, _) = load(&server, "");
        let (other, _) = load(&server, "");
        let session = frame.create(&server, "echo hello");
        let path = format!("/sessions/{}", id(&session));
        assert_eq!(frame.ids(&server), [id(&session)]);
        assert_eq!((frame.status(&server, "GET", &path), other.status(&server, "GET", &path)), (200, 404));
        // A browser sends no header with a websocket, so the ticket says who opens it.
        let stream = session["links"]["stream"].as_str().expect("a link");
        let (_, stream) = stream.split_once(server.address()).expect("an address");
        let page = Browser::default().with("origin", "null").with("sec-fetch-site", "cross-site");
        let mut stream = page.stream(&server, stream).expect("a stream");
        while stream.next().is_some_and(|message| message["msgtype"] != "exitstatus") {}
        // The local user's sessions are not for frames.
        let own = id(&server.create(&json!({"runtime": "bash", "code": "true"})));
        if !flags.contains(&"none") {
            assert_eq!(frame.status(&server, "GET", &format!("/sessions/{own}")), 404);
        }
        assert_eq!(frame.status(&server, "DELETE", &path), 204);
    }
}

#[test]
fn only_the_frames_of_this_server_use_one_that_lists_origins() {
    let flags = ["--trusted-proxy", "127.0.0.1", "--allow-anonymous", "--cors-origins", LEARN];
    let server = Server::start_with(&flags);
    let (frame, pass) = load(&server, "192.0.2.7");
    let (token, signature) = pass.split_once('.').expect("a signature");
    let body = json!({"runtime": "bash", "code": "echo hello"}).to_string();
    let readable = |answer: &crate::common::http::Response| {
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    let created = frame.send(&server, "POST", "/sessions", &body);
    assert_eq!((created.status, readable(&created).as_deref()), (201, Some("null")));
    let session = created.json();
    assert_eq!(frame.send(&server, "POST", "/exec", &body).text(), "hello\n");
    let frames = [
        frame.with("authorization", format!("Bearer {token}")),
        frame.with("authorization", format!("Bearer {token}.")),
        frame.with("authorization", format!("Bearer {}.{signature}", "0".repeat(32))),
        frame.with("authorization", "Bearer undefined"),
        // A site has fetched a pass, and has handed it to a visitor.
        frame.with("x-forwarded-for", "192.0.2.8"),
        // The pass is for pages in a sandbox alone.
        frame.with("origin", OTHER),
    ];
    for other in frames {
        let answer = other.send(&server, "POST", "/sessions", &body);
        answer.problem_with_code(403, "origin_not_allowed");
        assert_eq!(readable(&answer), None, "{other:?}");
        assert_eq!(readable(&other.send(&server, "GET", "/runtimes", "")), None, "{other:?}");
    }
    // A ticket for a session opens its stream, and nothing else.
    let stream = session["links"]["stream"].as_str().expect("a link");
    let (_, ticket) = stream.split_once("?ticket=").expect("a ticket");
    let page = Browser::default().with("origin", "null");
    let stream_of = |id: &str, ticket: &str| {
        page.stream(&server, &format!("/sessions/{id}/stream?ticket={ticket}")).err()
    };
    assert_eq!(stream_of(&id(&session), ticket), None);
    assert_eq!(stream_of(&id(&session), &ticket.replace('.', ".A")), Some(403));
    assert_eq!(stream_of(&"0".repeat(32), ticket), Some(403));
    assert_eq!(page.stream(&server, &format!("/livecode?ticket={ticket}")).err(), Some(403));
    // The page loads its scripts as modules, for which browsers ask with its origin.
    let script = page.send(&server, "GET", "/static/livecode-embed.js", "");
    assert_eq!((script.status, readable(&script).as_deref()), (200, Some("null")));
    assert_eq!(readable(&page.send(&server, "GET", "/embed", "")), None, "no page reads a pass");
}

#[test]
fn a_pass_expires() {
    let server = Server::start_with(&[
        "--allow-anonymous",
        "--cors-origins",
        LEARN,
        "--frame-pass-lifetime-ms",
        "1000",
    ]);
    let (frame, _) = load(&server, "");
    eventually("the pass is not good any more", || {
        (frame.status(&server, "DELETE", "/sessions/0") == 403).then_some(())
    });
    eventually("a page that was loaded just now is taken", || {
        (load(&server, "").0.status(&server, "DELETE", "/sessions/0") != 403).then_some(())
    });
}

#[test]
fn a_server_that_knows_its_users_gives_frames_no_pass() {
    let server = Server::start_with(&["--auth", "tokens"]);
    let text = server.get("/embed").text();
    assert!(text.contains("name=\"livecode-pass\" content=\"\""), "{text}");
}
