//! The cookie by which the browser of a guest is known.

use std::io::{Read as _, Write as _};

use serde_json::json;

use super::{ASKS, Browser, start};
use crate::{
    common::{
        Server, id,
        proxy::{Authority, Proxy},
    },
    users::stream_path,
};

/// The name and value of the cookie that the page sets in an empty browser.
fn new_cookie(server: &Server) -> String {
    Browser::at_page(server).header("cookie").to_owned()
}

#[test]
fn a_browser_is_known_by_its_cookie() {
    let mut server = start();
    let page = server.get("/");
    let set = page.header("set-cookie").expect("the page sets a cookie");
    let (pair, rest) = set.split_once("; ").expect("attributes");
    assert!(pair.starts_with("livecode-guest="), "{set}");
    assert_eq!(rest, "Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax");
    assert_eq!(page.header("cache-control"), Some("private, no-cache"));

    let ada = Browser::at_page(&server);
    let session = ada.create(&server, ASKS);
    assert_eq!(session["token"], json!(null), "the cookie names the guest");
    let path = stream_path(&session);
    assert!(!path.contains('?'), "the browser sends the cookie with a websocket: {path}");
    assert_eq!(ada.ids(&server), [id(&session)]);
    let mut stream = ada.stream(&server, &path).expect("the owner may watch");
    stream.read_until("started");
    stream.send(&json!({"msgtype": "input", "data": "it\n"}));
    stream.read_until("got it");
    let keyed = ada.with("idempotency-key", "k");
    assert_eq!(id(&keyed.create(&server, "true")), id(&keyed.create(&server, "true")));

    // It is the same guest after a crash of the server, and each visit renews the cookie.
    server.kill();
    server.start_again();
    assert_eq!(ada.ids(&server).len(), 2);
    let again = ada.send(&server, "GET", "/", "");
    assert_eq!(again.header("set-cookie"), Some(&*format!("{}; {rest}", ada.header("cookie"))));
    assert_eq!(ada.send(&server, "GET", "/runtimes", "").header("set-cookie"), None);
    let other = Browser::at_page(&server);
    assert_eq!(other.ids(&server), [""; 0]);
    assert_eq!(other.status(&server, "GET", &format!("/sessions/{}", id(&session))), 404);
    // The files and figures of the server are for caches, too.
    for path in ["/static/livecode.js", "/healthz", "/livez", "/openapi.json"] {
        let own = Browser::default().with("sec-fetch-site", "same-origin");
        assert_eq!(own.send(&server, "GET", path, "").header("set-cookie"), None, "{path}");
    }
}

