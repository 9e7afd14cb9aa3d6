//! The local user is nobody whom a proxy or a forwarder brings, and no other user of the
//! machine. The figures of `/metrics` are for the local user alone, so they tell who a caller is.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Output, Stdio},
};

use crate::common::{
    Server, binary, eventually, is_root,
    proxy::{Proxy, free_port},
    wait_timeout,
};

/// Two ordinary users.
pub const NOBODY: u32 = 65534;
pub const OTHER: u32 = 12345;

/// A program of another user that passes connections to a TCP port on, byte for byte.
const FORWARDER: &str = "
import socket, sys, threading
def copy(a, b):
    while data := a.recv(65536):
        b.sendall(data)
    b.shutdown(socket.SHUT_WR)
with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as listener:
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(('127.0.0.1', int(sys.argv[2])))
        for pair in (client, server), (server, client):
            threading.Thread(target=copy, args=pair, daemon=True).start()
";

/// Forbids netlink sockets, then executes a command.
const WITHOUT_NETLINK: &str = "
import ctypes, os, struct, sys
AUDIT_ARCH, SOCKET = {'x86_64': (0xc000003e, 41), 'aarch64': (0xc00000b7, 198)}[os.uname().machine]
rules = [(0x20, 0, 0, 4), (0x15, 0, 4, AUDIT_ARCH), (0x20, 0, 0, 0), (0x15, 0, 2, SOCKET),
         (0x20, 0, 0, 16), (0x15, 1, 0, 16), (0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x50001)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *rule) for rule in rules))
filter = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(rules), ctypes.addressof(code)))
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, filter, 0, 0) == 0, ctypes.get_errno()
os.execvp(sys.argv[1], sys.argv[1:])
";

/// A child that is killed at the end of its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that another user executes.
pub fn as_user(uid: u32, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups", program]);
    command
}

/// The status of an answer to `curl` by a command that executes it.
pub fn curl(mut command: Command, arguments: &[&str]) -> u16 {
    let output = command
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"])
        .args(["--noproxy", "*", "--max-time", "25"])
        .args(arguments)
        .output()
        .expect("curl is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.parse().unwrap_or_else(|_| panic!("{output:?}"))
}

/// Whether a caller with these headers is the local user.
fn is_local(server: &Server, headers: &[(&str, &str)]) -> bool {
    match server.request("GET", "/metrics", headers, &[]).status {
        200 => true,
        403 => false,
        status => panic!("{status} for {headers:?}"),
    }
}

/// The first line of the answer to a request in these bytes.
fn raw(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(wait_timeout())).expect("a positive duration");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn each_sign_of_a_proxy_makes_a_guest() {
    let server = Server::start();
    assert!(is_local(&server, &[]));
    for (name, value) in [
        ("via", "1.1 proxy"),
        ("forwarded", "for=192.0.2.1"),
        ("x-real-ip", "192.0.2.1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-host", "live.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("X-Forwarded-Anything", ""),
    ] {
        assert!(!is_local(&server, &[(name, value)]), "{name}");
    }
    for (request, status) in [
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "200"),
        // By default nginx speaks HTTP/1.0 to a server.
        ("GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n", "403"),
        ("GET /metrics HTTP/1.1\r\nHost: live.example\r\nConnection: close\r\n\r\n", "403"),
    ] {
        let line = raw(server.address(), request);
        assert!(line.contains(status), "{request:?}: {line}");
    }
}

#[test]
fn a_server_that_others_are_to_reach_has_no_local_user() {
    for arguments in [
        &["--host", "live.example"][..],
        &["--trusted-proxy", "127.0.0.1"],
        &["--trusted-proxy", "192.0.2.1"],
        &["--local-user", "none"],
    ] {
        let server = Server::start_with(&[arguments, &["--allow-anonymous"]].concat());
        assert!(!is_local(&server, &[]), "{arguments:?}");
    }
    let server = Server::listen_on("0.0.0.0:0", &["--allow-degraded", "--allow-anonymous"]);
    assert!(!is_local(&server, &[]));
    let server = Server::listen_on("[::1]:0", &[]);
    assert!(is_local(&server, &[]));
}

#[test]
fn a_setting_makes_strangers_local_and_the_log_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let log = folder.path().join("log");
    let script = format!("RUST_LOG=info exec \"$@\" 2>{}", log.display());
    let wrapper = ["sh", "-c", &script, "sh"];
    let server =
        Server::start_by(&wrapper, &["--local-user", "all", "--host", "live.example", "--allow-anonymous"]);
    assert!(is_local(&server, &[("x-forwarded-for", "192.0.2.1"), ("host", "live.example")]));
    assert!(!is_local(&server, &[("origin", "https://elsewhere.example")]), "a page never is");
    let text = || fs::read_to_string(&log).expect("the server has a log");
    assert!(text().contains("STRANGERS ARE LOCAL"), "{}", text());
    drop(server);
    let server = Server::start_by(&wrapper, &["--host", "live.example", "--allow-anonymous"]);
    assert!(text().contains("nobody is the local user"), "{}", text());
    drop(server);
    drop(Server::start_by(&wrapper, &[]));
    assert!(!text().contains("local"), "{}", text());
}

