//! Sessions as HTTP resources: they are created (once per idempotency key), read, listed and
//! deleted.

use serde_json::{Value, json};

use crate::common::{Run, Server, eventually, id};

/// The example of the v0.2 specification, exactly as it is written there.
#[test]
fn the_documents_example_works_as_written() {
    let server = Server::start();
    let response =
        server.post("/sessions", &json!({"runtime": "python-canvas", "code": "circle(100, 100, 50)"}));
    assert_eq!(response.status, 201, "{}", response.text());
    let session = response.json();
    let id = id(&session);
    assert!(id.len() >= 32, "an id should have at least 128 bits: {id}");
    assert_eq!(response.header("location"), Some(&*server.url(&format!("/sessions/{id}"))));
    assert_eq!(session["links"]["self"], server.url(&format!("/sessions/{id}")));
    assert_eq!(session["links"]["stream"], format!("ws://{}/sessions/{id}/stream", server.address()));
    assert!(session["elapsed"].is_number());
    let created = session["created"].as_str().expect("a time");
    assert!(created.len() >= 20 && created.ends_with('Z') && created.as_bytes()[10] == b'T', "{created}");

    for _ in 0..2 {
        let mut stream = server.stream(&id, "");
        assert_eq!(
            stream.rest(),
            [
                json!({"msgtype": "welcome", "message": "welcome to livecode"}),
                json!({"msgtype": "draw", "shape": "circle", "args": [100, 100, 50]}),
                json!({"msgtype": "exitstatus", "exitstatus": 0}),
            ]
        );
        assert_eq!(stream.close_code(), Some(1000));
    }
}

#[test]
fn a_session_is_described_in_every_state() {
    let server = Server::start();
    let session = server.create(&json!({"runtime": "python", "code": "input()\nraise SystemExit(3)"}));
    let path = format!("/sessions/{}", id(&session));
    assert_eq!(session["runtime"], "python");
    assert!(["queued", "running"].contains(&session["state"].as_str().expect("a state")));
    assert_eq!((&session["outcome"], &session["exitstatus"]), (&Value::Null, &Value::Null));

    let mut stream = server.stream(&id(&session), "");
    stream.send(&json!({"msgtype": "input", "data": "\n"}));
    stream.rest();
    let ended = server.get(&path).json();
    assert_eq!(ended["state"], "ended");
    assert_eq!((&ended["outcome"], &ended["exitstatus"]), (&json!("exited"), &json!(3)));
    assert_eq!(ended["created"], session["created"]);
    assert!(ended["elapsed"].as_f64().expect("seconds") > 0.0);
}

#[test]
fn an_alias_selects_its_runtime() {
    let server = Server::start();
    let session = server.create(&json!({"runtime": "golang", "code": "package main\nfunc main() {}"}));
    assert_eq!(session["runtime"], "go");
    Run::collect(server.stream(&id(&session), ""));
}

#[test]
fn sessions_are_listed_and_deleted() {
    let server = Server::start();
    assert_eq!(server.get("/sessions").json(), json!([]));
    let first = server.create_id("python", "print(1)");
    let second = server.create_id("python", "import time; time.sleep(60)");
    Run::collect(server.stream(&first, ""));

    let listed = || {
        let list = server.get("/sessions").json();
        let mut ids: Vec<_> = list.as_array().expect("a list").iter().map(id).collect();
        ids.sort();
        ids
    };
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    assert_eq!(listed(), both);

    let mut client = server.stream(&second, "");
    for id in [&first, &second] {
        let response = server.delete(&format!("/sessions/{id}"));
        assert_eq!((response.status, response.body.len()), (204, 0));
        server.get(&format!("/sessions/{id}")).problem(404);
        server.delete(&format!("/sessions/{id}")).problem(404);
        assert!(!server.data().join("sessions").join(id).exists());
    }
    assert_eq!(listed(), Vec::<String>::new());
    let last = client.rest().pop().expect("a last message");
    assert_eq!(last, json!({"msgtype": "exitstatus", "exitstatus": 137, "reason": "cancelled"}));
    assert_eq!(client.close_code(), Some(1000));
}

