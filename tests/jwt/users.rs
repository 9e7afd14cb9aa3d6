//! The rights of the users of JWTs, how long they last, and how a site signs users in.

use super::*;

#[test]
fn every_route_asks_for_a_valid_jwt() {
    let site = Site::new();
    let key = site.ed25519();
    let server = start(&site, &key, &[]);
    let (ada, bob) = (site.jwt(&key, "ada"), site.jwt(&key, "bob"));
    let session = id(&User::with(&server, &ada).create("echo hello"));
    let expired = site.sign(&key, &with("exp", now_s() - LEEWAY_S - 60), &Value::Null);
    let wrong = site.jwt(&site.ed25519(), "ada");
    let document = server.get("/openapi.json").json();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        if crate::routes::PUBLIC.contains(&&**path) {
            continue;
        }
        for method in methods.as_object().expect("methods").keys() {
            let method = method.to_uppercase();
            let ask = |id: &str, credential: Option<&str>| {
                let path = path.replace("{id}", id).replace("{runtime}", "python");
                let authorization = credential.map(|jwt| format!("Bearer {jwt}"));
                let mut headers = vec![("content-type", "application/json")];
                headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
                server.request(&method, &path, &headers, b"{}")
            };
            let none = "0".repeat(32);
            for credential in [None, Some(&*expired), Some(&*wrong), Some("x")] {
                let of_ada = ask(&session, credential).problem_with_code(401, "unauthorized");
                let of_nobody = ask(&none, credential).problem_with_code(401, "unauthorized");
                assert_eq!(of_ada, of_nobody, "{method} {path}");
                tried += 1;
            }
            if path.starts_with("/sessions/{id}") {
                let (of_ada, of_nobody) = (ask(&session, Some(&bob)), ask(&none, Some(&bob)));
                assert_eq!(of_ada.status, 404, "{method} {path}");
                assert_eq!(of_ada.json(), of_nobody.json(), "{method} {path}");
            }
        }
    }
    assert!(tried >= 40, "{tried}");
    assert_eq!(User::with(&server, &ada).ids(), [session]);
}

#[test]
fn a_link_opens_a_session_without_a_jwt_and_outlives_that_of_its_maker() {
    let site = Site::new();
    let key = site.ed25519();
    let server = start(&site, &key, &[]);
    // The leeway keeps the JWT valid for some seconds.
    let ending = site.sign(&key, &with("exp", now_s() - LEEWAY_S + 6), &Value::Null);
    let maker = User::with(&server, &ending);
    let document = maker.create(SLEEPER);
    let path = format!("/sessions/{}/shares", id(&document));
    let (status, share) = maker.request("POST", &path, &json!({"rights": "join"}));
    assert_eq!(status, 201, "{share}");
    let (_, secret) = share["link"].as_str().and_then(|link| link.split_once("#share=")).expect("a link");
    let redeemed = server.post("/shares/redeem", &json!({"secret": secret})).json();
    let mut friend = server.websocket(&stream_path(&redeemed));
    friend.read_until("started");
    let mut own = server.websocket(&stream_path(&document));
    own.read_until("started");
    own.rest();
    assert_eq!(own.close_code(), Some(1008));
    friend.send(&json!({"msgtype": "input", "data": "friend\n"}));
    friend.read_until("got friend");
}