#[test]
fn a_proxy_without_forwarding_headers_makes_guests() {
    let server = Server::start();
    let plain = Proxy::bare_nginx(server.address(), "");
    assert_eq!(curl(Command::new("curl"), &[&plain.url("/metrics")]), 403, "it speaks HTTP/1.0");
    let silent = Proxy::bare_nginx(
        server.address(),
        "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host localhost;",
    );
    // Nothing in a request shows this proxy. If it is of the server's own user, nothing else does.
    let expected = if is_root() { 403 } else { 200 };
    assert_eq!(curl(Command::new("curl"), &[&silent.url("/metrics")]), expected);
    // A guest can use all that version 0.1 has.
    let json = "Content-Type: application/json";
    let exec = r#"{"runtime": "bash", "code": "echo 1"}"#;
    assert_eq!(curl(Command::new("curl"), &["-H", json, "-d", exec, &plain.url("/exec")]), 200);
}

#[test]
fn other_users_of_the_machine_are_guests() {
    if !is_root() {
        // An ordinary user cannot become another one. Root can connect to its server.
        return;
    }
    let server = Server::start();
    let url = server.url("/metrics");
    assert_eq!(curl(Command::new("curl"), &[&url]), 200);
    for uid in [NOBODY, OTHER] {
        assert_eq!(curl(as_user(uid, "curl"), &[&url]), 403, "uid {uid}");
    }
    let port = free_port().to_string();
    let to = server.address().rsplit(':').next().expect("a port").to_owned();
    let mut forwarder = as_user(OTHER, "/usr/bin/python3");
    let _forwarder = Killed(forwarder.args(["-c", FORWARDER, &port, &to]).spawn().expect("it starts"));
    let forwarded = format!("127.0.0.1:{port}");
    eventually("the forwarder listens", || TcpStream::connect(&forwarded).ok());
    assert_eq!(curl(Command::new("curl"), &[&format!("http://{forwarded}/metrics")]), 403);
    assert_eq!(curl(Command::new("curl"), &[&format!("http://{forwarded}/healthz")]), 200);
}

#[test]
fn the_local_users_of_an_ordinary_users_server_are_this_user_and_root() {
    if !is_root() {
        return; // see above
    }
    for uid in [OTHER, NOBODY] {
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("our folder");
        let copy = folder.path().join("livecode");
        fs::copy(binary(), &copy).expect("the binary can be copied");
        let log = fs::File::create(folder.path().join("out")).expect("our folder");
        let mut command = as_user(uid, copy.to_str().expect("a path in UTF-8"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path().join("data"));
        command.env("RUST_LOG", "error").stdout(log);
        let _server = Killed(command.spawn().expect("the server starts"));
        let url = eventually("the server listens", || {
            let text = fs::read_to_string(folder.path().join("out")).ok()?;
            Some(format!("{}/metrics", text.strip_prefix("LiveCode listens on ")?.strip_suffix('\n')?))
        });
        assert_eq!(curl(Command::new("curl"), &[&url]), 200, "root");
        assert_eq!(curl(as_user(uid, "curl"), &[&url]), 200, "uid {uid}");
        assert_eq!(curl(as_user(uid + 1 - 2 * u32::from(uid == NOBODY), "curl"), &[&url]), 403);
    }
}

/// In a user namespace that has one uid, the kernel shows all other users as `nobody`.
#[test]
fn users_that_the_kernel_does_not_tell_apart_are_guests() {
    if !is_root() {
        return; // see above
    }
    let map = ["unshare", "--user", "--map-user=65534", "--map-group=65534"];
    let server = Server::start_by(&map, &["--allow-degraded"]);
    for uid in [NOBODY, OTHER] {
        assert_eq!(curl(as_user(uid, "curl"), &[&server.url("/metrics")]), 403, "uid {uid}");
    }
}

#[test]
fn without_an_answer_of_the_kernel_nobody_is_local() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let log = folder.path().join("log");
    let script = format!("RUST_LOG=warn exec \"$@\" 2>{}", log.display());
    let wrapper = ["/usr/bin/python3", "-c", WITHOUT_NETLINK, "sh", "-c", &script, "sh"];
    let server = Server::start_by(&wrapper, &[]);
    assert!(!is_local(&server, &[]));
    let text = fs::read_to_string(&log).expect("the server has a log");
    assert!(text.contains("nobody is the local user"), "{text}");
    drop(server);
    let doctor = |wrapper: &[&str]| -> Output {
        let mut words = wrapper.iter().copied().map(std::ffi::OsString::from).chain([binary().into()]);
        let mut command = Command::new(words.next().expect("a word"));
        command.args(words).args(["doctor", "--json"]).stdin(Stdio::null()).output().expect("it runs")
    };
    let verdict = |output: Output| {
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let findings = report["findings"].as_array().expect("findings").clone();
        let finding = findings.into_iter().find(|finding| finding["name"] == "local user");
        finding.expect("a finding about the local user")
    };
    let finding = verdict(doctor(&wrapper[..3]));
    assert!(finding["verdict"] == "degraded" && finding["remedies"][0]["command"].is_string(), "{finding}");
    assert_eq!(verdict(doctor(&[]))["verdict"], "ok");
}
