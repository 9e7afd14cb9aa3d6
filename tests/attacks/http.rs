//! Rows about requests and websockets: attacks on the server itself.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    attack::{Attack, Method, Verdict, attack},
    common::{Run, Server, Stream, id},
    fixture::{Fixture, ms},
};

/// Timeout within which the server must close a connection with slow headers or a slow body. The
/// server's own timeouts do not depend on the machine, so the bound is not scaled.
const SLOW_REQUEST_TIMEOUT_MS: u64 = 60_000;
/// Timeout within which the server must close a websocket that answers no ping.
const SILENT_SOCKET_TIMEOUT_MS: u64 = 37_500;

pub fn attacks() -> Vec<Attack> {
    use Method::Check;
    vec![
        attack(37, "a websocket from a foreign or null Origin", Check(foreign_origin)),
        attack(38, "every route without a token", Check(without_a_token)),
        attack(39, "form or text POST; wrong Host", Check(wrong_form)),
        attack(40, "guess or borrow a session id", Check(ids)),
        attack(41, "print <script> and terminal escapes", Check(scripts)),
        attack(42, "print messages of the server's own names", Check(reserved)),
        attack(43, "cut UTF-8, invalid bytes, NUL", Check(bytes)),
        attack(45, "a websocket message of 1 GB", Check(huge_message)),
        attack(45, "a million tiny messages", Check(tiny_messages)),
        attack(46, "slow headers", Check(slow_headers)),
        attack(46, "slow body", Check(slow_body)),
        attack(46, "half-open websocket", Check(half_open)),
        attack(47, "open sessions for ever", Check(sessions_for_ever)),
        attack(48, "deep JSON, huge body", Check(deep_json)),
        attack(49, "malformed and unknown ids", Check(unknown_ids)),
    ]
}

/// Every route of a server that asks for tokens answers 401 without one, except those that say
/// nothing about sessions.
fn without_a_token(_: &Fixture) -> Verdict {
    let server = Server::start_with(&["--auth", "tokens"]);
    let document = server.get("/openapi.json").json();
    let public = ["/", "/embed", "/healthz", "/livez", "/openapi.json", "/static/{file}"];
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let own = path.replace("{id}", &"0".repeat(32)).replace("{runtime}", "python");
        for method in methods.as_object().expect("methods").keys().filter(|_| !public.contains(&&**path)) {
            let response = server.request(&method.to_uppercase(), &own, &[], br#"{"secret":"wrong"}"#);
            // The metrics have a token of their own, and the secret of a link stands for a token.
            let expected = match path.as_str() {
                "/metrics" => 403,
                "/shares/redeem" => 404,
                _ => 401,
            };
            assert_eq!(response.status, expected, "{method} {path}");
            tried += 1;
        }
    }
    assert!(tried >= 12, "{tried}");
    Verdict::Holds
}

/// A page of another origin is a guest without a cookie, and cannot reach the sessions
/// of the local user.
fn foreign_origin(fixture: &Fixture) -> Verdict {
    let session = id(&fixture.server.create(&json!({"runtime": "bash", "code": "echo secret; sleep 60"})));
    let path = format!("/sessions/{session}/stream");
    let port = fixture.server.address().rsplit(':').next().expect("a port");
    let neighbour = format!("http://127.0.0.1:{}", port.parse::<u16>().expect("a number") ^ 1);
    for origin in [
        "https://elsewhere.example",
        "null",
        "file://",
        "http://127.0.0.1.evil.example",
        &neighbour,
        "",
        "http://localhost",
    ] {
        match Stream::try_connect(fixture.server.address(), &path, &[("origin", origin)]) {
            Ok(_) => panic!("upgraded for {origin:?}"),
            Err(status) => assert!(status == 403 || status == 404, "{origin:?}: {status}"),
        }
        let headers = [("origin", origin)];
        let shown = fixture.server.request("GET", &format!("/sessions/{session}"), &headers, &[]);
        assert!([403, 404].contains(&shown.status), "{origin:?}");
        let ended = fixture.server.request("DELETE", &format!("/sessions/{session}"), &headers, &[]);
        assert!([403, 404].contains(&ended.status), "{origin:?}");
        let listed = fixture.server.request("GET", "/sessions", &headers, &[]);
        assert!(!listed.text().contains(&session), "{origin:?}");
    }
    assert_eq!(fixture.server.delete(&format!("/sessions/{session}")).status, 204);
    Verdict::Holds
}

