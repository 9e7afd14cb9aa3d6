//! A server that asks for tokens: who gets in, what each caller may do, and what becomes of tokens
//! and tickets.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    common::{Run, Server, Stream, binary, guest::Guest, id},
    docs::{blocks, document},
};

pub const SLEEPER: &str = "echo started; read line; echo \"got $line\"";

fn start() -> Server {
    Server::start_with(&["--auth", "tokens"])
}

/// `livecode token` on a data directory.
pub fn token_command(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("token").args(arguments).arg("--data-dir").arg(data).stdin(Stdio::null());
    command.env_remove("LIVECODE_SERVER").output().expect("the command runs")
}

/// A new token of a user.
pub fn new_token(server: &Server, arguments: &[&str]) -> String {
    let output = token_command(server.data(), &[&["create"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let token = text.lines().last().expect("a last line").to_owned();
    assert!(text.lines().count() == 1 && token.starts_with("livecode_"), "{text}");
    token
}

/// The documents of all tokens.
fn tokens(server: &Server) -> Vec<Value> {
    let output = token_command(server.data(), &["list", "--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn token_id(server: &Server, user: &str) -> String {
    let tokens = tokens(server);
    let token = tokens.iter().find(|token| token["user"] == user).expect("the user has a token");
    token["id"].as_str().expect("an id").to_owned()
}

/// A caller with a credential.
pub struct User<'s> {
    pub server: &'s Server,
    pub authorization: String,
}

impl<'s> User<'s> {
    pub fn with(server: &'s Server, token: &str) -> Self {
        Self { server, authorization: format!("Bearer {token}") }
    }

    pub fn new(server: &'s Server, name: &str) -> Self {
        Self::with(server, &new_token(server, &[name]))
    }

    pub fn request(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let headers = [("authorization", &*self.authorization), ("content-type", "application/json")];
        let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
        let response = self.server.request(method, path, &headers, &body);
        (response.status, response.try_json().unwrap_or_default())
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        self.request("GET", path, &Value::Null)
    }

    pub fn create(&self, code: &str) -> Value {
        let (status, document) = self.request("POST", "/sessions", &json!({"runtime": "bash", "code": code}));
        assert_eq!(status, 201, "{document}");
        document
    }

    pub fn stream(&self, id: &str) -> Result<Stream, u16> {
        let path = format!("/sessions/{id}/stream");
        Stream::try_connect(self.server.address(), &path, &[("authorization", &self.authorization)])
    }

    pub fn ids(&self) -> Vec<String> {
        let (status, list) = self.get("/sessions");
        assert_eq!(status, 200, "{list}");
        list.as_array().expect("an array").iter().map(id).collect()
    }
}

/// The path and query of the link to a session's stream.
pub fn stream_path(document: &Value) -> String {
    let link = document["links"]["stream"].as_str().expect("a link");
    let (_, rest) = link.split_once("://").expect("a URL");
    rest[rest.find('/').expect("a path")..].to_owned()
}

#[test]
fn nobody_gets_in_without_a_valid_token() {
    let server = start();
    let ada = User::new(&server, "ada");
    let session = id(&ada.create("echo hello"));
    let expired = new_token(&server, &["eve", "--expires", "1s"]);
    let revoked = new_token(&server, &["mallory"]);
    assert!(token_command(server.data(), &["revoke", "mallory"]).status.success());
    crate::common::eventually("the token expires", || {
        (User::with(&server, &expired).get("/runtimes").0 == 401).then_some(())
    });
    let unknown = format!("{}{:08x}", &revoked[..49], crc32c(&revoked[..49]));
    let paths = [
        ("GET", "/sessions".to_owned()),
        ("POST", "/sessions".to_owned()),
        ("GET", format!("/sessions/{session}")),
        ("GET", format!("/sessions/{}", "0".repeat(32))),
        ("DELETE", format!("/sessions/{session}")),
        ("GET", format!("/sessions/{session}/stream")),
        ("POST", "/exec".to_owned()),
        ("GET", "/livecode".to_owned()),
        ("GET", "/runtimes".to_owned()),
        ("POST", "/runtimes/python".to_owned()),
        ("GET", "/tokens".to_owned()),
        ("POST", "/tokens".to_owned()),
        ("POST", "/tickets".to_owned()),
        ("DELETE", format!("/tokens/{}", token_id(&server, "ada"))),
        ("POST", format!("/tokens/{}/rotate", token_id(&server, "ada"))),
    ];
    let credentials = [
        "Bearer ".to_owned(),
        format!("Bearer {}", "0".repeat(32)),
        format!("Bearer {unknown}"),
        format!("Bearer {expired}"),
        format!("Bearer {revoked}"),
        format!("Basic {revoked}"),
    ];
    for (method, path) in &paths {
        let without = server.request(method, path, &[], b"{}");
        let problem = without.problem_with_code(401, "unauthorized");
        assert_eq!(without.header("www-authenticate"), Some("Bearer"), "{path}");
        for credential in &credentials {
            let response = server.request(method, path, &[("authorization", credential)], b"{}");
            let other = response.problem_with_code(401, "unauthorized");
            assert_ne!(other["detail"], problem["detail"], "{path}");
        }
    }
    // What a load balancer, a browser and a programmer need first is for all.
    for path in ["/", "/livez", "/healthz", "/openapi.json", "/static/livecode.js"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!(server.get("/metrics").status, 403);
    assert_eq!(ada.ids(), [session]);
}

/// The checksum at the end of a token.
pub fn crc32c(text: &str) -> u32 {
    text.bytes().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(sum & 1)))
    }) ^ !0
}

#[test]
fn users_have_their_own_sessions() {
    let server = start();
    let (ada, bob) = (User::new(&server, "ada"), User::new(&server, "bob"));
    let admin = User::with(&server, &new_token(&server, &["head", "--role", "admin"]));
    let session = id(&ada.create(SLEEPER));
    let other = id(&bob.create("echo bob"));
    assert_eq!((ada.ids(), bob.ids()), (vec![session.clone()], vec![other.clone()]));
    assert_eq!(admin.ids(), [other, session.clone()]);

    let path = format!("/sessions/{session}");
    assert_eq!(
        bob.get(&path),
        bob.get(&format!("/sessions/{}", "0".repeat(32))),
        "a stranger's looks as none"
    );
    assert_eq!(bob.get(&path).0, 404);
    assert_eq!(bob.request("DELETE", &path, &Value::Null).0, 404);
    assert_eq!(bob.stream(&session).err(), Some(404));
    // An idempotency key is the user's own.
    let headers = |user: &User<'_>| {
        [
            ("authorization", user.authorization.clone()),
            ("idempotency-key", "k".into()),
            ("content-type", "application/json".into()),
        ]
    };
    let create = |user: &User<'_>| {
        let headers = headers(user);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        id(&server.request("POST", "/sessions", &headers, br#"{"runtime":"bash","code":"true"}"#).json())
    };
    let first = create(&ada);
    assert_eq!(create(&ada), first);
    assert_ne!(create(&bob), first);

    // The admin sees what happens, and says nothing in the user's place.
    let mut watched = admin.stream(&session).expect("an admin may watch");
    watched.read_until("started");
    for message in
        [json!({"msgtype": "input", "data": "x\n"}), json!({"msgtype": "signal", "signal": "terminate"})]
    {
        watched.send(&message);
        let error = watched.next_of("error");
        assert_eq!(error["code"], "forbidden", "{error}");
    }
    let mut own = ada.stream(&session).expect("the owner may do all");
    own.read_until("started");
    own.send(&json!({"msgtype": "input", "data": "mine\n"}));
    own.read_until("got mine");
    assert_eq!(Run::collect(watched).exitstatus, 0);
    assert_eq!(admin.request("DELETE", &path, &Value::Null).0, 204);
    assert_eq!(ada.get(&path).0, 404);
    // Tokens are the admin's business.
    assert_eq!(ada.get("/tokens").0, 404);
    assert_eq!(admin.get("/tokens").0, 200);
    let (status, made) = admin.request("POST", "/tokens", &json!({"user": "cleo"}));
    assert_eq!(status, 201, "{made}");
    let cleo = User::with(&server, made["token"].as_str().expect("the token"));
    assert_eq!(cleo.ids(), [""; 0]);
    for wrong in [
        json!({"user": "a b"}),
        json!({"user": "a", "expires_in_s": 0}),
        json!({"user": "a", "role": "king"}),
    ] {
        assert_eq!(admin.request("POST", "/tokens", &wrong).0, 422, "{wrong}");
    }
}

#[test]
fn v01_works_with_a_token() {
    let server = start();
    let ada = User::new(&server, "ada");
    let headers = [("authorization", &*ada.authorization)];
    let response = server.request("POST", "/exec", &headers, br#"{"runtime":"bash","code":"echo hello"}"#);
    assert_eq!((response.status, response.text()), (200, "hello\n".to_owned()));
    assert_eq!(ada.ids(), [""; 0], "a session of v0.1 is in no list");

    let (status, document) = ada.request("POST", "/tickets", &Value::Null);
    assert_eq!(status, 201, "{document}");
    let ticket = document["ticket"].as_str().expect("a ticket");
    let mut run = server.websocket(&format!("/livecode?ticket={ticket}"));
    run.send(&json!({"msgtype": "exec", "runtime": "bash", "code": "echo hello"}));
    run.read_until("hello");
    assert_eq!(run.next_of("exitstatus")["exitstatus"], 0);
    // It opens nothing else.
    let session = id(&ada.create("true"));
    for path in [
        format!("/sessions/{session}?ticket={ticket}"),
        format!("/sessions/{session}/stream?ticket={ticket}"),
    ] {
        server.get(&path).problem_with_code(401, "unauthorized");
    }
}

#[test]
fn pages_of_other_origins_read_every_answer_and_caches_keep_none() {
    let server = start();
    let ada = User::new(&server, "ada");
    let path = format!("/sessions/{}", id(&ada.create("true")));
    let origin = ("origin", "https://school.example");
    let asked = [
        origin,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, content-type, idempotency-key"),
    ];
    let preflight = server.request("OPTIONS", "/sessions", &asked, &[]);
    assert_eq!(preflight.status, 200);
    let allowed = preflight.header("access-control-allow-headers").unwrap_or_default();
    assert!(asked[2].1.split(", ").all(|name| allowed.contains(name)), "{allowed}");
    let own = ("authorization", &*ada.authorization);
    let cases = [
        (200, vec![origin, own]),
        (401, vec![origin]),
        (401, vec![origin, ("authorization", "Bearer wrong")]),
    ];
    for (status, headers) in cases {
        let response = server.request("GET", &path, &headers, &[]);
        assert_eq!(response.status, status);
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn a_browser_opens_a_stream_by_a_ticket() {
    let mut server = start();
    let (document, path, other) = {
        let ada = User::new(&server, "ada");
        let document = ada.create(SLEEPER);
        (document.clone(), stream_path(&document), id(&ada.create("true")))
    };
    let ticket = path.split_once("ticket=").expect("a ticket").1.to_owned();
    let mut stream = server.websocket(&path);
    stream.read_until("started");
    drop(stream);
    // It holds after a crash of the server, with the number of an entry too.
    server.kill();
    server.start_again();
    let mut stream = server.websocket(&format!("{path}&after=0"));
    stream.read_until("started");
    stream.send(&json!({"msgtype": "input", "data": "there\n"}));
    stream.read_until("got there");
    let wrong = [
        format!("/sessions/{other}/stream?ticket={ticket}"),
        format!("/sessions/{}?ticket={ticket}", id(&document)),
        format!("/livecode?ticket={ticket}"),
        path.replace("ticket=", "ticket=x"),
        format!("{path}x"),
    ];
    for wrong in wrong {
        let status = Stream::try_connect(server.address(), &wrong, &[]).err();
        assert_eq!(status, Some(401), "{wrong}");
    }
}

#[test]
fn a_revoked_token_closes_what_it_opened() {
    let server = start();
    let (ada, bob) = (User::new(&server, "ada"), User::new(&server, "bob"));
    let document = ada.create(SLEEPER);
    let session = id(&document);
    let mut by_token = ada.stream(&session).expect("the owner may watch");
    let mut by_ticket = server.websocket(&stream_path(&document));
    let headers = [("authorization", &*ada.authorization), ("accept", "application/x-ndjson")];
    let mut lines = server.lines("GET", &format!("/sessions/{session}/stream"), &headers, &[]);
    let other = id(&bob.create(SLEEPER));
    let mut others = bob.stream(&other).expect("the owner may watch");
    by_token.read_until("started");
    by_ticket.read_until("started");
    assert!(lines.next().is_some_and(|line| line.contains("started")));
    others.read_until("started");

    // The new token is valid at once, and the old one no more.
    let output = token_command(server.data(), &["rotate", "ada"]);
    assert!(output.status.success(), "{output:?}");
    let new = String::from_utf8(output.stdout).expect("UTF-8");
    for stream in [&mut by_token, &mut by_ticket] {
        assert_eq!(stream.rest(), [Value::Null; 0]);
        assert_eq!(stream.close_code(), Some(1008));
    }
    assert_eq!(lines.next(), None);
    assert_eq!(ada.get("/sessions").0, 401);
    assert_eq!(Stream::try_connect(server.address(), &stream_path(&document), &[]).err(), Some(401));
    let renewed = User::with(&server, new.trim());
    let mut again = renewed.stream(&session).expect("the program runs on");
    again.read_until("started");
    // Others notice nothing.
    others.send(&json!({"msgtype": "input", "data": "bob\n"}));
    others.read_until("got bob");
}

#[test]
fn tokens_are_kept_without_their_secrets() {
    let data = tempfile::tempdir().expect("a temporary folder is created");
    let folder = data.path().join("new");
    // No server runs yet.
    let output = token_command(&folder, &["create", "ada", "--expires", "90d", "--role", "admin"]);
    assert!(output.status.success(), "{output:?}");
    let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(String::from_utf8_lossy(&output.stderr).contains("of ada (admin, until"), "{output:?}");
    let listed = token_command(&folder, &["list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("ada"), "{listed:?}");
    let digits = &token["livecode_".len()..];
    for file in std::fs::read_dir(&folder).expect("the folder").flatten() {
        let bytes = std::fs::read(file.path()).expect("a file");
        assert!(!bytes.windows(digits.len()).any(|window| window == digits.as_bytes()), "{:?}", file.path());
    }
    let refused = [
        (&["create", "a b"][..], "cannot name a user"),
        (&["create", "a", "--expires", "soon"], "90d"),
        (&["revoke", "nobody"], "livecode token list"),
        (&["rotate", "nobody"], "livecode token list"),
    ];
    for (arguments, words) in refused {
        let output = token_command(&folder, arguments);
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{output:?}");
    }
    assert!(token_command(&folder, &["create", "ada"]).status.success());
    let several = token_command(&folder, &["rotate", "ada"]);
    assert!(String::from_utf8_lossy(&several.stderr).contains("several tokens"), "{several:?}");
    let revoked = token_command(&folder, &["revoke", "ada"]);
    assert!(revoked.status.success(), "{revoked:?}");
    assert_eq!(token_command(&folder, &["list", "--json"]).stdout, b"[]\n");
}

#[test]
fn the_command_line_sends_a_token() {
    let server = start();
    let token = new_token(&server, &["ada"]);
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{token}\n")).expect("the file is written");
    let run = |token: Option<&str>, arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).args(["--server", &server.url("")]).env("HOME", folder.path());
        command.env_remove("LIVECODE_TOKEN").env_remove("XDG_CONFIG_HOME").stdin(Stdio::null());
        command.envs(token.map(|token| ("LIVECODE_TOKEN", token)));
        command.output().expect("the command runs")
    };
    let program = folder.path().join("x.sh");
    std::fs::write(&program, "echo hello").expect("the file is written");
    let program = program.to_str().expect("UTF-8");
    let by_variable = run(Some(&token), &["run", program]);
    assert_eq!(
        (&*by_variable.stdout, by_variable.status.code()),
        (&b"hello\n"[..], Some(0)),
        "{by_variable:?}"
    );
    let by_file = run(None, &["run", program, "--token-file", file.to_str().expect("UTF-8")]);
    assert_eq!(&*by_file.stdout, b"hello\n", "{by_file:?}");
    let listed = run(Some(&token), &["ls", "--quiet"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 2, "{listed:?}");
    for (token, words) in
        [(None, "asks for a token"), (Some("wrong"), "is wrong"), (Some("a b"), "LIVECODE_TOKEN")]
    {
        let output = run(token, &["run", program]);
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{output:?}");
    }
}

#[test]
fn the_admin_socket_is_for_the_servers_user() {
    let server = start();
    let mut socket = UnixStream::connect(server.data().join("admin.sock")).expect("it listens");
    socket
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mode = std::fs::metadata(server.data().join("admin.sock")).expect("the socket").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    // An open server has none, since its local user needs none.
    assert!(!Server::start().data().join("admin.sock").exists());
}

#[test]
fn owners_are_found_again_when_the_mode_changes() {
    let mut server = Server::start();
    let guest = Guest::at(2).with_token('a');
    let of_guest = id(&guest.create(&server, "echo hello"));
    let of_local = server.create_id("bash", "echo hello");
    server.stop();
    server.start_again_with(&["--auth", "tokens"]);
    let ada = User::new(&server, "ada");
    let admin = User::with(&server, &new_token(&server, &["head", "--role", "admin"]));
    let of_ada = id(&ada.create("echo hello"));
    assert_eq!(ada.ids(), [&*of_ada]);
    assert_eq!(ada.get(&format!("/sessions/{of_guest}")).0, 404);
    assert_eq!(admin.ids(), [of_ada.clone(), of_local.clone(), of_guest.clone()]);
    server.stop();
    server.start_again_with(&[]);
    assert_eq!(guest.request(&server, "GET", &format!("/sessions/{of_guest}"), &[]).status, 200);
    assert_eq!(guest.request(&server, "GET", &format!("/sessions/{of_ada}"), &[]).status, 404);
    assert_eq!(server.get("/sessions").json().as_array().map(Vec::len), Some(3));
}

#[test]
fn a_user_has_quotas_and_an_admin_has_none() {
    let server = Server::start_with(&["--auth", "tokens", "--user-creations-per-min", "2"]);
    let (ada, bob) = (User::new(&server, "ada"), User::new(&server, "bob"));
    let second = User::with(&server, &new_token(&server, &["ada"]));
    let admin = User::with(&server, &new_token(&server, &["head", "--role", "admin"]));
    let status = |user: &User<'_>| {
        let request = json!({"runtime": "bash", "code": "true"});
        user.request("POST", "/sessions", &request).0
    };
    // All tokens of a user count together.
    assert_eq!([&ada, &second, &ada, &second].map(status), [201, 201, 429, 429]);
    assert_eq!([&bob, &admin, &admin, &admin].map(status), [201, 201, 201, 201]);
}

#[test]
fn the_documented_commands_work() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).expect("the folder is made");
    std::os::unix::fs::symlink(binary(), bin.join("livecode")).expect("the link is made");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH is set"));
    let shell = |script: &str| {
        let mut command = Command::new("bash");
        command
            .args(["-euc", script])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("HOME", folder.path());
        command.env("RUST_LOG", "error").env_remove("XDG_CONFIG_HOME").stdin(Stdio::null());
        command
    };
    // Another test runs the section on sites.
    let text = document("docs/users.md");
    let (before, rest) = text.split_once("\n## A site that signs its users in\n").expect("the section");
    let after = rest.split_once("\n## ").expect("a section follows").1;
    let blocks = blocks(&format!("{before}\n{after}"), "sh");
    let (start, rest) = blocks.split_first().expect("the document has commands");
    // The port is free, and the server is known by its address.
    let start = start.replace("serve ", "serve --listen 127.0.0.1:0 ");
    let start = format!(
        "{}\necho $LIVECODE_TOKEN\nexec {}",
        start.lines().next().expect("the token"),
        start.lines().last().expect("the server")
    );
    let mut server = shell(&start).stdout(Stdio::piped()).spawn().expect("bash starts");
    let mut lines = BufReader::new(server.stdout.take().expect("it is piped")).lines();
    let token = lines.next().expect("a line").expect("UTF-8");
    let address = lines.next().expect("a line").expect("UTF-8");
    let url = address.trim_start_matches("LiveCode listens on ").to_owned();
    let script = rest.join("\n").replace("http://127.0.0.1:8000", &url);
    let script = format!("{script}\nlivecode ls --server unix:$PWD/data/admin.sock");
    let output = shell(&script).env("LIVECODE_TOKEN", &token).env("LIVECODE_SERVER", &url).output();
    let output = output.expect("bash starts");
    let _ = server.kill();
    let _ = server.wait();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    for words in ["42\n", "\"elapsed\"", "bob", "backup/control.sqlite"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(folder.path().join("backup/control.sqlite").exists());
}

#[test]
fn a_backup_under_load_knows_all_tokens() {
    let server = start();
    let admin = User::with(&server, &new_token(&server, &["head", "--role", "admin"]));
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let mut kept = vec![];
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (sender, made) = std::sync::mpsc::channel();
        let (admin, stop) = (&admin, &stop);
        scope.spawn(move || {
            let relaxed = std::sync::atomic::Ordering::Relaxed;
            for number in (0..).take_while(|_| !stop.load(relaxed)) {
                let (status, token) =
                    admin.request("POST", "/tokens", &json!({"user": format!("user{number}")}));
                assert_eq!(status, 201, "{token}");
                let _ = sender.send(token["token"].as_str().expect("a token").to_owned());
            }
        });
        for round in 0..5 {
            kept.extend(made.recv());
            kept.extend(made.try_iter());
            let copy = folder.path().join(round.to_string());
            std::fs::create_dir(&copy).expect("the folder is made");
            let mut command = Command::new(binary());
            command.arg("backup").arg(&copy).arg("--data-dir").arg(server.data());
            let output = command.output().expect("the command runs");
            assert!(output.status.success(), "{output:?}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    // The copy has all that was made before it was begun.
    let mut restored = Server::start_with(&["--auth", "tokens"]);
    restored.stop();
    for file in ["control.sqlite-wal", "control.sqlite-shm"] {
        let _ = std::fs::remove_file(restored.data().join(file));
    }
    std::fs::copy(folder.path().join("4/control.sqlite"), restored.data().join("control.sqlite"))
        .expect("it is copied");
    restored.start_again();
    for token in &kept {
        assert_eq!(User::with(&restored, token).get("/sessions").0, 200);
    }
    assert!(kept.len() >= 5, "{}", kept.len());
}
