//! Sessions through the proxies that docs/operating.md configures, with TLS.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{
    Server, binary, eventually,
    proxy::{Authority, Proxy},
    wait_timeout,
};

/// Silent for longer than the 60 seconds after which nginx cuts off a response by default.
const SILENT: &str = "import time\nprint('before', flush=True)\ntime.sleep(70)\nprint('survived')\n";

/// The kinds of streams that have a keep-alive.
const KEPT_ALIVE: &[Kind] =
    &[Kind::Websocket, Kind::Plain("text/event-stream"), Kind::Plain("application/x-ndjson"), Kind::Classic];

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// `/sessions/{id}/stream`, upgraded.
    Websocket,
    /// `/sessions/{id}/stream` over plain HTTP, with this media type.
    Plain(&'static str),
    /// `/exec`.
    Exec,
    /// `/livecode`.
    Classic,
}

/// Runs the silent program on one kind of stream, and returns what the stream carried.
fn run_silent(proxy: &Proxy, authority: &Authority, kind: Kind) -> String {
    match kind {
        Kind::Websocket => {
            let (id, token) = create(proxy, authority);
            websocket(proxy, authority, &format!("/sessions/{id}/stream"), &token, None)
        }
        Kind::Plain(accept) => {
            let (id, token) = create(proxy, authority);
            let request = format!(
                "GET /sessions/{id}/stream HTTP/1.1\r\nHost: localhost\r\n{token}Accept: {accept}\r\n\
                 Connection: close\r\n\r\n"
            );
            exchange(proxy, authority, &request)
        }
        Kind::Exec => post(proxy, authority, "/exec", "", &program()),
        Kind::Classic => {
            let mut exec = program();
            exec["msgtype"] = "exec".into();
            websocket(proxy, authority, "/livecode", "", Some(exec))
        }
    }
}

fn program() -> Value {
    json!({"runtime": "python", "code": SILENT, "source": SILENT})
}

/// Creates a session of the silent program as a guest; returns its id, and the header line with
/// the guest's token.
fn create(proxy: &Proxy, authority: &Authority) -> (String, String) {
    create_session(proxy, authority, "python", SILENT)
}

fn create_session(proxy: &Proxy, authority: &Authority, runtime: &str, code: &str) -> (String, String) {
    let token = format!("Authorization: Bearer {}\r\n", "a".repeat(32));
    let body = json!({"runtime": runtime, "code": code});
    let response = post(proxy, authority, "/sessions", &token, &body);
    let (_, id) = response.split_once("\"id\":\"").unwrap_or_else(|| panic!("no session: {response}"));
    (id.chars().take_while(|&character| character != '"').collect(), token)
}

fn post(proxy: &Proxy, authority: &Authority, path: &str, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    exchange(proxy, authority, &request)
}

/// Sends a request, and returns the whole response with its head.
fn exchange(proxy: &Proxy, authority: &Authority, request: &str) -> String {
    let mut stream = proxy.connect(authority, 4 * wait_timeout());
    stream.write_all(request.as_bytes()).expect("the request is sent");
    let mut response = vec![];
    let mut reader = BufReader::new(stream);
    // A connection that a proxy ends without TLS's own end is read up to there.
    while reader.read_until(b'\n', &mut response).is_ok_and(|length| length > 0) {}
    String::from_utf8_lossy(&response).into_owned()
}

/// Opens a websocket, sends a message, and returns all messages up to the exit status, as lines.
fn websocket(
    proxy: &Proxy,
    authority: &Authority,
    path: &str,
    token: &str,
    message: Option<Value>,
) -> String {
    use tungstenite::{Message, client, client::IntoClientRequest as _};
    let mut request = format!("wss://localhost{path}").into_client_request().expect("an address");
    if let Some((name, value)) = token.trim().split_once(": ") {
        let name: tungstenite::http::HeaderName = name.parse().expect("a header's name");
        request.headers_mut().insert(name, value.parse().expect("a header's value"));
    }
    let stream = proxy.connect(authority, 4 * wait_timeout());
    let (mut socket, _) = client(request, stream).expect("the proxy upgrades the connection");
    if let Some(message) = message {
        socket.send(Message::text(message.to_string())).expect("the message is sent");
    }
    let mut received = String::new();
    while !received.contains("exitstatus") {
        match socket.read() {
            Ok(Message::Text(text)) => received.push_str(&format!("{text}\n")),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            other => panic!("{path}: cut off by {other:?} after {received}"),
        }
    }
    received
}

#[test]
fn a_silent_program_keeps_every_kind_of_stream_through_proxies() {
    let server =
        Server::start_with(&["--trusted-proxy", "127.0.0.1", "--allow-anonymous", "--v01-wall-ms", "200000"]);
    let authority = Authority::new();
    let nginx = Proxy::nginx(server.address(), &authority, "server");
    let caddy = Proxy::caddy(server.address(), &authority, "server");
    // Without the setting, nginx cuts off a response that is silent for a minute.
    let default_timeout = [("proxy_read_timeout 1h;", "")];
    let short = Proxy::nginx_changed(server.address(), &authority, "server", &default_timeout);
    thread::scope(|scope| {
        let mut runs = vec![];
        for (name, proxy) in [("nginx", &nginx), ("Caddy", &caddy), ("nginx, short timeout", &short)] {
            for &kind in KEPT_ALIVE.iter().chain([&Kind::Exec]) {
                let authority = &authority;
                let run = scope.spawn(move || run_silent(proxy, authority, kind));
                runs.push((name, kind, run));
            }
        }
        for (name, kind, run) in runs {
            let received = run.join().unwrap_or_else(|_| panic!("{name}, {kind:?}"));
            assert!(received.contains("before"), "{name}, {kind:?}: {received}");
            // Only `/exec` depends on the proxy's timeout.
            let is_cut = name == "nginx, short timeout" && matches!(kind, Kind::Exec);
            assert_eq!(received.contains("survived"), !is_cut, "{name}, {kind:?}: {received}");
            if let Kind::Plain("application/x-ndjson") = kind {
                // Each empty line is a chunk of one byte.
                assert!(received.contains("\r\n1\r\n\n\r\n"), "{name}: no keep-alive in {received:?}");
            }
        }
    });
}