#[test]
fn tickets_and_streams_end_with_their_jwt() {
    let site = Site::new();
    let key = site.ed25519();
    let mut server = start(&site, &key, &[]);
    let expires = now_s() - LEEWAY_S + 12;
    let mut brief = claims("ada");
    brief["exp"] = expires.into();
    let (document, path, session) = {
        let brief = User::with(&server, &site.sign(&key, &brief, &Value::Null));
        let document = brief.create(SLEEPER);
        let session = id(&document);
        let path = stream_path(&document);
        let (made, ticket) = brief.request("POST", "/tickets", &Value::Null);
        assert_eq!(made, 201);
        let end = ticket["expires"].as_str().expect("a time");
        let end: i64 = Command::new("date")
            .args(["-d", end, "+%s"])
            .output()
            .ok()
            .and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok())
            .expect("a time");
        assert_eq!(end, expires + LEEWAY_S, "{ticket}");
        let mut by_jwt = brief.stream(&session).expect("the owner may watch");
        let mut by_ticket = server.websocket(&path);
        for stream in [&mut by_jwt, &mut by_ticket] {
            stream.read_until("started");
        }
        for stream in [&mut by_jwt, &mut by_ticket] {
            assert_eq!(stream.rest(), [Value::Null; 0]);
            assert_eq!(stream.close_code(), Some(1008));
        }
        assert_eq!(brief.get("/sessions").0, 401);
        (document, path, session)
    };
    assert_eq!(Stream::try_connect(server.address(), &path, &[]).err(), Some(401), "{document}");

    // A later JWT of the same user opens the same session. Its ticket holds after a crash.
    let later = site.jwt(&key, "ada");
    let path = stream_path(&User::with(&server, &later).get(&format!("/sessions/{session}")).1);
    server.kill();
    server.start_again();
    let mut stream = server.websocket(&path);
    stream.read_until("started");
    stream.send(&json!({"msgtype": "input", "data": "there\n"}));
    stream.read_until("got there");
    assert_eq!(User::with(&server, &later).get("/tokens").0, 404);

    // It opens nothing where another key or another way decides.
    server.stop();
    site.write("key", &site.ed25519().public);
    server.start_again();
    assert_eq!(Stream::try_connect(server.address(), &path, &[]).err(), Some(401));
    server.stop();
    server.start_again_with(&["--auth", "tokens"]);
    assert_eq!(Stream::try_connect(server.address(), &path, &[]).err(), Some(401));
}

