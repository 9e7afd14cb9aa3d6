//! The document of the interface, against the server that it describes.

use std::process::Command;

use crate::common::Server;

#[test]
fn it_describes_every_route() {
    let server = Server::start();
    let document = server.get("/openapi.json").json();
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1"));
    let paths: Vec<_> = document["paths"].as_object().expect("paths").keys().collect();
    for path in [
        "/",
        "/exec",
        "/healthz",
        "/livecode",
        "/metrics",
        "/openapi.json",
        "/runtimes",
        "/runtimes/{runtime}",
        "/sessions",
        "/sessions/{id}",
        "/sessions/{id}/stream",
        "/static/{file}",
    ] {
        assert!(paths.iter().any(|known| *known == path), "{path} in {paths:?}");
    }
}

/// schemathesis makes up requests from the document, and checks the answers against it.
#[test]
fn the_server_keeps_to_it() {
    let server = Server::start();
    let schemathesis =
        std::env::var_os("SCHEMATHESIS").expect("SCHEMATHESIS names the program; scripts/test sets it");
    // It keeps notes where it is started.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new(schemathesis)
        .current_dir(folder.path())
        .args(["run", &server.url("/openapi.json"), "--max-examples", "20", "--seed", "1", "--no-color"])
        // What no schema can say, such as which runtimes there are, makes a valid document an error all the same.
        .args(["--exclude-checks", "positive_data_acceptance"])
        // A request that runs a program answers when the program has ended.
        .args(["--request-timeout", "30"])
        .output()
        .expect("schemathesis runs");
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{words}\n{}", String::from_utf8_lossy(&output.stderr));
}