/// Requests with a wrong content type or a wrong host are refused.
fn wrong_form(fixture: &Fixture) -> Verdict {
    let body = json!({"runtime": "python", "code": "print(1)"}).to_string();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
        "",
    ] {
        fixture.server.request("POST", "/sessions", &[("content-type", kind)], body.as_bytes()).problem(415);
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "0.0.0.0",
        "169.254.169.254",
        "[::2]",
        "evil.example:8000",
    ] {
        for path in ["/", "/sessions", "/healthz", "/runtimes", "/openapi.json"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            assert_eq!(status_of(&fixture.server, request.as_bytes()), 403, "{host} {path}");
        }
    }
    for request in [
        "GET /sessions HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/sessions HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    ] {
        assert!([400, 403].contains(&status_of(&fixture.server, request.as_bytes())), "{request}");
    }
    Verdict::Holds
}

/// Sends bytes unchanged. Returns the response's status, or 0 without a response.
fn status_of(server: &Server, bytes: &[u8]) -> u16 {
    let mut tcp = TcpStream::connect(server.address()).expect("the server listens");
    tcp.set_read_timeout(Some(ms(10_000))).expect("a positive duration");
    tcp.write_all(bytes).expect("the connection is open");
    let mut answer = vec![];
    let _ = tcp.read_to_end(&mut answer); // a partial response is enough
    String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Session ids are random, and an id of another owner is not accepted.
fn ids(fixture: &Fixture) -> Verdict {
    let ids: Vec<_> = (0..8).map(|_| fixture.server.create_id("bash", "echo secret")).collect();
    for id in &ids {
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
    // Each of the 32 digits varies, so an id contains no time and no counter.
    for position in 0..32 {
        let letters: std::collections::HashSet<_> = ids.iter().map(|id| id.as_bytes()[position]).collect();
        assert!(letters.len() > 1, "{ids:?}");
    }
    // One id differs from a known id by one bit. The others are known ids of the local user in
    // requests of guests.
    let known = &ids[0];
    let neighbour = format!("{:032x}", u128::from_str_radix(known, 16).expect("hexadecimal") ^ 1);
    for (id, headers) in [
        (neighbour.as_str(), &[][..]),
        (known, &[("x-forwarded-for", "10.0.0.1")]),
        (known, &[("origin", "https://elsewhere.example")]),
        (known, &[("sec-fetch-site", "cross-site")]),
        (known, &[("authorization", "Bearer 00000000000000000000000000000000"), ("via", "1.1 x")]),
    ] {
        for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/stream")] {
            let answer = fixture.server.request(method, &format!("/sessions/{id}{path}"), headers, &[]);
            assert_eq!(answer.status, 404, "{method} {path} {headers:?}: {}", answer.text());
            assert!(!answer.text().contains("secret"));
        }
    }
    Verdict::Holds
}

/// Output with scripts and terminal escapes is never served as HTML.
fn scripts(fixture: &Fixture) -> Verdict {
    let nasty = "<script>alert(1)</script><img src=x onerror=alert(1)>\u{1b}]0;owned\u{7}\u{1b}[2J";
    let code =
        format!("print({nasty:?})\nraise SystemExit({nasty:?})").replace("\\u{", "\\x").replace('}', "");
    let run = fixture.server.run(
        &json!({"runtime": "python", "code": format!("import sys\nsys.stdout.write({})", json!(nasty))}),
    );
    assert_eq!(run.stdout, nasty);
    let raw = fixture.server.post("/exec", &json!({"runtime": "python", "code": code, "raw_output": true}));
    for answer in [
        raw,
        fixture.server.request(
            "POST",
            "/runtimes/python",
            &[],
            format!("print({})", json!(nasty)).as_bytes(),
        ),
        fixture.server.request("GET", &format!("/sessions/{}", "%3Cscript%3E"), &[], &[]),
        fixture.server.request("GET", "/%3Cscript%3Ealert(1)%3C/script%3E", &[], &[]),
        fixture.server.request(
            "POST",
            "/sessions",
            &[("content-type", "application/json")],
            b"{\"<script>\": 1}",
        ),
        fixture.server.get("/"),
        fixture.server.get("/sessions"),
    ] {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        if kind.starts_with("text/html") {
            let policy = answer.header("content-security-policy").expect("a policy on every page");
            assert!(policy.contains("default-src") && !policy.contains("unsafe-inline"), "{policy}");
            assert!(!answer.text().contains("alert(1)"));
        } else {
            let plain =
                ["application/json", "application/problem+json", "text/plain", "application/octet-stream"];
            assert!(plain.iter().any(|plain| kind.starts_with(plain)), "{kind}: {}", answer.text());
        }
    }
    Verdict::Holds
}

/// A program cannot forge messages with the names of the server's own messages.
fn reserved(fixture: &Fixture) -> Verdict {
    let (run, session) = fixture.run("python", include_str!("programs/r42_reserved.py"), json!({}));
    assert_eq!(
        (run.exitstatus, &session["outcome"], &session["state"]),
        (5, &json!("exited"), &json!("ended"))
    );
    assert_eq!(
        run.stdout.lines().filter(|line| line.starts_with("--MSG-- {\"msgtype\"")).count(),
        16,
        "{run:?}"
    );
    assert_eq!(run.messages.len(), 1, "{:?}", run.messages);
    assert_eq!(run.messages[0]["msgtype"], "own");
    assert!(run.messages[0]["seq"].is_null(), "{:?}", run.messages);
    assert_eq!(run.stderr.lines().count(), 16, "{}", run.stderr);
    Verdict::Holds
}

/// Output that is not UTF-8 arrives byte for byte.
fn bytes(fixture: &Fixture) -> Verdict {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let session = fixture.start("python", include_str!("programs/r43_bytes.py"), json!({}));
    let mut stream = fixture.server.stream(&id(&session), "");
    let (mut stdout, mut stderr) = (vec![], vec![]);
    while let Some(message) = stream.next() {
        if message["msgtype"] != "write" {
            continue;
        }
        let data = message["data"].as_str().expect("text");
        let bytes = match message["encoding"].as_str() {
            None => data.as_bytes().to_vec(),
            Some(_) => BASE64_STANDARD.decode(data).expect("base64"),
        };
        if message["file"] == "stdout" { stdout.extend(bytes) } else { stderr.extend(bytes) }
    }
    let mut expected = "€uro 👍 \0 end\n".as_bytes().to_vec();
    expected.extend(0..=255u8);
    expected.extend(b"\xe2\x82");
    assert_eq!(stdout, expected);
    assert_eq!(stderr, b"\xff\xfe\x00");
    Verdict::Holds
}

/// A TCP connection after a websocket handshake, for sending and receiving raw frames.
fn raw_websocket(server: &Server, path: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(server.address()).expect("the server listens");
    tcp.set_read_timeout(Some(ms(20_000))).expect("a positive duration");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        server.address()
    );
    tcp.write_all(request.as_bytes()).expect("the connection is open");
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    tcp
}