#[test]
fn a_user_is_issuer_and_subject_and_nobody_else() {
    let site = Site::new();
    let key = site.ed25519();
    let file = site.write("key", &key.public);
    let options = arguments(&["--jwt-key-file", text(&file)], &[]);
    let mut server = Server::start_with(&options);
    let subjects = [
        "ada".to_owned(),
        "Ada".to_owned(),
        "bob\n\u{1b}[2J{\"user\":\"ada\"}".to_owned(),
        "\u{fc}".repeat(127),
        "\"".repeat(255),
    ];
    let jwts = subjects.each_ref().map(|sub| site.jwt(&key, sub));
    let created = jwts.each_ref().map(|jwt| id(&User::with(&server, jwt).create("echo hello")));
    for (jwt, session) in jwts.iter().zip(&created) {
        assert_eq!(User::with(&server, jwt).ids(), [&**session]);
    }
    let bob = User::with(&server, &jwts[2]);
    assert_eq!(bob.get(&format!("/sessions/{}", created[0])).0, 404);
    // Roles of claims have no effect unless the settings name the claim.
    let mut admin = claims("head");
    admin["role"] = "admin".into();
    let admin = site.sign(&key, &admin, &Value::Null);
    assert_eq!(User::with(&server, &admin).ids(), [""; 0]);
    // The local user of the admin socket sees all.
    let all = |server: &Server| {
        let socket = format!("unix:{}", server.data().join("admin.sock").display());
        let output = Command::new(binary())
            .args(["ls", "--quiet", "--server", &socket])
            .env("HOME", site.folder.path())
            .output()
            .expect("the command runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    assert_eq!(all(&server), subjects.len());
    let made = Command::new(binary())
        .args(["token", "list", "--data-dir"])
        .arg(server.data())
        .output()
        .expect("the command runs");
    assert!(!made.status.success(), "{made:?}");

    // A user of tokens with the same name is another one, and so is one of another issuer.
    server.stop();
    server.start_again_with(&["--auth", "tokens"]);
    let ada = User::with(&server, &new_token(&server, &["ada"]));
    assert_eq!(ada.ids(), [""; 0]);
    let of_token = id(&ada.create("echo hello"));
    server.stop();
    let mut others = options.clone();
    others[3] = "https://other.example";
    server.start_again_with(&others);
    let mut of_other = claims("ada");
    of_other["iss"] = "https://other.example".into();
    assert_eq!(User::with(&server, &site.sign(&key, &of_other, &Value::Null)).ids(), [""; 0]);
    assert_eq!(status(&server, &jwts[0]), 401);
    server.stop();
    server.start_again_with(&[&options[..], &["--jwt-role-claim", "role", "--jwt-allow-admin"]].concat());
    assert_eq!(User::with(&server, &jwts[0]).ids(), [&*created[0]]);
    assert_eq!(User::with(&server, &jwts[0]).get(&format!("/sessions/{of_token}")).0, 404);
    // Here the claim makes an admin, also in a list of roles.
    for (role, count) in [
        (json!("admin"), subjects.len() + 1),
        (json!(["teacher", "admin"]), subjects.len() + 1),
        (json!("teacher"), 0),
        (json!(1), 0),
    ] {
        let mut claims = claims("head");
        claims["role"] = role;
        let head = site.sign(&key, &claims, &Value::Null);
        assert_eq!(User::with(&server, &head).ids().len(), count, "{claims}");
    }
    server.stop();
    server.start_again_with(&[&options[..], &["--jwt-role-claim", "role"]].concat());
    assert_eq!(User::with(&server, &admin).ids(), [""; 0], "the settings do not allow it");
}

#[test]
fn settings_that_cannot_work_stop_the_start() {
    let site = Site::new();
    let key = site.p256();
    let public = site.write("public", &key.public);
    let private = site.write("private", &key.private);
    let bare: String = key.public.lines().filter(|line| !line.starts_with('-')).collect();
    let bare = site.write("bare", &bare);
    let p384 =
        site.write("p384", &site.key("ES384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384").public);
    let short =
        site.write("short", &site.key("RS256", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024").public);
    let empty = site.write("empty", "{\"keys\": []}");
    let missing = site.path("missing");
    let both = arguments(&["--jwt-key-file", text(&public)], &["--jwt-jwks", text(&empty)]);
    let key_file = |path| arguments(&["--jwt-key-file", path], &[]);
    let jwks = |place| arguments(&["--jwt-jwks", place], &[]);
    let cases = [
        (vec!["--auth", "jwt"], "jwt_key_file"),
        (vec!["--auth", "jwt", "--jwt-key-file", text(&public)], "jwt_issuer"),
        (vec!["--auth", "jwt", "--jwt-key-file", text(&public), "--jwt-issuer", "x"], "jwt_audience"),
        (vec!["--jwt-issuer", "x"], "auth is \"jwt\""),
        (both, "leave out one"),
        (key_file(text(&missing)), "cannot be read"),
        (key_file(text(&private)), "private key"),
        (key_file(text(&bare)), "without the lines of PEM"),
        (key_file(text(&p384)), "P-256"),
        (key_file(text(&short)), "2048 bits"),
        (key_file(text(&empty)), "this is JSON"),
        (jwks(text(&missing)), "cannot be read"),
        (jwks(text(&empty)), "no key that can be used"),
        (jwks("http://learn.example/jwks.json"), "https://"),
    ];
    for (arguments, words) in cases {
        let data = tempfile::tempdir().expect("a temporary folder is created");
        let mut command = Command::new(binary());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path()).args(&arguments);
        let output = command.stdin(Stdio::null()).output().expect("the command runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(words), "{arguments:?}: {words}: {error}");
    }
}

#[test]
fn the_documented_site_signs_a_pupil_in() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let text = document("docs/users.md");
    let (_, section) = text.split_once("\n## A site that signs its users in\n").expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let shell = blocks(section, "sh");
    let [keys, serve, ..] = &*shell else { panic!("{shell:?}") };
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).expect("the folder is made");
    std::os::unix::fs::symlink(binary(), bin.join("livecode")).expect("the link is made");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH is set"));
    let bash = |script: &str| {
        let mut command = Command::new("bash");
        command.args(["-euc", script]).current_dir(folder.path()).env("PATH", &path);
        command.env("HOME", folder.path()).env("RUST_LOG", "error").stdin(Stdio::null());
        command
    };
    let made = bash(keys).output().expect("bash starts");
    assert!(made.status.success(), "{made:?}");
    let serve = format!("exec {}", serve.replace("serve ", "serve --listen 127.0.0.1:0 "));
    let mut server = bash(&serve).stdout(Stdio::piped()).spawn().expect("bash starts");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("it is piped")).read_line(&mut line).expect("a line");
    let url = line.trim().trim_start_matches("LiveCode listens on ").to_owned();
    let [program] = &*blocks(section, "python") else { panic!("one program") };
    std::fs::write(folder.path().join("site.py"), program.replace("http://127.0.0.1:8000", &url))
        .expect("the file is written");
    let output = bash("/usr/bin/python3 site.py").output().expect("bash starts");
    let _ = server.kill();
    let _ = server.wait();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n", "{output:?}");
}
