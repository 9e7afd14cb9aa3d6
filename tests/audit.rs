//! The audit, and what a user is handed out or has deleted.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    common::{Server, binary, eventually, id, logged::LoggedServer},
    docs::{blocks, document},
    users::{SLEEPER, User, new_token, token_command},
};

/// A text that only programs know.
const SECRET: &str = "xyzzy-4711";

/// `livecode users` on a data directory.
fn users(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("users").args(arguments).arg("--data-dir").arg(data).stdin(Stdio::null());
    command.env_remove("LIVECODE_SERVER").output().expect("the command runs")
}

fn succeed(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The actions of the audit, the latest first.
fn audit(data: &Path, arguments: &[&str]) -> Vec<Value> {
    let text = succeed(users(data, &[&["audit", "--json"], arguments].concat()));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// All files of a folder and those below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The files below a folder that have a text in them.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let has_text = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    files(folder).into_iter().filter(has_text).collect()
}

#[test]
fn the_audit_tells_who_did_what_when_and_from_where() {
    let logged = LoggedServer::start(&["--auth", "tokens"]);
    let server = &logged.server;
    let (ada, root) =
        (User::new(server, "ada"), User::with(server, &new_token(server, &["root", "--role", "admin"])));
    let session = id(&ada.create(&format!("echo {SECRET}; read line")));
    for _ in 0..3 {
        drop(root.stream(&session).expect("an admin watches"));
    }
    assert_eq!(ada.request("DELETE", &format!("/sessions/{session}"), &Value::Null).0, 204);
    assert_eq!(User::with(server, "wrong").get(&format!("/sessions/{session}")).0, 401);
    let of_session = || {
        let actions = audit(server.data(), &["--session", &session]);
        let names: Vec<_> =
            actions.iter().map(|action| action["action"].as_str().expect("a name").to_owned()).collect();
        (names.first().map(String::as_str) == Some("session_ended")).then_some(actions)
    };
    let actions = eventually("the audit is written", of_session);
    let by = |index: usize| (actions[index]["action"].clone(), actions[index]["by"].clone());
    assert_eq!(by(0), (json!("session_ended"), json!("user:ada")));
    assert_eq!(by(actions.len() - 1), (json!("session_created"), json!("user:ada")));
    let watched: Vec<_> = actions.iter().filter(|action| action["action"] == "session_watched").collect();
    assert_eq!(watched.iter().map(|action| action["times"].as_u64().expect("a number")).sum::<u64>(), 3);
    assert!(
        watched.iter().all(|action| action["by"] == "user:root" && action["client"] == "127.0.0.1"),
        "{watched:?}"
    );
    assert!(actions.iter().all(|action| action["time"].as_str().is_some_and(|time| time.ends_with('Z'))));

    let tokens = audit(server.data(), &[]);
    let made: Vec<_> = tokens.iter().filter(|action| action["action"] == "token_created").collect();
    assert!(made.len() == 2 && made.iter().all(|action| action["by"] == "local"), "{made:?}");
    let of_ada = audit(server.data(), &["--user", "ada", "--since", "1h", "--max", "1"]);
    assert_eq!(of_ada.len(), 1);
    assert_eq!(of_ada[0]["user"], "ada");

    let log = logged.lines().join("\n");
    assert!(log.contains("session_watched") && log.contains("user:root"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains(&ada.authorization[7..]), "{log}");
    let store = server.data().join("control.sqlite");
    assert!(files_with(server.data(), &ada.authorization[7..]).is_empty(), "a token is stored");
    assert!(!files_with(server.data(), SECRET).contains(&store));
    let table = succeed(users(server.data(), &["audit"]));
    assert!(table.starts_with("TIME") && table.contains("session_ended"), "{table}");
}

#[test]
fn the_audit_survives_the_server() {
    let mut server = Server::start_with(&["--auth", "tokens"]);
    let ada = User::new(&server, "ada");
    let first = id(&ada.create("true"));
    eventually("the first action is written", || {
        (!audit(server.data(), &["--session", &first]).is_empty()).then_some(())
    });
    server.kill();
    server.start_again_with(&["--auth", "tokens"]);
    let second = {
        let ada = User { server: &server, authorization: ada_authorization(&server) };
        id(&ada.create("true"))
    };
    server.stop();
    new_token(&server, &["carol"]);
    let latest = &audit(server.data(), &[])[0];
    assert_eq!(
        (&latest["action"], &latest["by"]),
        (&json!("token_created"), &json!("local")),
        "without a server"
    );
    // Waiting actions are written at the orderly end.
    for session in [&first, &second] {
        assert_eq!(audit(server.data(), &["--session", session])[0]["action"], "session_created");
    }
}

fn ada_authorization(server: &Server) -> String {
    format!("Bearer {}", new_token(server, &["ada"]))
}

#[test]
fn a_user_is_handed_out_all_that_the_server_has_of_it() {
    let server = Server::start_with(&["--auth", "tokens", "--user-cpu-ms-per-day", "1000000"]);
    let (ada, bob) = (User::new(&server, "ada"), User::new(&server, "bob"));
    let root = User::with(&server, &new_token(&server, &["root", "--role", "admin"]));
    let request = json!({
        "runtime": "bash", "code": "cat data/notes.txt; read line; echo \"got $line\"", "stdin": "typed\n",
        "files": [{"filename": "data/notes.txt", "contents": "some notes\n"}],
    });
    let (status, session) = ada.request("POST", "/sessions", &request);
    assert_eq!(status, 201, "{session}");
    let session = id(&session);
    let other = id(&bob.create(&format!("echo {SECRET}")));
    ada.stream(&session).expect("its own stream").rest();
    let (status, share) =
        ada.request("POST", &format!("/sessions/{session}/shares"), &json!({"rights": "watch"}));
    assert_eq!(status, 201, "{share}");
    let (status, token) = root.request("POST", "/tokens", &json!({"user": "ada"}));
    assert_eq!(status, 201, "{token}");
    let revoked = token["id"].as_str().expect("an id");
    assert_eq!(root.request("DELETE", &format!("/tokens/{revoked}"), &Value::Null).0, 204);
    eventually("the audit is written", || {
        (audit(server.data(), &["--session", &session]).len() == 3).then_some(())
    });

    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("ada");
    let text = folder.to_str().unwrap();
    assert_eq!(succeed(users(server.data(), &["export", "ada", text])).trim_end(), text);
    let user: Value = serde_json::from_slice(&fs::read(folder.join("user.json")).unwrap()).unwrap();
    assert_eq!(user["user"], "ada");
    let tokens = user["tokens"].as_array().expect("tokens");
    let ended: Vec<_> = tokens.iter().filter(|token| token["revoked"].is_string()).collect();
    assert!(tokens.len() == 2 && ended.len() == 1 && ended[0]["id"] == revoked, "{user}");
    assert_eq!((&user["shares"][0]["id"], &user["shares"][0]["session"]), (&share["id"], &json!(session)));
    assert!(user["audit"].as_array().is_some_and(|audit| audit.len() == 3), "{user}");
    let session_folder = folder.join("sessions").join(&session);
    let read = |name: &str| fs::read_to_string(session_folder.join(name)).expect(name);
    assert_eq!(read("files/data/notes.txt"), "some notes\n");
    assert_eq!(read("stdin"), "typed\n");
    let output: Vec<Value> =
        read("output.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text_of = |message: &Value| message["data"].as_str().unwrap_or_default().to_owned();
    assert_eq!(output.iter().map(text_of).collect::<String>(), "some notes\ngot typed\n");
    assert_eq!(output.last().map(|message| &message["msgtype"]), Some(&json!("exitstatus")));
    assert!(read("request.json").contains("argv") && read("session.json").contains(&session));
    assert!(
        files_with(&folder, &other).is_empty() && files_with(&folder, SECRET).is_empty(),
        "bob's are not ada's"
    );

    let again = users(server.data(), &["export", "ada", text]);
    assert!(
        !again.status.success() && String::from_utf8_lossy(&again.stderr).contains("exists already"),
        "{again:?}"
    );
    let nobody = out.path().join("nobody");
    succeed(users(server.data(), &["export", "nobody", nobody.to_str().unwrap()]));
    assert_eq!(fs::read_dir(nobody.join("sessions")).unwrap().count(), 0);
}

#[test]
fn a_purge_deletes_all_of_a_user_and_nothing_of_others() {
    let arguments = ["--auth", "tokens", "--user-output-bytes-per-day", "1000000"];
    let mut server = Server::start_with(&arguments);
    let name = "ada-lovelace";
    let secret = new_token(&server, &[name]);
    let ended = {
        let ada = User::with(&server, &secret);
        let ended = id(&ada.create("echo hello"));
        ada.stream(&ended).expect("its own stream").rest();
        ended
    };
    // At the orderly end usage is written.
    server.stop();
    server.start_again_with(&arguments);
    let (ada, bob) = (User::with(&server, &secret), User::new(&server, "bob"));
    let share = ada.request("POST", &format!("/sessions/{ended}/shares"), &json!({"rights": "watch"}));
    assert_eq!(share.0, 201, "{share:?}");
    let running = id(&ada.create(SLEEPER));
    let mut stream = ada.stream(&running).expect("its own stream");
    stream.read_until("started");
    let of_bob = id(&bob.create(SLEEPER));

    let refused = users(server.data(), &["purge", name]);
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("--yes"),
        "{refused:?}"
    );
    assert_eq!(ada.ids().len(), 2);
    let report = users(server.data(), &["purge", name, "--yes"]);
    let printed = String::from_utf8_lossy(&report.stderr).into_owned();
    assert!(
        report.status.success() && printed.contains("2 sessions, 1 tokens, 1 days of usage"),
        "{report:?}"
    );
    assert_eq!(ada.get("/sessions").0, 401);
    stream.rest();
    let root = User::with(&server, &new_token(&server, &["root", "--role", "admin"]));
    for session in [&ended, &running] {
        assert_eq!(root.get(&format!("/sessions/{session}")).0, 404);
    }
    assert_eq!(bob.ids(), std::slice::from_ref(&of_bob));
    let actions = eventually("the purge is in the audit", || {
        let actions = audit(server.data(), &[]);
        actions.iter().any(|action| action["action"] == "user_purged").then_some(actions)
    });
    assert!(actions.iter().any(|action| action["session"] == json!(of_bob)), "{actions:?}");
    assert_eq!(files_with(server.data(), name), Vec::<PathBuf>::new());
    // A user of whom there is nothing is no error.
    succeed(users(server.data(), &["purge", name, "--yes"]));
    assert!(used_output(&User::new(&server, name)) == 0 && used_output(&bob) == 0, "usage has come back");

    // Without a server, and not while a program of the user runs.
    server.kill();
    let refused = users(server.data(), &["purge", "bob", "--yes"]);
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("still runs"),
        "{refused:?}"
    );
    server.start_again_with(&arguments);
    let bob_token = new_token(&server, &["bob"]);
    assert_eq!(
        User::with(&server, &bob_token).request("DELETE", &format!("/sessions/{of_bob}"), &Value::Null).0,
        204
    );
    let short = id(&User::with(&server, &bob_token).create("true"));
    User::with(&server, &bob_token).stream(&short).expect("its own stream").rest();
    server.stop();
    // The supervisor of the session that has just ended may live for a moment.
    eventually("the purge without a server", || {
        users(server.data(), &["purge", "bob", "--yes"]).status.success().then_some(())
    });
    assert!(!server.data().join("sessions").join(&short).exists());
    let list = succeed(token_command(server.data(), &["list"]));
    assert!(!list.contains("bob"), "{list}");
    let latest = &audit(server.data(), &[])[0];
    assert_eq!((&latest["action"], &latest["by"]), (&json!("user_purged"), &json!("local")));
}

/// The output that counts for a user today.
fn used_output(user: &User<'_>) -> u64 {
    let (status, document) = user.get("/quota");
    assert_eq!(status, 200, "{document}");
    let quotas = document["quotas"].as_array().expect("quotas");
    let quota = quotas.iter().find(|quota| quota["quota"] == "output_bytes_per_day").expect("the quota");
    quota["used"].as_u64().expect("a number")
}

#[test]
fn an_admin_that_purges_itself_leaves_its_actions_with_others_sessions_and_no_name() {
    let server = Server::start_with(&["--auth", "tokens"]);
    let name = "root-of-all";
    let (ada, root) =
        (User::new(&server, "ada"), User::with(&server, &new_token(&server, &[name, "--role", "admin"])));
    let session = id(&ada.create("true"));
    assert_eq!(root.request("DELETE", &format!("/sessions/{session}"), &Value::Null).0, 204);
    // An admin changes and deletes the exercises of a teacher, who deletes one of the admin's.
    let eve = User::with(&server, &new_token(&server, &["eve", "--role", "admin"]));
    let exercise = |stdin: &str| json!({"runtime": "bash", "cases": [{"stdin": stdin}]});
    for (author, path) in [(&eve, "of-eve"), (&eve, "gone"), (&root, "of-root"), (&root, "gone-of-root")] {
        assert_eq!(author.request("PUT", &format!("/exercises/{path}"), &exercise("1")).0, 201);
    }
    assert_eq!(root.request("PUT", "/exercises/of-eve", &exercise("2")).0, 200);
    assert_eq!(root.request("DELETE", "/exercises/gone", &Value::Null).0, 204);
    assert_eq!(eve.request("PUT", "/exercises/of-root", &exercise("2")).0, 200);
    assert_eq!(eve.request("DELETE", "/exercises/gone-of-root", &Value::Null).0, 204);
    let (status, report) = root.request("DELETE", &format!("/users/{name}"), &Value::Null);
    assert_eq!(status, 200, "{report}");
    let actions = audit(server.data(), &[]);
    let of = |action: &str| actions.iter().find(|found| found["action"] == action).expect("the action");
    assert_eq!(
        (&of("session_ended")["by"], &of("session_ended")["session"]),
        (&json!("purged"), &json!(session))
    );
    let mut exercises: Vec<_> = actions
        .iter()
        .filter(|found| found["action"].as_str().is_some_and(|action| action.starts_with("exercise_")))
        .map(|found| ["action", "by", "subject"].map(|field| found[field].as_str().unwrap_or_default()))
        .collect();
    exercises.sort_unstable();
    let eve = exercises.iter().find(|[_, by, _]| *by != "purged").expect("another's action")[1];
    let mut expected = [
        ["exercise_deleted", "purged", "gone"],
        ["exercise_put", "purged", "of-eve"],
        ["exercise_put", eve, "gone"],
        ["exercise_put", eve, "of-eve"],
    ];
    expected.sort_unstable();
    assert_eq!(exercises, expected);
    assert_eq!((&of("user_purged")["by"], &of("user_purged")["client"]), (&json!("-"), &Value::Null));
    assert_eq!(files_with(server.data(), name), Vec::<PathBuf>::new());
}

#[test]
fn a_purge_ends_programs_that_are_in_no_list() {
    let server = Server::start_with(&["--auth", "tokens"]);
    let ada = User::new(&server, "ada");
    std::thread::scope(|scope| {
        let request = json!({"runtime": "bash", "code": "sleep 1000"});
        let answer = scope.spawn(move || ada.request("POST", "/exec", &request));
        eventually("the program starts", || {
            let folders = fs::read_dir(server.data().join("sessions")).expect("a folder").flatten();
            folders.map(|folder| folder.path().join("journal")).find(|journal| journal.exists())
        });
        let purge = users(server.data(), &["purge", "ada", "--yes"]);
        assert!(String::from_utf8_lossy(&purge.stderr).contains("deleted 1 sessions"), "{purge:?}");
        // The answer breaks off, or says that the program was ended.
        let _ = answer.join();
    });
}

#[test]
fn the_commands_of_the_document_work() {
    let document = document("docs/privacy.md");
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(&["--auth", "tokens"]);
    std::os::unix::fs::symlink(server.data(), folder.path().join("data")).unwrap();
    new_token(&server, &["ada"]);
    let directories = binary().parent().unwrap().display().to_string();
    let path = format!("{directories}:{}", std::env::var("PATH").unwrap());
    for block in blocks(&document, "sh") {
        let mut shell = Command::new("sh");
        let shell = shell.args(["-euc", &block]).current_dir(folder.path()).env("PATH", &path);
        succeed(shell.stdin(Stdio::null()).output().expect("a shell runs"));
    }
    assert!(folder.path().join("ada-export/user.json").exists());
}
