//! The limits of each role, and the limits of a token, which lower them.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    common::{Run, Server, Stream, binary, eventually, guest::Guest, id, logged::LoggedServer},
    quotas::within_a_day,
    users::{SLEEPER, User, new_token, token_command},
};

/// A configuration file with these lines.
struct Settings(tempfile::TempDir);

impl Settings {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        fs::write(folder.path().join("livecode.toml"), text).expect("the file is written");
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("livecode.toml")
    }

    fn arguments(&self) -> [String; 2] {
        ["--config".to_owned(), self.path().to_str().expect("UTF-8").to_owned()]
    }

    fn start(&self) -> Server {
        Server::start_with(&self.arguments().each_ref().map(String::as_str))
    }
}

/// The answer to a creation: its status and body.
fn post(user: &User<'_>) -> (u16, Value) {
    user.request("POST", "/sessions", &json!({"runtime": "bash", "code": "true"}))
}

/// The quota of a caller with this name and scope.
fn quota(document: &Value, name: &str, scope: &str) -> Value {
    let quotas = document["quotas"].as_array().expect("an array");
    let found = quotas.iter().find(|quota| quota["quota"] == name && quota["scope"] == scope);
    found.cloned().unwrap_or_default()
}

fn run_to_end(user: &User<'_>, code: &str) {
    let session = id(&user.create(code));
    Run::collect(user.stream(&session).expect("the owner may watch"));
}