#[test]
fn a_page_that_has_no_cookie_yet_gets_one_with_its_first_request() {
    let server = start();
    let own = format!("http://{}", server.address());
    let pages = [
        Browser::default().with("sec-fetch-site", "same-origin"),
        Browser::default().with("origin", own),
        Browser::default().with("x-requested-with", "livecode"),
    ];
    for page in pages {
        let answer = page.send(&server, "GET", "/runtimes", "");
        let set = answer.header("set-cookie").unwrap_or_else(|| panic!("{page:?}"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let known = page.with("cookie", set.split(';').next().expect("a cookie"));
        let session = id(&known.create(&server, "true"));
        assert_eq!(known.ids(&server), [session], "{page:?}");
    }
    // Plain clients are asked to keep nothing, and pages of others get nothing.
    for other in [
        Browser::default(),
        Browser::default().with("origin", "https://elsewhere.example"),
        Browser::default().with("sec-fetch-site", "cross-site").with("x-requested-with", "x"),
        Browser::with_token('a').with("sec-fetch-site", "same-origin"),
    ] {
        assert_eq!(other.send(&server, "GET", "/runtimes", "").header("set-cookie"), None, "{other:?}");
    }
    // Nor does a frame of another page, or the browser of the local user.
    let frame = Browser::default().with("sec-fetch-dest", "iframe").with("sec-fetch-site", "cross-site");
    assert_eq!(frame.send(&server, "GET", "/", "").header("set-cookie"), None);
    let local = Server::start();
    for site in ["none", "cross-site"] {
        let page = Browser::default().with("sec-fetch-site", site);
        assert_eq!(page.send(&local, "GET", "/", "").header("set-cookie"), None, "{site}");
    }
}

/// Requests that a page of another origin can have a browser send: with the cookie, since browsers
/// take other ports and subdomains for the same site, and some send it to all.
#[test]
fn a_page_of_another_origin_never_acts_by_the_cookie() {
    let server = start();
    let ada = Browser::at_page(&server);
    let session = id(&ada.create(&server, ASKS));
    let (path, stream) = (format!("/sessions/{session}"), format!("/sessions/{session}/stream"));
    let bare = Browser::default().with("cookie", ada.header("cookie"));
    let port = server.address().rsplit(':').next().expect("a port").to_owned();
    let own = format!("http://127.0.0.1:{port}");
    let neighbour = format!("http://127.0.0.1:{}", port.parse::<u16>().expect("a number") ^ 1);
    let mut pages = vec![
        bare.clone(),
        bare.with("sec-fetch-site", "same-site"),
        bare.with("sec-fetch-site", "cross-site").with("x-requested-with", "livecode"),
        bare.with("sec-fetch-site", "same-site").with("origin", own.clone()),
    ];
    let origins = [
        "https://elsewhere.example",
        "null",
        "",
        &neighbour,
        "http://127.0.0.1",
        &format!("http://localhost:{port}"),
        &format!("{own}.elsewhere.example"),
    ];
    pages.extend(origins.map(|origin| bare.with("origin", origin).with("x-requested-with", "livecode")));
    for page in &pages {
        assert_eq!(page.ids(&server), [""; 0], "{page:?}");
        for method in ["GET", "DELETE"] {
            assert_eq!(page.status(&server, method, &path), 404, "{method} {page:?}");
        }
        assert_eq!(page.stream(&server, &stream).err(), Some(404), "{page:?}");
        for accept in ["text/event-stream", "application/x-ndjson"] {
            assert_eq!(page.with("accept", accept).status(&server, "GET", &stream), 404, "{page:?}");
        }
        let made = page.create(&server, "true");
        assert!(made["token"].is_string(), "it is not the session of the cookie: {page:?}");
        let answer = page.send(&server, "GET", "/sessions", "");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(answer.header("set-cookie"), None, "{page:?}");
    }
    assert_eq!(ada.ids(&server), [&*session], "nothing was done in the guest's name");
    // A script of the own page counts also where the browser says no more about it.
    assert_eq!(bare.with("x-requested-with", "livecode").ids(&server), [session]);
}

#[test]
fn a_wrong_cookie_is_replaced_and_is_no_guess() {
    let (server, other) = (start(), start());
    let ada = Browser::at_page(&server);
    let cookie = ada.header("cookie");
    ada.create(&server, "true");
    let (name, value) = cookie.split_once('=').expect("a value");
    let (number, signature) = value.split_once('.').expect("a signature");
    let flipped = if number.starts_with('0') { "1" } else { "0" };
    let wrong = [
        format!("{name}="),
        format!("{name}=x"),
        format!("{name}={number}"),
        format!("{name}={number}."),
        format!("{name}={flipped}{}.{signature}", &number[1..]),
        format!("{name}={value}x"),
        format!("__Host-{cookie}"),
        new_cookie(&other),
        format!("{cookie}; {}", new_cookie(&server)),
    ];
    for wrong in &wrong {
        let answer = ada.with("cookie", wrong.as_str()).send(&server, "GET", "/sessions", "");
        assert_eq!((answer.status, answer.text().as_str()), (200, "[]"), "{wrong}");
        let set = answer.header("set-cookie").unwrap_or_else(|| panic!("not replaced: {wrong}"));
        assert!(!wrong.contains(set.split(';').next().expect("a cookie")), "{set}");
    }
    let wrong = ada.with("cookie", &*wrong[4]);
    for _ in 0..700 {
        assert_eq!(wrong.status(&server, "GET", "/sessions"), 200);
    }
    assert_eq!(wrong.status(&server, "GET", &format!("/sessions/{}", "0".repeat(32))), 404, "it is no guess");
    // Its number is no token.
    let as_token = Browser::default().with("authorization", format!("Bearer {number}"));
    assert_eq!(as_token.ids(&server), [""; 0]);
}

#[test]
fn by_tls_the_cookie_is_for_tls_alone() {
    let arguments = ["--trusted-proxy", "127.0.0.1", "--host", "live.example", "--allow-anonymous"];
    let server = Server::start_with(&arguments);
    let host = |scheme| {
        Browser::default().with("x-forwarded-proto", scheme).with("x-forwarded-host", "live.example")
    };
    let set = |page: &Browser| {
        let answer = page.send(&server, "GET", "/", "");
        answer.header("set-cookie").expect("a cookie").to_owned()
    };
    let secure = set(&host("https"));
    assert!(secure.starts_with("__Host-livecode-guest=") && secure.ends_with("; Secure"), "{secure}");
    assert!(secure.contains("; Path=/;") && !secure.contains("Domain"), "{secure}");
    let cookie = secure.split(';').next().expect("a cookie");
    let page = host("https").with("cookie", cookie);
    let ada = page.with("origin", "https://live.example");
    let session = id(&ada.create(&server, "true"));
    assert_eq!(ada.ids(&server), [session]);
    assert_eq!(page.with("origin", "http://live.example").ids(&server), [""; 0], "a page without TLS");
    // The cookie of the page without TLS is another one, which counts there alone.
    let plain = set(&host("http"));
    assert!(plain.starts_with("livecode-guest=") && !plain.contains("Secure"), "{plain}");
    let plain = plain.split(';').next().expect("a cookie");
    assert!(ada.with("cookie", plain).create(&server, "true")["token"].is_string());

    // A real proxy, set up as the documentation says.
    let proxied = Server::start_with(&["--trusted-proxy", "127.0.0.1", "--allow-anonymous"]);
    let authority = Authority::new();
    let nginx = Proxy::nginx(proxied.address(), &authority, "server");
    let mut tls = nginx.connect(&authority, crate::common::wait_timeout());
    tls.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    let _ = tls.read_to_string(&mut answer);
    assert!(answer.to_ascii_lowercase().contains("set-cookie: __host-livecode-guest="), "{answer}");
}

#[test]
fn a_token_wins_over_the_cookie() {
    let server = start();
    let ada = Browser::at_page(&server);
    let of_cookie = id(&ada.create(&server, "true"));
    let with_token = ada.with("authorization", format!("Bearer {}", "a".repeat(32)));
    let of_token = id(&with_token.create(&server, "true"));
    assert_eq!(with_token.ids(&server), [of_token.as_str()]);
    assert_eq!(ada.ids(&server), [of_cookie.as_str()]);
    assert_eq!(with_token.status(&server, "GET", &format!("/sessions/{of_cookie}")), 404);
    // A header that is no token of a guest changes nothing.
    for authorization in ["Bearer undefined", "Basic YWRhOng="] {
        assert_eq!(ada.with("authorization", authorization).ids(&server), [of_cookie.as_str()]);
    }
}

#[test]
fn one_more_cookie_gives_no_portion_more() {
    let server = Server::start_with(&["--local-user", "none", "--guest-creations-per-min", "2"]);
    let body = json!({"runtime": "bash", "code": "true"}).to_string();
    let create = |_| Browser::at_page(&server).send(&server, "POST", "/sessions", &body).status;
    assert_eq!([0, 1, 2, 3].map(create), [201, 201, 429, 429]);
}

/// On a page without TLS beyond loopback, a browser sends `Origin` with a POST and nothing with a
/// GET. A page that was made for any v0.2 server adds no header of its own.
#[test]
fn a_page_whose_gets_do_not_show_the_guest_can_use_its_session() {
    let server = start();
    let cookie = new_cookie(&server);
    let get = Browser::default().with("cookie", cookie.as_str());
    let post = get.with("origin", format!("http://{}", server.address()));
    let script = "x-requested-with";
    for (post, is_private) in [(post.clone(), false), (post.with(script, "livecode"), true)] {
        let document = post.create(&server, "true");
        assert!(document["token"].is_null(), "{document}");
        let session = id(&document);
        let path = format!("/sessions/{session}");
        assert_eq!(get.status(&server, "GET", &path), if is_private { 404 } else { 200 });
        let events =
            get.with("accept", "text/event-stream").status(&server, "GET", &format!("{path}/stream"));
        assert_eq!(events, if is_private { 404 } else { 200 });
        assert!(get.with(script, "livecode").ids(&server).contains(&session), "it is the guest's own");
    }
}

#[test]
fn a_server_that_cannot_keep_its_keys_replaces_no_cookie() {
    let mut server = start();
    let ada = Browser::at_page(&server);
    let session = id(&ada.create(&server, "true"));
    server.stop();
    // The journal of the database may have more than its file.
    let [store, journal, index] = ["", "-wal", "-shm"].map(|end| format!("control.sqlite{end}"));
    let aside = tempfile::tempdir().expect("a temporary folder is created");
    for name in [&store, &journal] {
        // Without a journal all is in the file.
        let _ = std::fs::rename(server.data().join(name), aside.path().join(name));
    }
    let _ = std::fs::remove_file(server.data().join(index));
    std::fs::write(server.data().join(&store), "damaged").expect("own file");
    server.start_again();
    let without = ada.with("cookie", "");
    for browser in [&ada, &without] {
        for path in ["/", "/runtimes"] {
            let answer = browser.send(&server, "GET", path, "");
            assert_eq!((answer.status, answer.header("set-cookie")), (200, None), "{path}");
        }
    }
    assert_eq!(ada.ids(&server), [""; 0], "the cookie cannot be checked");
    server.stop();
    std::fs::copy(aside.path().join(&store), server.data().join(&store)).expect("own file");
    let _ = std::fs::copy(aside.path().join(&journal), server.data().join(&journal));
    server.start_again();
    assert_eq!(ada.ids(&server), [session]);
}
