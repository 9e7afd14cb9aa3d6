//! Links by which the owner of a session lets others watch or join it: what they open, what they do
//! not, and when they end.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    common::{
        Run, Server, Stream, binary, eventually,
        guest::Guest,
        http::Lines,
        id,
        logged::LoggedServer,
        proxy::{Authority, Proxy},
    },
    users::{SLEEPER, User, crc32c, new_token, stream_path, token_command},
};

/// A server with tokens, and one that takes guests and has a local user.
fn servers() -> [Server; 2] {
    [Server::start_with(&["--auth", "tokens"]), Server::start()]
}

/// The owner of sessions: a user with a token, or the local user of a server for guests.
struct Owner<'s> {
    server: &'s Server,
    authorization: Option<String>,
}

impl<'s> Owner<'s> {
    fn of(server: &'s Server) -> Self {
        let asks_for_tokens = server.data().join("admin.sock").exists();
        let token = asks_for_tokens.then(|| format!("Bearer {}", new_token(server, &["ada"])));
        Self { server, authorization: token }
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let authorization = self.authorization.iter().map(|value| ("authorization", value.as_str()));
        let headers: Vec<_> = authorization.chain([("content-type", "application/json")]).collect();
        let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
        let response = self.server.request(method, path, &headers, &body);
        (response.status, response.try_json().unwrap_or_default())
    }

    fn create(&self, code: &str) -> String {
        let (status, document) = self.request("POST", "/sessions", &json!({"runtime": "bash", "code": code}));
        assert_eq!(status, 201, "{document}");
        id(&document)
    }

    fn stream(&self, session: &str) -> Stream {
        let headers: Vec<_> =
            self.authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        let path = format!("/sessions/{session}/stream");
        Stream::try_connect(self.server.address(), &path, &headers).expect("the owner may watch")
    }

    fn share_for(&self, session: &str, request: &Value) -> Share {
        let (status, document) = self.request("POST", &format!("/sessions/{session}/shares"), request);
        assert_eq!(status, 201, "{document}");
        let link = document["link"].as_str().expect("a link");
        let (page, secret) = link.split_once("#share=").expect("the secret is in the fragment");
        assert_eq!(page, self.server.url("/"));
        Share { id: id(&document), secret: secret.to_owned() }
    }

    fn share(&self, session: &str, rights: &str) -> Share {
        self.share_for(session, &json!({ "rights": rights }))
    }

    fn revoke(&self, session: &str, share: &Share) -> u16 {
        self.request("DELETE", &format!("/sessions/{session}/shares/{}", share.id), &Value::Null).0
    }
}

/// A share, and the secret in its link.
struct Share {
    id: String,
    secret: String,
}

/// Exchanges a secret, without any other credential.
fn redeem(server: &Server, secret: &str) -> (u16, Value) {
    let response = server.post("/shares/redeem", &json!({ "secret": secret }));
    assert_eq!(
        response.header("cache-control").is_some_and(|value| value == "no-store"),
        response.status == 200
    );
    (response.status, response.json())
}

/// The path of the stream that a secret opens.
fn shared_stream(server: &Server, secret: &str) -> String {
    let (status, document) = redeem(server, secret);
    assert_eq!(status, 200, "{document}");
    stream_path(&document)
}

fn lines(server: &Server, path: &str, accept: &str) -> Lines {
    server.lines("GET", path, &[("accept", accept)], &[])
}