/// The code of the close frame among the unmasked frames that a server has sent.
fn close_code(mut bytes: &[u8]) -> Option<u16> {
    while let [first, second, rest @ ..] = bytes {
        let (length, rest) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), rest.get(2..)?),
            127 => {
                (usize::try_from(u64::from_be_bytes(rest.get(..8)?.try_into().ok()?)).ok()?, rest.get(8..)?)
            }
            short => (usize::from(short), rest),
        };
        if first & 0xf == 8 {
            return Some(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        }
        bytes = rest.get(length..)?;
    }
    None
}

/// The server closes a websocket that announces a message of 1 GiB.
fn huge_message(fixture: &Fixture) -> Verdict {
    let session = fixture.server.create_id("bash", "echo up; sleep 60");
    let mut tcp = raw_websocket(&fixture.server, &format!("/sessions/{session}/stream"));
    let mut header = vec![0x81, 0xff];
    header.extend((1u64 << 30).to_be_bytes());
    header.extend([0; 4]);
    tcp.write_all(&header).expect("the connection is open");
    let chunk = vec![b'x'; 1 << 16];
    let mut sent = 0u64;
    // Data is sent until the server stops reading it.
    tcp.set_write_timeout(Some(ms(2000))).expect("a positive duration");
    while sent < 64 << 20 && tcp.write_all(&chunk).is_ok() {
        sent += chunk.len() as u64;
    }
    assert!(sent < 64 << 20, "the server reads 64 MiB of one message");
    let mut answer = vec![];
    let _ = tcp.read_to_end(&mut answer); // a reset after the close frame is accepted
    assert_eq!(close_code(&answer), Some(1009), "not closed with 1009 after {sent} bytes");
    fixture.server.delete(&format!("/sessions/{session}"));
    Verdict::Holds
}