/// The status and the body of a request as the guest of [`create`].
fn get(proxy: &Proxy, authority: &Authority, path: &str, token: &str) -> (String, String) {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{token}Connection: close\r\n\r\n");
    let response = exchange(proxy, authority, &head);
    (response.split(' ').nth(1).unwrap_or_default().to_owned(), response)
}

/// The documented health check of a proxy does not keep clients from sessions that still run.
#[test]
fn sessions_of_a_draining_server_are_reached_through_proxies() {
    let authority = Authority::new();
    let start_nginx = |upstream: &str| Proxy::nginx(upstream, &authority, "server");
    let start_caddy = |upstream: &str| Proxy::caddy(upstream, &authority, "server");
    for start in [&start_nginx as &dyn Fn(&str) -> Proxy, &start_caddy] {
        let server = Server::start_with(&["--trusted-proxy", "127.0.0.1", "--allow-anonymous", "--drain"]);
        let proxy = start(server.address());
        // A program that runs on keeps the server from ending; the other one runs for some of the
        // health check's intervals.
        create_session(&proxy, &authority, "bash", "read line");
        let (id, token) = create_session(&proxy, &authority, "bash", "sleep 7");
        let pid = Pid::from_raw(server.pid() as i32).expect("a valid pid");
        kill_process(pid, Signal::TERM).expect("the server runs");
        eventually("the server drains", || {
            (get(&proxy, &authority, "/healthz", "").0 == "503").then_some(())
        });
        eventually("the program ends", || {
            let (status, response) = get(&proxy, &authority, &format!("/sessions/{id}"), &token);
            assert_eq!(status, "200", "{response}");
            assert_eq!(get(&proxy, &authority, "/livez", "").0, "200");
            response.contains("\"outcome\":\"exited\"").then_some(())
        });
    }
}

/// Number of clients that run programs while the server is killed.
const CLIENTS: usize = 20;
const KILLS: usize = 5;
/// Number of lines that each program prints.
const LINES: usize = 600;

/// A command that is killed if its test fails.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_client(folder: &Path, number: usize, url: &str, authority: &Authority) -> Client {
    let file = |ending| fs::File::create(folder.join(format!("{number}.{ending}")));
    let out = file("out").expect("the file can be created");
    let errors = file("err").expect("the file can be created");
    let child = Command::new(binary())
        .args(["run", "p.py"])
        .current_dir(folder)
        .env("LIVECODE_SERVER", url)
        .env("LIVECODE_CA_FILE", authority.certificate())
        .env("XDG_CONFIG_HOME", folder.join("configuration"))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(errors)
        .spawn();
    Client(child.expect("the binary starts"))
}

/// Runs clients through a proxy, kills the server again and again, and compares what they print.
fn check_kills(start_proxy: impl Fn(&str, &Authority) -> Proxy) {
    let mut server = Server::start_with(&["--trusted-proxy", "127.0.0.1", "--allow-anonymous"]);
    let authority = Authority::new();
    let proxy = start_proxy(server.address(), &authority);
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let code = format!(
        "import time\nfor n in range({LINES}):\n    print(n, 'x' * (n % 97), flush=True)\n    time.sleep(0.02)\n"
    );
    fs::write(folder.path().join("p.py"), code).expect("the file can be written");
    let mut clients: Vec<_> =
        (0..CLIENTS).map(|number| start_client(folder.path(), number, &proxy.url(""), &authority)).collect();
    let output = |number| fs::read(folder.path().join(format!("{number}.out"))).expect("the file exists");
    let errors =
        |number| fs::read_to_string(folder.path().join(format!("{number}.err"))).expect("the file exists");
    for kill in 1..=KILLS {
        // Every client has a further part of the output.
        let lines = kill * LINES / (KILLS + 2);
        for (number, client) in clients.iter_mut().enumerate() {
            eventually(&format!("client {number} has {lines} lines"), || {
                let ended = client.0.try_wait().expect("the client is a child");
                let received = output(number).iter().filter(|byte| **byte == b'\n').count();
                let is_ahead = received >= lines;
                assert!(
                    is_ahead || ended.is_none(),
                    "client {number} ended with {ended:?} after {received} lines: {}",
                    errors(number)
                );
                is_ahead.then_some(())
            });
        }
        server.kill();
        server.start_again();
    }
    let expected: String = (0..LINES).map(|n| format!("{n} {}\n", "x".repeat(n % 97))).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let status = eventually("the client ends", || client.0.try_wait().expect("the client is a child"));
        assert_eq!(status.code(), Some(0), "client {number}: {}", errors(number));
        assert!(output(number) == expected.as_bytes(), "client {number} lost or doubled output");
    }
}

#[test]
fn no_byte_is_lost_through_nginx_while_the_server_is_killed() {
    check_kills(|upstream, authority| Proxy::nginx(upstream, authority, "server"));
}

#[test]
fn no_byte_is_lost_through_caddy_while_the_server_is_killed() {
    check_kills(|upstream, authority| Proxy::caddy(upstream, authority, "server"));
}
