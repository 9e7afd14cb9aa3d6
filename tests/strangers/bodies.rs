//! What strangers send is held within one budget, parsed without excess, and given up in time.

use super::connection::{Connection, memory, metric, reset_memory_peak};
use crate::common::{Server, eventually};

const MIB: usize = 1024 * 1024;

/// A server whose byte budget is 12 MiB: 9 MiB for guests, 3 MiB for each address.
fn small_budget() -> Server {
    Server::start_with_environment(&[
        ("LIVECODE_BODY_MAX_BYTES", "1048576"),
        ("LIVECODE_HELD_BYTES_MAX", "12582912"),
        ("LIVECODE_HELD_BYTES_PER_ADDRESS_PERCENT", "25"),
    ])
}

/// A connection with a body of 1 MiB of which the last byte is missing.
fn unfinished_body(server: &Server, last: u8, (path, headers, start): (&str, &str, &str)) -> Connection {
    let headers = format!("{headers}content-length: {MIB}\r\n");
    let body = format!("{start}{}", " ".repeat(MIB - 1 - start.len()));
    Connection::request(server, last, &format!("POST {path}"), &headers, body.as_bytes())
}

/// Asserts that the byte budget refuses a request.
fn refused(connection: &mut Connection) {
    let response = connection.response().expect("an answer");
    assert_eq!((response.status, response.code().as_str()), (503, "held_bytes_full"));
    assert!(response.head.contains("\r\nretry-after: "), "{}", response.head);
}

/// Waits until the server has given everything back.
fn nothing_is_held(server: &Server) {
    eventually("nothing is held", || (metric(server, "livecode_held_bytes") == 0).then_some(()));
}

#[test]
fn unfinished_bodies_are_bounded_for_each_address_and_in_all() {
    let server = small_budget();
    let json = "content-type: application/json\r\n";
    let kinds = [
        ("/sessions", json, "{"),
        ("/exec", json, "{"),
        ("/runtimes/python", "", "#"),
        (
            "/runtimes/bash",
            "content-type: multipart/form-data; boundary=b\r\n",
            "--b\r\ncontent-disposition: form-data; name=a\r\n\r\n",
        ),
    ];
    for kind in kinds {
        let mut held = vec![];
        for last in 2..5 {
            for _ in 0..3 {
                held.push(unfinished_body(&server, last, kind));
                let bytes = (held.len() * (MIB - 1)) as u64;
                eventually("it is held", || (metric(&server, "livecode_held_bytes") >= bytes).then_some(()));
            }
            // Three fit into the share of an address.
            refused(&mut unfinished_body(&server, last, kind));
        }
        // Three addresses have taken the guests' part, but not that of the local user.
        refused(&mut unfinished_body(&server, 5, kind));
        let run = server.run_code("bash", &format!("echo local # {}", " ".repeat(MIB / 2)));
        assert_eq!(run.stdout, "local\n");
        drop(held);
        nothing_is_held(&server);
    }
    assert!(metric(&server, "livecode_held_bytes_refused_total") >= 16);
}

/// A tree of values would take more than thirty times the memory of this text.
#[test]
fn a_body_of_many_small_values_takes_little_memory() {
    let server = Server::start();
    let values = format!("[{}1]", "1,".repeat(3 * MIB));
    let nested = format!("[{}[]]", "[[],{}],".repeat(MIB / 2));
    let many = format!("[{}\"\"]", "\"\",".repeat(2 * MIB));
    let post = |path: &str, body: &str| {
        server.request("POST", path, &[("content-type", "application/json")], body.as_bytes())
    };
    for (path, body, status) in [
        ("/exec", format!(r#"{{"runtime":"bash","code":"echo ok","other":{values}}}"#), 200),
        ("/exec", format!(r#"{{"runtime":"bash","code":"echo ok","other":{nested}}}"#), 200),
        ("/exec", format!(r#"{{"runtime":"bash","code":"echo ok","args":{many}}}"#), 422),
        ("/sessions", format!(r#"{{"runtime":"bash","code":"echo ok","other":{values}}}"#), 422),
        ("/sessions", format!(r#"{{"runtime":"bash","code":"echo ok","args":{many}}}"#), 422),
        ("/sessions", format!(r#"{{"runtime":"bash","code":"echo ok","files":{many}}}"#), 422),
        ("/sessions", values, 422),
        ("/sessions", format!("{{\"runtime\":{nested}"), 400),
    ] {
        reset_memory_peak(&server);
        let before = memory(&server, "VmRSS");
        let response = post(path, &body);
        let taken = memory(&server, "VmHWM").saturating_sub(before);
        assert_eq!(response.status, status, "{path} {body:.80}: {}", response.text());
        assert!(taken < 4 * body.len() as u64, "{path} {body:.80}: {taken} bytes for {}", body.len());
    }
}

#[test]
fn a_request_with_two_hosts_is_refused() {
    let server = Server::start();
    let host = format!("host: {}\r\n", server.address());
    for headers in [host.as_str(), "host: elsewhere.example\r\n"] {
        let response = Connection::request(&server, 2, "GET /healthz", headers, b"").response();
        let response = response.expect("an answer");
        assert_eq!((response.status, response.code().as_str()), (400, "malformed_request"));
    }
}