/// A guest sends a flood of messages. The local user has no rate limit.
fn tiny_messages(_: &Fixture) -> Verdict {
    // Even an emulated machine can exceed this rate.
    let server = Server::start_with(&["--messages-per-s", "100"]);
    let origin = ("origin", "https://elsewhere.example");
    let body = json!({"runtime": "bash", "code": "sleep 60"}).to_string();
    let headers = [("content-type", "application/json"), origin];
    let made = server.request("POST", "/sessions", &headers, body.as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
    let session = id(&made.json());
    let path = format!("/sessions/{session}/stream");
    let mut stream = Stream::try_connect(server.address(), &path, &[origin]).expect("a guest's own session");
    let deadline = Instant::now() + ms(20_000);
    let mut sent = 0;
    'flood: while sent < 1_000_000 && Instant::now() < deadline {
        for _ in 0..500 {
            if stream.try_send(&json!({"msgtype": "ping"})).is_err() {
                break 'flood;
            }
            sent += 1;
        }
        for _ in 0..500 {
            if stream.next().is_none() {
                break 'flood;
            }
        }
    }
    assert_eq!(stream.close_code(), Some(1008), "not closed with 1008 after {sent} messages");
    server.delete(&format!("/sessions/{session}"));
    Verdict::Holds
}

/// Sends `head`, and then one byte per second. Returns the time until the server closes the
/// connection, or `None` if it is open after `timeout`.
fn send_slowly(server: &Server, head: &[u8], timeout: Duration) -> Option<Duration> {
    let mut tcp = TcpStream::connect(server.address()).expect("the server listens");
    tcp.set_read_timeout(Some(Duration::from_secs(1))).expect("a positive duration");
    tcp.write_all(head).expect("the connection is open");
    let began = Instant::now();
    let mut bytes = [0; 1024];
    while began.elapsed() < timeout {
        match tcp.read(&mut bytes) {
            Ok(0) => return Some(began.elapsed()),
            Ok(_) => {} // a response with status 408 may come first
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if tcp.write_all(b"x").is_err() {
                    return Some(began.elapsed());
                }
            }
            Err(_) => return Some(began.elapsed()),
        }
    }
    None
}

/// The verdict for connections that the server must close. Panics if they stay open.
fn closed(after: Option<Duration>, what: &str) -> Verdict {
    let after = after.unwrap_or_else(|| panic!("{what}: not closed"));
    Verdict::HoldsWith(format!("{what}: closed after {} s", after.as_secs()))
}

/// A client sends its headers slowly.
fn slow_headers(fixture: &Fixture) -> Verdict {
    let head = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ";
    closed(send_slowly(&fixture.server, head, Duration::from_millis(SLOW_REQUEST_TIMEOUT_MS)), "slow headers")
}

