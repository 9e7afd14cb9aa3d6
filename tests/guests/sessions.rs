//! The sessions of guests: private if the guest keeps something that names it, and otherwise for
//! those who know the id.

use std::fs;

use serde_json::{Value, json};

use super::{ASKS, Browser, start};
use crate::{
    common::{Run, Server, Stream, id},
    users::stream_path,
};

/// Every route and method for a session, from the server's own document.
fn routes_of_sessions(server: &Server) -> Vec<(String, String)> {
    let document = server.get("/openapi.json").json();
    let paths = document["paths"].as_object().expect("paths");
    let of_sessions = paths.iter().filter_map(|(path, methods)| {
        let rest = path.strip_prefix("/sessions/{id}")?.replace("{share}", "0123456789ab");
        Some((rest, methods.as_object().expect("methods")))
    });
    let routes = of_sessions.flat_map(|(rest, methods)| {
        methods.keys().map(move |method| (method.to_uppercase(), rest.clone())).collect::<Vec<_>>()
    });
    routes.collect()
}

/// Checks that every route says the same to a caller about a session as about none.
fn is_hidden(server: &Server, caller: &Browser, session: &str) {
    let none = "0".repeat(32);
    let routes = routes_of_sessions(server);
    assert!(routes.len() >= 6, "{routes:?}");
    for (method, rest) in &routes {
        let body = if method == "POST" { r#"{"rights":"join"}"# } else { "" };
        let answer = |id: &str| {
            let answer = caller.send(server, method, &format!("/sessions/{id}{rest}"), body);
            (answer.status, answer.try_json())
        };
        assert_eq!(answer(session), answer(&none), "{method} {rest} {caller:?}");
        assert_eq!(answer(session).0, 404, "{method} {rest} {caller:?}");
    }
    let accept = |kind| caller.with("accept", kind);
    let requests = [
        ("GET", "/stream", accept("text/event-stream")),
        ("GET", "/stream?after=0", accept("application/x-ndjson")),
    ];
    for (method, rest, caller) in requests {
        let answer = |id: &str| {
            let answer = caller.send(server, method, &format!("/sessions/{id}{rest}"), "");
            (answer.status, answer.try_json())
        };
        assert_eq!(answer(session), answer(&none), "{method} {rest} {caller:?}");
        assert_eq!(answer(session).0, 404, "{method} {rest} {caller:?}");
    }
    let websocket = caller.stream(server, &format!("/sessions/{session}/stream"));
    assert_eq!(websocket.err(), Some(404), "{caller:?}");
    assert!(!caller.ids(server).contains(&session.to_owned()));
}

#[test]
fn a_guests_session_is_its_own() {
    let mut server = start();
    let (ada, page) = (Browser::with_token('a'), Browser::at_page(&server));
    let made: Vec<_> = [&ada, &page].map(|guest| guest.create(&server, ASKS)).into();
    let others = [
        Browser::default(),
        Browser::with_token('b'),
        Browser::at_page(&server),
        Browser::default().with("origin", "https://elsewhere.example"),
    ];
    for (session, owner) in made.iter().zip([&ada, &page]) {
        for other in &others {
            is_hidden(&server, other, &id(session));
        }
        assert_eq!(owner.ids(&server), [id(session)]);
    }
    is_hidden(&server, &page, &id(&made[0]));
    is_hidden(&server, &ada, &id(&made[1]));
    // So it is after a restart.
    server.stop();
    server.start_again();
    for other in &others {
        is_hidden(&server, other, &id(&made[0]));
    }
    for (session, owner) in made.iter().zip([&ada, &page]) {
        let path = format!("/sessions/{}", id(session));
        assert_eq!(owner.status(&server, "GET", &path), 200);
        let mut stream = owner.stream(&server, &format!("{path}/stream")).expect("the owner may watch");
        stream.read_until("started");
        stream.send(&json!({"msgtype": "input", "data": "it\n"}));
        stream.read_until("got it");
        assert_eq!(owner.status(&server, "DELETE", &path), 204);
    }
}

#[test]
fn the_link_of_a_guest_with_a_token_has_a_ticket() {
    let mut server = start();
    let ada = Browser::with_token('a');
    let (session, other) = (ada.create(&server, ASKS), ada.create(&server, ASKS));
    let path = stream_path(&session);
    let (_, ticket) = path.split_once("?ticket=").expect("a ticket");
    // A browser opens the websocket without the token, from a page of any origin.
    let page = Browser::default().with("origin", "https://elsewhere.example");
    server.kill();
    server.start_again();
    let mut stream = page.stream(&server, &path).expect("the ticket opens it");
    stream.read_until("started");
    stream.send(&json!({"msgtype": "input", "data": "it\n"}));
    stream.read_until("got it");
    assert_eq!(Run::collect(page.stream(&server, &path).expect("it opens it again")).exitstatus, 0);
    // It opens nothing else.
    let own = format!("/sessions/{}", id(&session));
    for (method, path) in [
        ("GET", format!("{own}?ticket={ticket}")),
        ("DELETE", format!("{own}?ticket={ticket}")),
        ("GET", format!("/sessions/{}?ticket={ticket}", id(&other))),
    ] {
        assert_eq!(page.status(&server, method, &path), 404, "{method} {path}");
    }
    let listed = page.send(&server, "GET", &format!("/sessions?ticket={ticket}"), "");
    assert_eq!(listed.text(), "[]");
    for wrong in [
        format!("/sessions/{}/stream?ticket={ticket}", id(&other)),
        format!("{path}x"),
        path.replace("ticket=", "ticket=x"),
        format!("{own}/stream?ticket="),
    ] {
        let status = page.stream(&server, &wrong).err();
        assert!([Some(401), Some(404)].contains(&status), "{wrong}: {status:?}");
    }
    // The token says who the guest is, also beside a wrong ticket, and so does the cookie.
    assert!(ada.stream(&server, &format!("{own}/stream?ticket=x")).is_ok());
}

#[test]
fn a_ticket_of_a_guest_ends() {
    let server = Server::start_with(&["--local-user", "none", "--ticket-lifetime-ms", "1000"]);
    let ada = Browser::with_token('a');
    let session = ada.create(&server, ASKS);
    let path = stream_path(&session);
    let open = || Stream::try_connect(server.address(), &path, &[]);
    crate::common::eventually("the ticket expires", || open().err());
    let renewed = ada.send(&server, "GET", &format!("/sessions/{}", id(&session)), "").json();
    assert!(Stream::try_connect(server.address(), &stream_path(&renewed), &[]).is_ok());
}

/// Every line of the document of protocol v0.2, by a client that keeps neither a token nor a cookie.
#[test]
fn a_plain_client_needs_only_the_id() {
    let server = start();
    let json = [("content-type", "application/json")];
    let body = json!({"runtime": "bash", "code": ASKS}).to_string();
    let created = server.request("POST", "/sessions", &json, body.as_bytes());
    assert_eq!(created.status, 201);
    assert_eq!(created.header("set-cookie"), None);
    let document = created.json();
    let session = id(&document);
    let url = format!("http://{}/sessions/{session}", server.address());
    assert_eq!(created.header("location"), Some(&*url));
    assert!(document["created"].is_string() && document["elapsed"].is_number(), "{document}");
    let links = json!({"self": url, "stream": url.replace("http:", "ws:") + "/stream"});
    assert_eq!(document["links"], links);

    let path = format!("/sessions/{session}");
    let found = server.get(&path).json();
    assert_eq!((&found["id"], &found["links"]), (&document["id"], &links));
    assert_eq!(server.get("/sessions").status, 200);
    let mut stream = server.websocket(&format!("{path}/stream"));
    stream.read_until("started");
    // Others who are given the id may use it, too.
    let mut other = Browser::with_token('b').stream(&server, &format!("{path}/stream")).expect("by id");
    other.send(&json!({"msgtype": "input", "data": "it\n"}));
    stream.read_until("got it");
    assert_eq!(server.delete(&path).status, 204);
    // The token in the answer names the guest from then on, if it wants to be named.
    let created = server.request("POST", "/sessions", &json, body.as_bytes()).json();
    let token = created["token"].as_str().expect("a token");
    let named = Browser::default().with("authorization", format!("Bearer {token}"));
    assert_eq!(named.ids(&server), [id(&created)]);
    let private = id(&named.create(&server, "true"));
    is_hidden(&server, &Browser::default(), &private);
}

/// A record that an older server has written does not say whose alone the session is.
#[test]
fn the_sessions_of_an_older_server_stay_usable_by_their_ids() {
    let mut server = start();
    let ada = Browser::with_token('a');
    let (older, newer) = (id(&ada.create(&server, ASKS)), id(&ada.create(&server, ASKS)));
    let path = format!("/sessions/{older}");
    let mut stream = ada.stream(&server, &format!("{path}/stream")).expect("the owner may watch");
    stream.read_until("started");
    server.stop();
    let record = server.data().join("sessions").join(&older).join("session.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&record).expect("the record")).expect("JSON");
    let fields = json.as_object_mut().expect("an object");
    assert_eq!(fields.remove("is_private"), Some(json!(true)));
    fs::write(&record, json.to_string()).expect("the record can be written");
    server.start_again();
    let mut stream = server.websocket(&format!("{path}/stream"));
    stream.send(&json!({"msgtype": "input", "data": "it\n"}));
    stream.read_until("got it");
    assert_eq!(server.get(&path).status, 200);
    assert_eq!(ada.ids(&server), [newer.clone(), older.clone()], "they are their owner's all the same");
    assert_eq!(server.delete(&path).status, 204);
    is_hidden(&server, &Browser::default(), &newer);
}
