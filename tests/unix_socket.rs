//! The server on a unix socket: who may connect, who is the local user there, and what becomes of
//! the socket's file.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{
    common::{Server, binary, is_root, proxy::Proxy},
    local_user::{NOBODY, OTHER, as_user, curl},
};

/// A folder that all users may enter, and the path of a socket in it.
fn socket_folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our folder");
    let path = folder.path().join("livecode.sock");
    (folder, path)
}

fn address(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// The status of an answer over the socket to a command that executes `curl`.
fn status(command: Command, path: &Path, arguments: &[&str]) -> u16 {
    let socket = path.to_str().expect("a path in UTF-8");
    curl(command, &[&["--unix-socket", socket], arguments].concat())
}

/// The output of a server that does not start.
fn refused(listen: &str) -> Output {
    let data = tempfile::tempdir().expect("a temporary folder is created");
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", listen, "--data-dir"]).arg(data.path().join("data"));
    let output = command.env("RUST_LOG", "error").stdin(Stdio::null()).output().expect("it runs");
    assert!(!output.status.success(), "{output:?}");
    output
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_peers_user_decides_who_is_local() {
    let (_folder, path) = socket_folder();
    let listen = format!("127.0.0.1:0,{}", address(&path));
    let server = Server::listen_on(
        &listen,
        &["--host", "live.example", "--socket-access", "all", "--allow-anonymous"],
    );
    let metrics = "http://localhost/metrics";
    assert_eq!(status(Command::new("curl"), &path, &[metrics]), 200);
    for sign in ["Via: 1.1 proxy", "X-Forwarded-For: 192.0.2.1", "X-Real-IP: 192.0.2.1", "Host: live.example"]
    {
        assert_eq!(status(Command::new("curl"), &path, &["-H", sign, metrics]), 403, "{sign}");
    }
    assert_eq!(status(Command::new("curl"), &path, &["--http1.0", metrics]), 403);
    // The same server has no local user over TCP, since it has a public name.
    assert_eq!(server.get("/metrics").status, 403);
    let json = ["-H", "Content-Type: application/json", "-d", r#"{"runtime": "bash", "code": "echo 1"}"#];
    let exec = [&json[..], &["http://localhost/exec"]].concat();
    assert_eq!(status(Command::new("curl"), &path, &exec), 200);
    if is_root() {
        for uid in [NOBODY, OTHER] {
            assert_eq!(status(as_user(uid, "curl"), &path, &[metrics]), 403, "uid {uid}");
            assert_eq!(status(as_user(uid, "curl"), &path, &exec), 200, "uid {uid}");
        }
    }
}

#[test]
fn the_mode_decides_who_may_connect() {
    for (access, mode) in [("owner", 0o600), ("group", 0o660), ("all", 0o666)] {
        let (_folder, path) = socket_folder();
        let listen = format!("{},127.0.0.1:0", address(&path));
        let _server = Server::listen_on(&listen, &["--socket-access", access]);
        let metadata = fs::metadata(&path).expect("the socket exists");
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{access}");
        if is_root() && access != "all" {
            assert_eq!(status(as_user(OTHER, "curl"), &path, &["http://localhost/healthz"]), 0);
        }
    }
}

#[test]
fn nginx_passes_strangers_on_as_guests() {
    let (_folder, path) = socket_folder();
    let listen = format!("{},127.0.0.1:0", address(&path));
    let arguments =
        ["--socket-access", "all", "--host", "127.0.0.1", "--trusted-proxy", "unix", "--allow-anonymous"];
    let _server = Server::listen_on(&listen, &arguments);
    let upstream = address(&path);
    let silent = Proxy::bare_nginx(&upstream, "");
    let with_headers = Proxy::bare_nginx(
        &upstream,
        "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header X-Forwarded-For $remote_addr;",
    );
    for proxy in [&silent, &with_headers] {
        assert_eq!(curl(Command::new("curl"), &[&proxy.url("/healthz")]), 200);
        assert_eq!(curl(Command::new("curl"), &[&proxy.url("/metrics")]), 403);
    }
}

#[test]
fn a_dead_servers_socket_is_replaced_and_a_living_ones_is_not() {
    let (_folder, path) = socket_folder();
    let listen = format!("{},127.0.0.1:0", address(&path));
    let mut server = Server::listen_on(&listen, &[]);
    let second = words(&refused(&address(&path)));
    assert!(second.contains("another program listens there"), "{second}");
    let healthz = ["http://localhost/healthz"];
    assert_eq!(status(Command::new("curl"), &path, &healthz), 200, "the first still serves");
    server.kill();
    assert!(path.exists());
    let next = Server::listen_on(&listen, &[]);
    assert_eq!(status(Command::new("curl"), &path, &healthz), 200);
    drop(next); // it is killed
    let mut stopped = Server::listen_on(&listen, &[]);
    stopped.stop();
    assert!(!path.exists(), "a server that stops removes its socket");

    let _foreign = UnixListener::bind(&path).expect("the path is free");
    let output = words(&refused(&address(&path)));
    assert!(output.contains("another program listens there"), "{output}");
    fs::remove_file(&path).expect("our folder");
    fs::write(&path, "precious").expect("our folder");
    let output = words(&refused(&address(&path)));
    assert!(output.contains("not a socket"), "{output}");
    assert_eq!(fs::read_to_string(&path).expect("the file is kept"), "precious");
}

#[test]
fn wrong_addresses_stop_the_start() {
    for (listen, expected) in [
        ("unix:@livecode", "abstract"),
        ("unix:livecode.sock", "slash"),
        ("unix:/nowhere/livecode.sock", "/nowhere/livecode.sock"),
        ("localhost", "127.0.0.1:8000"),
    ] {
        let output = words(&refused(listen));
        assert!(output.contains(expected), "{listen}: {output}");
    }
}

#[test]
fn the_command_line_uses_the_socket() {
    let (folder, path) = socket_folder();
    let listen = format!("{},127.0.0.1:0", address(&path));
    let server = Server::listen_on(&listen, &["--host", "live.example", "--allow-anonymous"]);
    fs::write(folder.path().join("cat.sh"), "cat; echo done").expect("our folder");
    let script = "printf 1 | \"$0\" run cat.sh && \"$0\" ls --quiet | wc -l";
    let livecode = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(binary()).current_dir(folder.path());
        command.env("LIVECODE_SERVER", address(&path)).env("XDG_CONFIG_HOME", folder.path());
        command.stdin(Stdio::null()).output().expect("sh runs")
    };
    let output = livecode(script);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1done\n1\n", "{output:?}");
    assert!(!folder.path().join("livecode").exists(), "the local user needs no token");
    drop(server);
    let output = livecode("\"$0\" ls");
    assert!(words(&output).contains(&format!("no server answers at {}", address(&path))), "{output:?}");
}