#[test]
fn a_role_has_quotas_of_its_own_and_those_of_users() {
    let settings = Settings::new(
        "auth = 'tokens'\nuser_creations_per_min = 3\nuser_output_bytes_per_day = 1000\n\
         [roles.pupil]\ncreations_per_min = 1\n[roles.teacher]\noutput_bytes_per_day = 0\n",
    );
    let server = settings.start();
    let of_role = |name: &str, role: &str| User::with(&server, &new_token(&server, &[name, "--role", role]));
    let (pupil, teacher) = (of_role("ada", "pupil"), of_role("bob", "teacher"));
    assert_eq!(post(&pupil).0, 201);
    let (status, problem) = post(&pupil);
    assert_eq!(
        (status, &problem["code"], &problem["quota"]),
        (429, &json!("quota_exceeded"), &json!("creations_per_min"))
    );
    let (_, document) = pupil.get("/quota");
    assert_eq!(document["role"], "pupil");
    let creations = quota(&document, "creations_per_min", "user");
    assert_eq!(
        (&creations["limit"], &creations["used"], &creations["left"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert!(creations["refilled"].is_string(), "{creations}");
    // The quotas are the user's, whatever the token.
    assert_eq!(post(&of_role("ada", "pupil")).0, 429);
    assert_eq!(quota(&document, "output_bytes_per_day", "user")["limit"], 1000);
    run_to_end(&teacher, "head -c 2000 /dev/zero | tr '\\0' x");
    let (_, document) = teacher.get("/quota");
    assert_eq!(
        (&document["role"], quota(&document, "output_bytes_per_day", "user")),
        (&json!("teacher"), Value::Null)
    );
    assert_eq!(quota(&document, "creations_per_min", "user")["limit"], 3);
    // A user of the same name in another role: what has no quota was not counted.
    assert_eq!(post(&of_role("bob", "user")).0, 201);
}

#[test]
fn an_unknown_role_is_refused_and_a_removed_one_is_that_of_users() {
    let settings = Settings::new("auth = 'tokens'\n[roles.pupil]\ncreations_per_min = 100\n");
    let arguments = settings.arguments();
    let logged = LoggedServer::start(&arguments.each_ref().map(String::as_str));
    let mut server = logged.server;
    let refused = token_command(server.data(), &["create", "ada", "--role", "king"]);
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success()
            && errors.contains("there is no role king; this server has user, admin, pupil"),
        "{errors}"
    );
    let token = new_token(&server, &["ada", "--role", "pupil"]);
    server.stop();
    // Without a server, the configuration is asked.
    let offline = |arguments: &[&str]| {
        let output = token_command(server.data(), arguments);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let path = settings.path();
    let config = ["--config", path.to_str().expect("UTF-8")];
    assert!(offline(&[&["create", "bob", "--role", "pupil"], &config[..]].concat()).0);
    let (is_made, errors) = offline(&["create", "bob", "--role", "pupil"]);
    assert!(!is_made && errors.contains("there are user, admin") && errors.contains("--config"), "{errors}");

    fs::write(&path, "auth = 'tokens'\nuser_creations_per_min = 1\n").expect("the file is written");
    server.start_again();
    let ada = User::with(&server, &token);
    let (_, document) = ada.get("/quota");
    assert_eq!(
        (&document["role"], &quota(&document, "creations_per_min", "user")["limit"]),
        (&json!("user"), &json!(1))
    );
    assert_eq!((post(&ada).0, post(&ada).0), (201, 429));
    drop(server);
}

#[test]
fn a_token_counts_for_itself_besides_its_user() {
    within_a_day(count_by_token);
}

fn count_by_token() {
    let mut server = Server::start_with(&["--auth", "tokens", "--user-output-bytes-per-day", "5000"]);
    let token = new_token(
        &server,
        &["ada", "--limit", "output_bytes_per_day=1000", "--limit", "creations_per_min=9"],
    );
    let other_token = new_token(&server, &["ada"]);
    let listed = token_command(server.data(), &["list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("creations_per_min=9,output_bytes_per_day=1000"), "{listed}");
    {
        let (limited, other) = (User::with(&server, &token), User::with(&server, &other_token));
        run_to_end(&other, "head -c 2000 /dev/zero | tr '\\0' x");
        assert_eq!(post(&limited).0, 201, "the other token has used it");
        run_to_end(&limited, "head -c 2000 /dev/zero | tr '\\0' x");
        let problem =
            eventually("the output is counted", || Some(post(&limited)).filter(|answer| answer.0 == 429)).1;
        assert_eq!(problem["quota"], "output_bytes_per_day");
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.starts_with("programs of this token may write 1000 bytes in a day"), "{detail}");
        assert_eq!(post(&other).0, 201);
        let (_, document) = limited.get("/quota");
        let left = |scope| quota(&document, "output_bytes_per_day", scope)["left"].clone();
        assert_eq!(left("token"), 0);
        assert!(left("user").as_u64().is_some_and(|left| (1..=1000).contains(&left)), "{document}");
    }
    // It is remembered, also for the token that replaces this one with the same limits.
    server.stop();
    server.start_again();
    assert_eq!(post(&User::with(&server, &token)).0, 429);
    assert_eq!(post(&User::with(&server, &other_token)).0, 201);
    let admin = User::with(&server, &new_token(&server, &["head", "--role", "admin"]));
    for wrong in
        [json!({"cpu_ms_per_day": 0}), json!({"kept_bytes_max": 1}), json!({"cpu_ms_per_day": -1}), json!([])]
    {
        let (status, problem) = admin.request("POST", "/tokens", &json!({"user": "a", "limits": wrong}));
        assert_eq!(status, 422, "{problem}");
        assert!(problem["field"].as_str().is_some_and(|field| field.starts_with("limits")), "{problem}");
    }
    let (status, made) =
        admin.request("POST", "/tokens", &json!({"user": "a", "limits": {"cpu_ms_per_day": 5}}));
    assert_eq!((status, &made["limits"]), (201, &json!({"cpu_ms_per_day": 5})));
    let (_, tokens) = admin.get("/tokens");
    assert_eq!(tokens[0]["limits"], json!({"cpu_ms_per_day": 5}), "{tokens}");
}

#[test]
fn sessions_beyond_those_that_may_run_wait() {
    let settings = Settings::new(
        "auth = 'tokens'\nuser_sessions_running_max = 2\nuser_sessions_queued_max = 1\n\
         [roles.pupil]\nsessions_running_max = 1\n",
    );
    let mut server = settings.start();
    let token = new_token(&server, &["ada"]);
    let pupil = new_token(&server, &["bob", "--role", "pupil"]);
    let waiting = {
        let (ada, bob) = (User::with(&server, &token), User::with(&server, &pupil));
        for _ in 0..2 {
            ada.stream(&id(&ada.create(SLEEPER))).expect("its own").read_until("started");
        }
        let waiting = ada.create(SLEEPER);
        assert_eq!((&waiting["state"], &waiting["queue_position"]), (&json!("queued"), &json!(1)));
        let (status, problem) = post(&ada);
        assert_eq!((status, &problem["code"]), (503, &json!("run_queue_full")));
        bob.stream(&id(&bob.create(SLEEPER))).expect("its own").read_until("started");
        assert_eq!(bob.create(SLEEPER)["state"], "queued");
        let (_, document) = ada.get("/quota");
        let held = ["sessions_running_max", "sessions_queued_max"].map(|name| quota(&document, name, "user"));
        assert_eq!(held.each_ref().map(|quota| &quota["left"]), [&json!(0), &json!(0)]);
        id(&waiting)
    };
    // A token may lower it; the others of the user count.
    let low = new_token(&server, &["cleo", "--limit", "sessions_running_max=1"]);
    let cleo = User::with(&server, &low);
    cleo.stream(&id(&cleo.create(SLEEPER))).expect("its own").read_until("started");
    let second = id(&cleo.create(SLEEPER));
    assert_eq!(cleo.get(&format!("/sessions/{second}")).1["state"], "queued");
    server.stop();
    server.start_again();
    for (token, session) in [(&low, &second), (&token, &waiting)] {
        let user = User::with(&server, token);
        assert_eq!(user.get(&format!("/sessions/{session}")).1["state"], "queued", "after a restart");
        let running = user.ids().into_iter().find(|id| id != session).expect("another session");
        assert_eq!(user.request("DELETE", &format!("/sessions/{running}"), &Value::Null).0, 204);
        user.stream(session).expect("its own").read_until("started");
    }
}

#[test]
fn beyond_its_disk_space_a_payer_loses_its_own_oldest_sessions() {
    let server =
        Server::start_with(&["--auth", "tokens", "--user-kept-bytes-max", "300000", "--keep-ms", "3600000"]);
    let (ada, bob) = (User::new(&server, "ada"), User::new(&server, "bob"));
    let others = id(&bob.create("echo bob"));
    Run::collect(bob.stream(&others).expect("its own"));
    let program = "head -c 200000 /dev/urandom | base64 -w 0";
    let sessions = [0; 2].map(|_| {
        let session = id(&ada.create(program));
        Run::collect(ada.stream(&session).expect("its own"));
        session
    });
    let (_, document) = ada.get("/quota");
    assert_eq!(quota(&document, "kept_bytes_max", "user")["limit"], 300_000, "{document}");
    eventually("the oldest is forgotten", || (ada.ids() == sessions[1..]).then_some(()));
    assert_eq!(bob.ids(), [others]);
}

#[test]
fn guests_are_told_their_quotas_too() {
    let server = Server::start_with(&["--guest-creations-per-min", "2"]);
    let guest = Guest::at(2);
    guest.create(&server, "true");
    let response = guest.request(&server, "GET", "/quota", b"");
    assert_eq!(response.status, 200);
    let document = response.json();
    assert_eq!(document["role"], "guest");
    assert_eq!(quota(&document, "creations_per_min", "address")["used"], 1);
    let local = server.get("/quota").json();
    assert_eq!(local, json!({"role": "local", "quotas": []}));
}

/// A session that has ended while no server ran is counted by the next one, also where it has no
/// address of a client.
#[test]
fn sessions_of_a_unix_socket_that_end_without_a_server_are_counted() {
    within_a_day(count_sessions_of_a_socket);
}

fn count_sessions_of_a_socket() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let socket = folder.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    let arguments = ["--guest-output-bytes-per-day", "1000", "--local-user", "none", "--listen", &listen];
    let mut server = Server::start_with(&arguments);
    let post = |code: &str| {
        let output = Command::new("curl")
            .args(["--silent", "--unix-socket"])
            .arg(&socket)
            .args(["--header", "content-type: application/json", "http://localhost/sessions", "--data"])
            .arg(json!({"runtime": "bash", "code": code}).to_string())
            .stderr(Stdio::inherit())
            .output()
            .expect("curl runs");
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let session = id(&post("read line; head -c 2000 /dev/zero | tr '\\0' x"));
    let mut stream = Stream::connect(server.address(), &format!("/sessions/{session}/stream"));
    stream.send(&json!({"msgtype": "input", "id": 1, "data": "go\n"}));
    stream.next_of("ack");
    drop(stream);
    server.stop();
    server.start_again();
    eventually("the output is counted", || (post("true")["code"] == "quota_exceeded").then_some(()));
}

#[test]
fn the_command_line_shows_what_is_left() {
    let server = Server::start_with(&["--auth", "tokens", "--user-creations-per-min", "7"]);
    let run = |token: &str, arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("quota").args(arguments).args(["--server", &server.url("")]).env("LIVECODE_TOKEN", token);
        let output = command.stdin(Stdio::null()).output().expect("the command runs");
        assert!(output.status.success(), "{output:?}");
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
        (stdout, stderr)
    };
    let token = new_token(&server, &["ada"]);
    post(&User::with(&server, &token));
    let (table, status) = run(&token, &[]);
    assert!(status.contains("your role is user"), "{status}");
    let row = table.lines().find(|line| line.starts_with("creations_per_min")).expect("a row");
    assert_eq!(row.split_whitespace().take(5).collect::<Vec<_>>()[1..], ["user", "7", "1", "6"], "{table}");
    let document: Value = serde_json::from_str(&run(&token, &["--json"]).0).expect("JSON");
    assert_eq!(document["role"], "user");
}

/// The list of tokens has pages, and says which tokens have expired.
#[test]
fn the_list_of_tokens_has_pages() {
    let server = Server::start_with(&["--auth", "tokens"]);
    let admin = User::with(&server, &new_token(&server, &["head", "--role", "admin"]));
    for name in ["ada", "bob", "cleo"] {
        new_token(&server, &[name, "--expires", "1s"]);
    }
    let page = |path: &str| {
        let response = server.request("GET", path, &[("authorization", &admin.authorization)], &[]);
        let link = response.header("link").map(|link| {
            let (url, _) = link.trim_start_matches('<').split_once(">; rel=\"next\"").expect("a link");
            url[server.url("").len()..].to_owned()
        });
        (response.json(), link)
    };
    let (mut names, mut path) = (vec![], Some("/tokens?limit=2".to_owned()));
    while let Some(next) = path {
        let (tokens, link) = page(&next);
        names.extend(tokens.as_array().expect("an array").iter().map(|token| token["user"].clone()));
        path = link;
    }
    assert_eq!(names, ["cleo", "bob", "ada", "head"]);
    let (whole, link) = page("/tokens");
    assert_eq!((whole.as_array().map(Vec::len), link), (Some(4), None));
    let expired = eventually("the tokens expire", || {
        let (tokens, _) = page("/tokens");
        let tokens = tokens.as_array().expect("an array").clone();
        tokens[..3].iter().all(|token| token["expired"] == true).then_some(tokens)
    });
    assert_eq!(expired[3]["expired"], false);
    let listed = token_command(server.data(), &["list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("expired 20"), "{listed:?}");
    // A token that replaces an expired one is valid for as long as that was.
    let rotated = token_command(server.data(), &["rotate", "ada"]);
    assert!(rotated.status.success(), "{rotated:?}");
    for wrong in ["/tokens?limit=0", "/tokens?limit=x", "/tokens?cursor=x", "/tokens?cursor=x-y"] {
        assert_eq!(page(wrong).0["code"], "invalid_field", "{wrong}");
    }
}