/// A session that could not be deleted is still listed and can still be read.
#[test]
fn a_session_that_could_not_be_deleted_is_still_found() {
    let server = Server::start();
    let deleted = server.create_id("bash", "echo kept");
    Run::collect(server.stream(&deleted, ""));
    let trash = server.data().join("trash");
    std::fs::remove_dir(&trash).expect("the folder is empty");
    std::fs::write(&trash, "in the way").expect("the file can be written");
    let path = format!("/sessions/{deleted}");
    server.delete(&path).problem(500);
    assert_eq!(server.get(&path).json()["state"], "ended");
    assert_eq!(server.get("/sessions").json()[0]["id"], deleted);
    assert_eq!(Run::collect(server.stream(&deleted, "")).stdout, "kept\n");
    std::fs::remove_file(&trash).expect("the file exists");
    std::fs::create_dir(&trash).expect("the folder can be created");
    assert_eq!(server.delete(&path).status, 204);
    server.get(&path).problem(404);
    assert!(!server.data().join(path.trim_start_matches('/')).exists());
}

/// If the files of a deleted session could not be removed, the running server tries again later.
#[test]
fn removing_a_deleted_sessions_files_is_retried() {
    let server = Server::start_with(&["--keep-ms", "1000"]);
    let leftover = server.data().join("trash").join("00112233445566778899aabbccddeeff");
    std::fs::create_dir(&leftover).expect("the folder can be created");
    std::fs::write(leftover.join("journal"), "left").expect("the file can be written");
    eventually("the leftover folder is removed", || (!leftover.exists()).then_some(()));
}

#[test]
fn an_idempotency_key_makes_one_session() {
    let mut server = Server::start();
    let create = |server: &Server, key: &str, code: &str| {
        let body = json!({"runtime": "python", "code": code}).to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        server.request("POST", "/sessions", &headers, body.as_bytes())
    };
    let first = create(&server, "k1", "print(1)");
    assert_eq!(first.status, 201);
    let again = create(&server, "k1", "print(1)");
    assert!(again.status == 200 || again.status == 201, "{}", again.status);
    assert_eq!(id(&again.json()), id(&first.json()));
    assert_eq!(again.header("location"), first.header("location"));
    create(&server, "k1", "print(2)").problem(422);
    assert_ne!(id(&create(&server, "k2", "print(1)").json()), id(&first.json()));

    server.kill();
    server.start_again();
    assert_eq!(id(&create(&server, "k1", "print(1)").json()), id(&first.json()));
    create(&server, "k1", "print(2)").problem(422);
    assert_eq!(server.get("/sessions").json().as_array().map(Vec::len), Some(2));
}

#[test]
fn all_fields_of_v0_1s_exec_are_accepted() {
    let server = Server::start();
    let code = "import sys, os, tool\nprint(sys.argv[1:], os.environ['NAME'], tool.answer, sys.stdin.read(), __file__)";
    let run = server.run(&json!({
        "runtime": "python",
        "code": code,
        "code_filename": "start.py",
        "files": [{"filename": "tool.py", "contents": "answer = 42"}, {"filename": "a/b.txt", "contents": "x"}],
        "args": ["one", "$(two) \\ \n three"],
        "env": {"NAME": "a b"},
        "stdin": "in",
        "mode": "exec",
        "timeout": 20000,
        "limits": null
    }));
    assert_eq!(run.stderr, "");
    assert!(run.stdout.starts_with("['one', '$(two) \\\\ \\n three'] a b 42 in "), "{}", run.stdout);
    assert!(run.stdout.trim_end().ends_with("start.py"), "{}", run.stdout);

    let run = server.run(&json!({
        "runtime": "python",
        "files": [{"filename": "go.py", "contents": "print('from', 'files')"}],
        "command": ["python", "go.py"],
    }));
    assert_eq!((&*run.stdout, run.exitstatus), ("from files\n", 0));
}

