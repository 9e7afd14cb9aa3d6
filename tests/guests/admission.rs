//! A server that strangers may reach, and that knows no users, starts only if it is told so.

use std::process::{Command, Stdio};

use crate::common::{Server, binary};

/// A server that is to refuse its start, and what it says.
fn refusal(listen: &str, arguments: &[&str]) -> String {
    let data = tempfile::tempdir().expect("a temporary folder is created");
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", listen, "--data-dir"]).arg(data.path().join("data")).args(arguments);
    // In a container that cannot enforce every limit this would be the next refusal.
    command.env_remove("LIVECODE_SERVER").env("LIVECODE_ALLOW_DEGRADED", "true").stdin(Stdio::null());
    let output = command.output().expect("the binary starts");
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{printed}");
    assert!(!data.path().join("data").exists(), "it was noticed too late");
    printed
}

#[test]
fn a_public_server_does_not_start_without_a_word_about_its_callers() {
    for (listen, arguments, why) in [
        ("0.0.0.0:8123", &[][..], "it listens on 0.0.0.0:8123"),
        ("[::]:0", &[], "it listens on [::]:0"),
        ("127.0.0.1:0", &["--listen", "192.0.2.1:0"], "it listens on 192.0.2.1:0"),
        ("127.0.0.1:0", &["--host", "live.example"], "hosts names live.example"),
        ("127.0.0.1:0", &["--trusted-proxy", "127.0.0.1"], "trusted_proxies names a proxy (127.0.0.1)"),
        ("127.0.0.1:0", &["--trusted-proxy", "unix"], "trusted_proxies names a proxy (unix)"),
        ("127.0.0.1:0", &["--host", "live.example", "--local-user", "all"], "hosts names live.example"),
    ] {
        let printed = refusal(listen, arguments);
        for words in [why, "--auth tokens", "--allow-anonymous"] {
            assert!(printed.contains(words), "{words} is not in {printed}");
        }
    }
    assert!(refusal("0.0.0.0:8123", &[]).contains("--listen 127.0.0.1:8123"));
}

#[test]
fn others_start_as_before() {
    for arguments in [
        &[][..],
        &["--local-user", "none"],
        &["--auth", "tokens", "--host", "live.example"],
        &["--auth", "tokens", "--trusted-proxy", "127.0.0.1"],
        &["--allow-anonymous"],
        &["--allow-anonymous", "--host", "live.example"],
    ] {
        assert_eq!(Server::start_with(arguments).get("/livez").status, 200, "{arguments:?}");
    }
    for auth in ["--allow-anonymous", "--auth=tokens"] {
        let server = Server::listen_on("0.0.0.0:0", &["--allow-degraded", auth]);
        assert_eq!(server.get("/livez").status, 200, "{auth}");
    }
    let variables = [("LIVECODE_ALLOW_ANONYMOUS", "true"), ("LIVECODE_HOSTS", "live.example")];
    assert_eq!(Server::start_with_environment(&variables).get("/livez").status, 200);
}