#[test]
fn who_has_a_link_to_watch_only_watches() {
    for server in servers() {
        let owner = Owner::of(&server);
        let session = owner.create(SLEEPER);
        let share = owner.share(&session, "watch");
        assert!(share.secret.starts_with("livecode_share_") && share.secret.len() == 63, "{}", share.secret);
        let (status, document) = redeem(&server, &share.secret);
        assert_eq!(status, 200, "{document}");
        assert_eq!((id(&document), &document["rights"]), (session.clone(), &json!("watch")));
        assert!(document["expires"].is_string() && document["state"].is_string(), "{document}");
        let path = stream_path(&document);
        let mut watcher = server.websocket(&format!("{path}&after=0&notices=1"));
        watcher.read_until("started");
        for (number, message) in [
            json!({"msgtype": "input", "data": "watcher\n"}),
            json!({"msgtype": "input", "data": "", "eof": true}),
            json!({"msgtype": "event", "event": "click", "data": null}),
            json!({"msgtype": "signal", "signal": "kill"}),
        ]
        .iter_mut()
        .enumerate()
        {
            message["id"] = number.into();
            watcher.send(message);
            let error = watcher.next_of("error");
            assert_eq!(
                (&error["code"], &error["msg"]["id"]),
                (&json!("forbidden"), &message["id"]),
                "{error}"
            );
        }
        watcher.send(&json!({"msgtype": "ping"}));
        watcher.next_of("pong");
        let mut own = owner.stream(&session);
        own.send(&json!({"msgtype": "input", "data": "owner\n"}));
        watcher.read_until("got owner");
        assert_eq!(Run::collect(watcher).exitstatus, 0);
        // A session that has ended can be watched, too, in each form of a stream.
        for accept in ["text/event-stream", "application/x-ndjson"] {
            let text = lines(&server, &path, accept).collect::<Vec<_>>().join("\n");
            assert!(text.contains("got owner") && text.contains("exitstatus"), "{text}");
        }
        let resumed = lines(&server, &format!("{path}&after=1"), "application/x-ndjson");
        let resumed: Vec<_> = resumed.collect();
        assert!(resumed[0].contains(r#""seq":2"#), "{resumed:?}");
        // A ticket opens the stream of this session, and nothing else.
        let query = &path[path.find('?').expect("a ticket")..];
        let other = owner.create("echo other");
        assert_eq!(server.get(&format!("/sessions/{other}/stream{query}")).status, 401);
        assert_eq!(server.get(&format!("/livecode{query}")).status, 401);
    }
}

#[test]
fn who_has_a_link_to_join_sends_input_and_events_and_no_signals() {
    for server in servers() {
        let owner = Owner::of(&server);
        let session = owner.create(SLEEPER);
        let mut friend = server.websocket(&shared_stream(&server, &owner.share(&session, "join").secret));
        friend.read_until("started");
        friend.send(&json!({"msgtype": "signal", "signal": "kill", "id": 1}));
        let error = friend.next_of("error");
        assert_eq!(error["code"], "forbidden", "{error}");
        friend.send(&json!({"msgtype": "event", "event": "click", "data": 1, "id": 2}));
        assert_eq!(friend.next_of("ack")["id"], 2);
        friend.send(&json!({"msgtype": "input", "data": "friend\n", "id": 3}));
        friend.read_until("got friend");
        assert_eq!(Run::collect(friend).exitstatus, 0);
    }
}

#[test]
fn what_a_share_has_opened_ends_with_it() {
    for server in servers() {
        let owner = Owner::of(&server);
        let session = owner.create(SLEEPER);
        let (share, other) = (owner.share(&session, "join"), owner.share(&session, "watch"));
        let path = shared_stream(&server, &share.secret);
        let mut websocket = server.websocket(&path);
        let mut of_http =
            ["text/event-stream", "application/x-ndjson"].map(|accept| lines(&server, &path, accept));
        let mut others = server.websocket(&shared_stream(&server, &other.secret));
        websocket.read_until("started");
        others.read_until("started");
        for lines in &mut of_http {
            assert!(lines.any(|line| line.contains("started")));
        }
        assert_eq!(owner.revoke(&session, &share), 204);
        assert_eq!(redeem(&server, &share.secret).0, 404);
        assert_eq!(Stream::try_connect(server.address(), &path, &[]).err(), Some(401));
        assert_eq!(websocket.rest(), [Value::Null; 0]);
        assert_eq!(websocket.close_code(), Some(1008));
        for lines in of_http {
            assert!(!lines.into_iter().any(|line| line.contains("exitstatus")));
        }
        assert_eq!(owner.revoke(&session, &share), 404, "it is revoked");
        // Another share of the same session is as good as before, until it expires.
        let brief = owner.share_for(&session, &json!({"rights": "watch", "expires_in_s": 5}));
        let brief_path = shared_stream(&server, &brief.secret);
        let mut until_expiry = server.websocket(&brief_path);
        until_expiry.read_until("started");
        assert_eq!(until_expiry.rest(), [Value::Null; 0]);
        assert_eq!(until_expiry.close_code(), Some(1008));
        assert_eq!(redeem(&server, &brief.secret).0, 404);
        assert_eq!(Stream::try_connect(server.address(), &brief_path, &[]).err(), Some(401));
        others.send(&json!({"msgtype": "ping"}));
        others.next_of("pong");
        // With its session, all ends.
        assert_eq!(owner.request("DELETE", &format!("/sessions/{session}"), &Value::Null).0, 204);
        assert_eq!(Run::collect(others).reason.as_deref(), Some("cancelled"));
        assert_eq!(redeem(&server, &other.secret).0, 404);
    }
}

#[test]
fn all_that_opens_nothing_gets_the_same_answer() {
    for server in servers() {
        let owner = Owner::of(&server);
        let (session, gone) = (owner.create(SLEEPER), owner.create("true"));
        let revoked = owner.share(&session, "watch");
        assert_eq!(owner.revoke(&session, &revoked), 204);
        let of_gone = owner.share(&gone, "join");
        assert_eq!(owner.request("DELETE", &format!("/sessions/{gone}"), &Value::Null).0, 204);
        let expired = owner.share_for(&session, &json!({"rights": "watch", "expires_in_s": 1}));
        eventually("the share expires", || (redeem(&server, &expired.secret).0 == 404).then_some(()));
        let good = owner.share(&session, "watch").secret;
        let last = if good.ends_with('0') { '1' } else { '0' };
        let answers: Vec<_> = [
            revoked.secret,
            of_gone.secret,
            expired.secret,
            format!("{}{last}", &good[..62]),
            good.to_uppercase(),
            format!("livecode_share_{}", "0".repeat(48)),
            session.clone(),
            String::new(),
        ]
        .iter()
        .map(|secret| redeem(&server, secret))
        .collect();
        assert_eq!(answers[0].1["code"], "no_such_share");
        for answer in &answers {
            assert_eq!((answer.0, answer), (404, &answers[0]));
        }
        for wrong in [json!({}), json!({"secret": 1}), json!({"secret": good, "more": 1}), json!([])] {
            assert_eq!(server.post("/shares/redeem", &wrong).status, 422, "{wrong}");
        }
        // Callers with other credentials may redeem it, too, and a wrong token is in nobody's way.
        let headers = [("authorization", "Bearer wrong"), ("content-type", "application/json")];
        let body = json!({ "secret": good }).to_string();
        assert_eq!(server.request("POST", "/shares/redeem", &headers, body.as_bytes()).status, 200);
    }
}

#[test]
fn only_the_owner_shares() {
    let server = Server::start_with(&["--auth", "tokens"]);
    let (ada, bob) = (Owner::of(&server), User::new(&server, "bob"));
    let admin = User::with(&server, &new_token(&server, &["head", "--role", "admin"]));
    let expired = new_token(&server, &["eve", "--expires", "1s"]);
    let revoked = new_token(&server, &["mallory"]);
    assert!(token_command(server.data(), &["revoke", "mallory"]).status.success());
    eventually("the token expires", || {
        (User::with(&server, &expired).get("/runtimes").0 == 401).then_some(())
    });
    let session = ada.create(SLEEPER);
    let share = ada.share(&session, "join");
    let routes = |session: &str| {
        [
            ("POST", format!("/sessions/{session}/shares")),
            ("GET", format!("/sessions/{session}/shares")),
            ("DELETE", format!("/sessions/{session}/shares/{}", share.id)),
        ]
    };
    let body = json!({"rights": "watch"});
    let missing = "0".repeat(32);
    for ((method, path), (_, of_none)) in routes(&session).iter().zip(routes(&missing)) {
        let body = if *method == "POST" { body.clone() } else { Value::Null };
        assert_eq!(server.request(method, path, &[], body.to_string().as_bytes()).status, 401, "{path}");
        for token in [&expired, &revoked, &share.secret] {
            assert_eq!(User::with(&server, token).request(method, path, &body).0, 401, "{path}");
        }
        let of_other = bob.request(method, path, &body);
        assert_eq!(of_other.0, 404, "{path}");
        assert_eq!(of_other, bob.request(method, &of_none, &body), "no hint of the session");
        let (status, problem) = admin.request(method, path, &body);
        assert_eq!((status, &problem["code"]), (403, &json!("forbidden")), "{path}");
    }
    let (status, listed) = ada.request("GET", &format!("/sessions/{session}/shares"), &Value::Null);
    assert_eq!((status, listed.as_array().map(Vec::len)), (200, Some(1)), "{listed}");
    assert_eq!((id(&listed[0]), &listed[0]["rights"]), (share.id.clone(), &json!("join")));
    assert!(!listed.to_string().contains("livecode_share_"), "{listed}");
    // The ids of another session's shares mean nothing.
    let other = ada.create("true");
    assert_eq!(ada.revoke(&other, &share), 404);
    assert_eq!(ada.revoke(&session, &Share { id: "x".into(), secret: String::new() }), 404);
    assert_eq!(redeem(&server, &share.secret).0, 200);
    for wrong in [
        json!({}),
        json!({"rights": "own"}),
        json!({"rights": "watch", "expires_in_s": 0}),
        json!({"rights": "watch", "expires_in_s": 2_592_001}),
        json!({"rights": "watch", "for": "bob"}),
    ] {
        let path = format!("/sessions/{session}/shares");
        assert_eq!(ada.request("POST", &path, &wrong).0, 422, "{wrong}");
    }
}

#[test]
fn a_guest_shares_its_own_sessions() {
    let server = Server::start();
    let guest = Guest::at(2).with_token('a');
    let session = id(&guest.create(&server, SLEEPER));
    let path = format!("/sessions/{session}/shares");
    let body = json!({"rights": "watch"}).to_string();
    let share = guest.request(&server, "POST", &path, body.as_bytes());
    assert_eq!(share.status, 201);
    let link = share.json()["link"].as_str().expect("a link").to_owned();
    let (_, secret) = link.split_once("#share=").expect("a secret");
    assert_eq!(id(&redeem(&server, secret).1), session);
    for stranger in [Guest::at(3), Guest::at(2).with_token('b')] {
        let status = stranger.request(&server, "POST", &path, body.as_bytes()).status;
        assert!([403, 404].contains(&status), "{status}");
    }
    // The local user may see what is shared, and end it.
    let listed = server.get(&path).json();
    assert_eq!(server.delete(&format!("{path}/{}", id(&listed[0]))).status, 204);
    assert_eq!(redeem(&server, secret).0, 404);
}

#[test]
fn a_session_has_a_bounded_number_of_shares() {
    let server = Server::start_with(&["--shares-per-session-max", "2"]);
    let owner = Owner::of(&server);
    let session = owner.create("true");
    let [first, _] = [(); 2].map(|()| owner.share(&session, "watch"));
    let path = format!("/sessions/{session}/shares");
    let (status, problem) = owner.request("POST", &path, &json!({"rights": "watch"}));
    assert_eq!((status, &problem["code"]), (429, &json!("too_many_shares")), "{problem}");
    owner.share(&owner.create("true"), "watch");
    assert_eq!(owner.revoke(&session, &first), 204);
    owner.share(&session, "watch");
}

#[test]
fn links_and_tickets_survive_the_server() {
    for mut server in servers() {
        let (session, share, revoked, path, authorization) = {
            let owner = Owner::of(&server);
            let session = owner.create(SLEEPER);
            let (share, revoked) = (owner.share(&session, "join"), owner.share(&session, "join"));
            let path = shared_stream(&server, &share.secret);
            assert_eq!(owner.revoke(&session, &revoked), 204);
            (session, share, revoked, path, owner.authorization)
        };
        server.kill();
        assert!(!is_in_files(server.data(), &share.secret["livecode_share_".len()..]));
        server.start_again();
        let mut friend = server.websocket(&path);
        friend.read_until("started");
        assert_eq!(redeem(&server, &revoked.secret).0, 404);
        assert_eq!(id(&redeem(&server, &share.secret).1), session);
        let owner = Owner { server: &server, authorization };
        assert_eq!(owner.revoke(&session, &share), 204);
        assert_eq!(friend.rest(), [Value::Null; 0]);
    }
}

/// Whether a file of the control store has a text.
fn is_in_files(folder: &Path, text: &str) -> bool {
    let names = ["control.sqlite", "control.sqlite-wal"];
    let files: Vec<_> = names.iter().flat_map(|name| std::fs::read(folder.join(name))).collect();
    assert!(!files.is_empty(), "there is a control store");
    files.iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[test]
fn guesses_of_secrets_are_limited() {
    let server = Server::start();
    let owner = Owner::of(&server);
    let share = owner.share(&owner.create("true"), "watch");
    let stranger = Guest::at(7);
    let connection = stranger.connect(&server);
    let guess = |secret: &str| {
        let body = json!({ "secret": secret }).to_string();
        stranger.request_on(&connection, "POST", "/shares/redeem", body.as_bytes())
    };
    let well_formed = |number| {
        let guess = format!("livecode_share_{number:040x}");
        format!("{guess}{:08x}", crc32c(&guess))
    };
    let tries: Vec<_> = (0..1_000).map(|number| guess(&well_formed(number)).status).collect();
    assert!(tries.iter().all(|status| [404, 429].contains(status)), "{tries:?}");
    let refused = tries.iter().filter(|status| **status == 429).count();
    assert!(refused > 100, "{refused}");
    // Links wait until no guess is one too many, so that guesses are no load for the control store.
    eventually("the link opens", || (guess(&share.secret).status == 200).then_some(()));
    assert_eq!(redeem(&server, &share.secret).0, 200, "others do not wait");
}

#[test]
fn links_are_made_at_a_bounded_rate_and_always_revoked() {
    let server = Server::start_with(&["--auth", "tokens", "--share-creations-per-min", "3"]);
    let (ada, bob) = (Owner::of(&server), User::new(&server, "bob"));
    let session = ada.create("true");
    let shares: Vec<_> = (0..3).map(|_| ada.share(&session, "watch")).collect();
    let path = format!("/sessions/{session}/shares");
    let headers = [
        ("authorization", ada.authorization.as_deref().expect("a token")),
        ("content-type", "application/json"),
    ];
    let refused = server.request("POST", &path, &headers, br#"{"rights": "watch"}"#);
    refused.problem_with_code(429, "too_many_share_creations");
    assert_eq!(refused.header("retry-after"), Some("20"));
    assert!(shares.iter().all(|share| ada.revoke(&session, share) == 204));
    let other = id(&bob.create("true"));
    let body = json!({"rights": "watch"});
    assert_eq!(bob.request("POST", &format!("/sessions/{other}/shares"), &body).0, 201);
}

#[test]
fn a_revocation_is_noticed_although_the_store_fails_for_a_moment() {
    let server = Server::start();
    let owner = Owner::of(&server);
    let session = owner.create(SLEEPER);
    let share = owner.share(&session, "watch");
    let mut watcher = server.websocket(&shared_stream(&server, &share.secret));
    watcher.read_until("started");
    let change = |sql: &str| {
        let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", script]).arg(server.data().join("control.sqlite")).arg(sql);
        assert!(command.status().expect("python is installed").success(), "{sql}");
    };
    change("ALTER TABLE shares RENAME TO away");
    assert_eq!(owner.revoke(&session, &share), 500, "the store fails");
    change("ALTER TABLE away RENAME TO shares; UPDATE shares SET revoked_us = 1");
    assert_eq!(watcher.rest(), [Value::Null; 0]);
    assert_eq!(watcher.close_code(), Some(1008));
}

#[test]
fn the_command_line_shares_and_attaches_to_links() {
    let server = Server::start_with(&["--auth", "tokens"]);
    let owner = Owner::of(&server);
    let session = owner.create(SLEEPER);
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let run = |arguments: &[&str], is_owner: bool, input: &[u8]| {
        let mut command = Command::new(binary());
        command.args(arguments).env("HOME", folder.path()).env_remove("XDG_CONFIG_HOME");
        command.env_remove("LIVECODE_TOKEN").env_remove("LIVECODE_SERVER");
        if is_owner {
            let token = owner.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
            command.env("LIVECODE_TOKEN", token.expect("a token")).env("LIVECODE_SERVER", server.url(""));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        child.stdin.take().expect("it is piped").write_all(input).expect("the command reads");
        child.wait_with_output().expect("the command ends")
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let shared = run(&["share", &session[..12], "--join", "--expires", "2h"], true, b"");
    let link = text(&shared.stdout).trim().to_owned();
    assert!(
        shared.status.success() && link.starts_with(&server.url("/#share=livecode_share_")),
        "{shared:?}"
    );
    assert!(text(&shared.stderr).contains("to join session"), "{shared:?}");
    let listed = run(&["share", "--list", "--json", &session], true, b"");
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["rights"]), (Some(1), &json!("join")));

    let attached = run(&["attach", &format!("{link}&runtime=bash"), "--input"], false, b"friend\n");
    assert_eq!(
        (text(&attached.stdout), attached.status.code()),
        ("started\ngot friend\n".to_owned(), Some(0)),
        "{attached:?}"
    );
    assert!(folder.path().read_dir().expect("the folder").next().is_none(), "nothing is kept");

    let revoked = run(&["share", &session, "--revoke", &id(&listed[0])], true, b"");
    assert!(revoked.status.success(), "{revoked:?}");
    let again = run(&["attach", &link], false, b"");
    assert_eq!(again.status.code(), Some(125), "{again:?}");
    assert!(text(&again.stderr).contains("this link opens nothing"), "{again:?}");
    let refused = [
        (&["share", &session, "--revoke", "../x"][..], 1, "no such share"),
        (&["share", &session, "--expires", "31d"], 1, "30 days"),
        (&["share", &session, "--join", "--list"], 2, "cannot be used with"),
        (&["attach", &server.url("/")], 2, "https://host/#share="),
    ];
    for (arguments, code, words) in refused {
        let output = run(arguments, true, b"");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(text(&output.stderr).contains(words), "{output:?}");
    }
}

#[test]
fn a_secret_is_in_no_log() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let log = folder.path().join("access.log");
    std::fs::write(&log, "").expect("the file is made");
    if crate::common::is_root() {
        // The workers of nginx are of another user.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(&log, mode).expect("own file");
    }
    let logged = LoggedServer::start_by_level("trace", &["--auth", "tokens", "--trusted-proxy", "127.0.0.1"]);
    let server = &logged.server;
    let authority = Authority::new();
    let logs = format!("access_log {} combined;\n    listen 443 ssl;", log.display());
    let proxy = Proxy::nginx_changed(server.address(), &authority, "server", &[("listen 443 ssl;", &logs)]);
    let owner = Owner::of(server);
    let session = owner.create("echo hello");
    let link = owner.share(&session, "watch");
    let through_proxy = |path: &str, body: &Value| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--cacert"]).arg(authority.certificate()).arg(proxy.url(path));
        if !body.is_null() {
            command.args(["-H", "Content-Type: application/json", "-d"]).arg(body.to_string());
        }
        let output = command.output().expect("curl is installed");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // A browser asks for the page without the fragment, as curl does.
    assert!(through_proxy(&format!("/#share={}", link.secret), &Value::Null).contains("<html"));
    let document = through_proxy("/shares/redeem", &json!({"secret": link.secret}));
    let document: Value =
        serde_json::from_str(&document).unwrap_or_else(|error| panic!("{error}: {document}"));
    assert_eq!(id(&document), session);
    let wrong = format!("livecode_share_{}", "0".repeat(48));
    assert!(through_proxy("/shares/redeem", &json!({ "secret": wrong })).contains("no_such_share"));
    let of_server = String::from_utf8(logged.bytes()).expect("UTF-8");
    let of_proxy = eventually("nginx logs", || {
        let text = std::fs::read_to_string(&log).expect("own file");
        (text.lines().count() >= 3).then_some(text)
    });
    assert!(of_server.contains("DEBUG") && of_proxy.contains("/shares/redeem"), "{of_proxy}");
    for text in [&of_server, &of_proxy] {
        assert!(!text.contains("livecode_share_") && !text.contains(&link.secret[15..]), "{text}");
    }
    // The log says that and why a link was refused.
    assert!(of_server.contains("it is not the secret of a share"), "{of_server}");
}