#[test]
fn pages_of_other_origins_see_only_their_own_sessions() {
    let server = Server::start();
    let mine = server.create_id("python", "print('mine')");
    let origin = ("origin", "https://elsewhere.example");
    let body = json!({"runtime": "python", "code": "print('theirs')"}).to_string();
    let headers = [origin, ("content-type", "application/json")];
    let created = server.request("POST", "/sessions", &headers, body.as_bytes());
    assert_eq!(created.status, 201);
    assert_eq!(created.header("access-control-allow-origin"), Some("*"));
    let exposed = created.header("access-control-expose-headers").expect("exposed headers").to_lowercase();
    assert!(exposed.contains("location"), "{exposed}");
    let theirs = id(&created.json());
    let token = format!("Bearer {}", created.json()["token"].as_str().expect("a token"));

    let get = |path: &str, headers: &[(&str, &str)]| server.request("GET", path, headers, &[]);
    assert_eq!(get(&format!("/sessions/{theirs}"), &[origin]).status, 200);
    get(&format!("/sessions/{mine}"), &[origin]).problem(404);
    server.request("DELETE", &format!("/sessions/{mine}"), &[origin], &[]).problem(404);
    assert_eq!(get("/sessions", &[origin]).json(), json!([]));
    let listed = get("/sessions", &[origin, ("authorization", &token)]).json();
    assert_eq!(listed.as_array().expect("a list").iter().map(id).collect::<Vec<_>>(), [theirs]);

    // A request that names another host is refused, because that name may have been pointed here
    // (DNS rebinding).
    get("/sessions", &[("host", "attacker.example")]).problem(403);

    let preflight = server.request(
        "OPTIONS",
        "/sessions",
        &[
            origin,
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type"),
        ],
        &[],
    );
    assert!(preflight.status == 200 || preflight.status == 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
}

#[test]
fn the_server_reports_its_health() {
    let server = Server::start();
    let health = server.get("/healthz");
    assert_eq!(health.status, 200);
    assert!(health.json()["version"].is_string());
    assert!(health.json()["degraded"].is_array());
    assert_eq!(health.header("x-content-type-options"), Some("nosniff"));
    let runtimes = server.get("/runtimes").json();
    assert_eq!(runtimes[0]["name"], "python");
    assert_eq!(runtimes[0]["available"], true);
}

#[test]
fn links_follow_a_trusted_proxys_headers() {
    let server =
        Server::start_with(&["--trusted-proxy", "127.0.0.1", "--host", "live.example", "--allow-anonymous"]);
    let body = json!({"runtime": "python", "code": "print(1)"}).to_string();
    let forwarded = [
        ("content-type", "application/json"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "live.example"),
    ];
    let response = server.request("POST", "/sessions", &forwarded, body.as_bytes());
    assert_eq!(response.status, 201, "{}", response.text());
    let links = &response.json()["links"];
    assert!(
        links["self"].as_str().expect("an address").starts_with("https://live.example/sessions/"),
        "{links}"
    );
    assert!(
        links["stream"].as_str().expect("an address").starts_with("wss://live.example/sessions/"),
        "{links}"
    );
    // A client that comes through a proxy is not the local user.
    assert!(response.json()["token"].is_string());

    let untrusting = Server::start();
    let response = untrusting.request("POST", "/sessions", &forwarded, body.as_bytes());
    assert!(response.json()["links"]["self"].as_str().expect("an address").starts_with("http://127.0.0.1"));
}

#[test]
fn a_damaged_journal_still_has_the_exit_status() {
    let server = Server::start();
    let id = server.create_id(
        "python",
        // The lines are long, so that most of the journal is output, however many of them an entry has.
        "import time\nfor i in range(20):\n    print(str(i) * 100, flush=True)\n    time.sleep(0.01)",
    );
    let whole = Run::collect(server.stream(&id, ""));
    let journal = server.data().join("sessions").join(&id).join("journal");
    let mut bytes = std::fs::read(&journal).expect("a journal");
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0x40;
    std::fs::write(&journal, bytes).expect("the journal can be written");
    let messages = server.stream(&id, "?after=0").rest();
    let gap = messages.iter().find(|message| message["msgtype"] == "gap").expect("a gap");
    let last = messages.last().expect("an exit status");
    assert_eq!((&last["msgtype"], last["exitstatus"].as_i64()), (&json!("exitstatus"), Some(0)));
    assert_eq!(gap["to"].as_u64().map(|to| to + 1), last["seq"].as_u64());
    let read: String = messages.iter().filter_map(|message| message["data"].as_str()).collect();
    assert!(whole.stdout.starts_with(&read) && read.len() < whole.stdout.len(), "{read:?}");
}