/// A client sends its body slowly.
fn slow_body(fixture: &Fixture) -> Verdict {
    let head = format!(
        "POST /sessions HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{{",
        fixture.server.address()
    );
    closed(
        send_slowly(&fixture.server, head.as_bytes(), Duration::from_millis(SLOW_REQUEST_TIMEOUT_MS)),
        "slow bodies",
    )
}

/// A client vanishes without closing its websocket, so that it answers no ping.
fn half_open(fixture: &Fixture) -> Verdict {
    // The server pings four times as often as by default, so that the suite need not wait for
    // long.
    let server = Server::start_with(&["--ping-interval-ms", "7500"]);
    let session = server.create_id("bash", "sleep 600");
    let mut tcp = raw_websocket(&server, &format!("/sessions/{session}/stream"));
    tcp.set_read_timeout(Some(Duration::from_secs(1))).expect("a positive duration");
    let began = Instant::now();
    let mut bytes = [0; 1024];
    let after = loop {
        if began.elapsed() > Duration::from_millis(SILENT_SOCKET_TIMEOUT_MS) {
            break None;
        }
        match tcp.read(&mut bytes) {
            Ok(0) => break Some(began.elapsed()),
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break Some(began.elapsed()),
            _ => {}
        }
    };
    server.delete(&format!("/sessions/{session}"));
    let _ = fixture;
    closed(after, "half-open websockets")
}

/// An owner creates more sessions than the limit allows. The sessions that exist are not affected.
fn sessions_for_ever(fixture: &Fixture) -> Verdict {
    let server = Server::start_with(&["--sessions-per-owner-max", "5", "--keep-ms", "3600000"]);
    let live: Vec<_> = (0..5).map(|_| server.create_id("bash", "echo up; read line; echo $line")).collect();
    for _ in 0..20 {
        let answer = server.post("/sessions", &json!({"runtime": "bash", "code": ""}));
        answer.problem(429);
    }
    for id in &live {
        let mut stream = server.stream(id, "");
        stream.read_until("up");
        stream.send(&json!({"msgtype": "input", "data": "safe\n"}));
        assert_eq!(Run::collect(stream).stdout, "safe\n");
    }
    let _ = fixture;
    Verdict::Holds
}

/// Deeply nested and huge documents are refused.
fn deep_json(fixture: &Fixture) -> Verdict {
    let json_type = [("content-type", "application/json")];
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{\"env\":", "}")] {
        for depth in [10_000, 200_000] {
            let body = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            fixture.server.request("POST", "/sessions", &json_type, body.as_bytes()).problem(400);
        }
    }
    let huge = format!(r#"{{"runtime":"python","code":"{}"}}"#, "x".repeat(16 << 20));
    fixture.server.request("POST", "/sessions", &json_type, huge.as_bytes()).problem(413);
    // A document with many copies of one name is refused too.
    let names = format!("{{{}}}", vec!["\"runtime\":\"python\""; 100_000].join(","));
    let answer = fixture.server.request("POST", "/sessions", &json_type, names.as_bytes());
    assert!([400, 422].contains(&answer.status), "{}", answer.status);
    Verdict::Holds
}

/// Malformed and unknown session ids are refused.
fn unknown_ids(fixture: &Fixture) -> Verdict {
    let unknown = "0123456789abcdef0123456789abcdef";
    let malformed = [
        "x",
        "..",
        "%2e%2e%2f",
        "%00",
        "D953D41FEBCC4A7D9E1F0A6B5C4D3E2F",
        "-1",
        "*",
        "'",
        "%ff",
        &"a".repeat(4000),
    ];
    for id in malformed.into_iter().chain([unknown]) {
        for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/stream")] {
            let answer = fixture.server.request(method, &format!("/sessions/{id}{path}"), &[], &[]);
            assert!([400, 404, 414].contains(&answer.status), "{method} {id}{path}: {}", answer.status);
        }
    }
    Verdict::Holds
}
