//! The OpenAPI document, checked against the server that it describes.

use std::process::Command;

use crate::common::Server;

#[test]
fn the_document_describes_every_route() {
    let server = Server::start();
    let document = server.get("/openapi.json").json();
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1"));
    let paths: Vec<_> = document["paths"].as_object().expect("a list of paths").keys().collect();
    for path in [
        "/",
        "/catalogue/check",
        "/catalogue/reload",
        "/embed",
        "/exec",
        "/exercises",
        "/exercises/{id}",
        "/healthz",
        "/livecode",
        "/livez",
        "/metrics",
        "/openapi.json",
        "/runtimes",
        "/runtimes/{runtime}",
        "/sessions",
        "/sessions/{id}",
        "/sessions/{id}/files",
        "/sessions/{id}/files/{name}",
        "/sessions/{id}/shares",
        "/sessions/{id}/shares/{share}",
        "/sessions/{id}/stream",
        "/shares/redeem",
        "/static/{file}",
    ] {
        assert!(paths.iter().any(|known| *known == path), "{path} in {paths:?}");
    }
}

/// Generators of clients, and links in the document, name operations by these (OpenAPI 3.1, section
/// 4.8.10.1).
#[test]
fn operations_have_names_of_their_own() {
    let document = Server::start().get("/openapi.json").json();
    let paths = document["paths"].as_object().expect("paths").values();
    let operations = paths.flat_map(|path| path.as_object().expect("operations").values());
    let mut names: Vec<&str> =
        operations.map(|operation| operation["operationId"].as_str().expect("a name")).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None);
}

/// schemathesis generates requests from the document, and checks the responses against it.
#[test]
fn the_server_keeps_to_it() {
    let server = Server::start();
    let schemathesis =
        std::env::var_os("SCHEMATHESIS").expect("SCHEMATHESIS names the program; scripts/test sets it");
    // schemathesis writes its notes into the working directory.
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let output = Command::new(schemathesis)
        .current_dir(folder.path())
        .args(["run", &server.url("/openapi.json"), "--max-examples", "20", "--seed", "1", "--no-color"])
        // Some rules cannot be part of a schema, such as the names of the runtimes. A document
        // that breaks one is valid by the schema, and is still refused.
        .args(["--exclude-checks", "positive_data_acceptance"])
        // A request that runs a program is answered only when the program has ended.
        .args(["--request-timeout", "30"])
        .output()
        .expect("schemathesis runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
}
