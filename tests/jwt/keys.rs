//! Keys and sets of keys: which JWTs they let in, and how they are fetched.

use super::*;

#[test]
fn the_key_fixes_the_algorithm() {
    let site = Site::new();
    let secret = Key { algorithm: "HS256", private: SECRET.into(), public: format!("{SECRET}\n") };
    let keys = [site.rsa(), site.p256(), site.ed25519(), secret];
    for key in &keys {
        let server = start(&site, key, &[]);
        let ada = User::with(&server, &site.jwt(key, "ada"));
        let session = id(&ada.create("echo hello"));
        ada.stream(&session).expect("the owner may watch").read_until("hello");
        assert_eq!(ada.ids(), [session]);
        for other in &keys {
            let expected = if other.algorithm == key.algorithm { 200 } else { 401 };
            assert_eq!(
                status(&server, &site.jwt(other, "ada")),
                expected,
                "{} {}",
                key.algorithm,
                other.algorithm
            );
        }
    }
}

#[test]
fn wrong_jwts_are_refused_alike_and_the_log_says_why() {
    let site = Site::new();
    let (key, other) = (site.rsa(), site.rsa());
    let file = site.write("key", &key.public);
    let logged = LoggedServer::start(&arguments(&["--jwt-key-file", text(&file)], &[]));
    let server = &logged.server;
    let sign = |claims: &Value| site.sign(&key, claims, &Value::Null);
    let right = sign(&claims("ada"));
    let now = now_s();
    let none = {
        let jwt = site.sign_as("", "none", &claims("ada"), &Value::Null);
        assert!(jwt.ends_with('.'), "{jwt}");
        jwt
    };
    let signature = right.rsplit('.').next().expect("a signature");
    let cases = [
        ("alg none", none.clone(), "its algorithm is \"none\", and the key is for RS256"),
        ("alg none with a signature", format!("{none}{signature}"), "its algorithm is \"none\""),
        (
            "the public key as a secret",
            site.sign_as(&key.public, "HS256", &claims("ada"), &Value::Null),
            "its algorithm is \"HS256\"",
        ),
        (
            "the public key's line as a secret",
            site.sign_as(key.public.trim(), "HS256", &claims("ada"), &Value::Null),
            "its algorithm is \"HS256\"",
        ),
        (
            "another algorithm of the key",
            site.sign_as(&key.private, "RS512", &claims("ada"), &Value::Null),
            "\"RS512\"",
        ),
        ("another key", site.jwt(&other, "ada"), "its signature is wrong"),
        (
            "another issuer",
            sign(&with("iss", "https://other.example")),
            "iss is wrong or missing: \"\\\"https://other",
        ),
        ("several issuers", sign(&with("iss", json!([ISSUER]))), "iss is wrong"),
        ("no issuer", sign(&without("iss")), "iss is wrong or missing: \"none\""),
        ("another audience", sign(&with("aud", "other")), "aud is wrong"),
        ("other audiences", sign(&with("aud", json!(["a", "b"]))), "aud is wrong"),
        ("no audience", sign(&without("aud")), "aud is wrong or missing"),
        ("expired", sign(&with("exp", now - LEEWAY_S - 2)), "it has expired"),
        ("expired long ago", sign(&with("exp", 1)), "it has expired"),
        ("no expiry", sign(&without("exp")), "exp is wrong or missing"),
        ("a text as expiry", sign(&with("exp", (now + 3600).to_string())), "exp is wrong or missing"),
        ("not yet valid", sign(&with("nbf", now + 3600)), "it is not yet valid"),
        ("no subject", sign(&without("sub")), "sub is wrong or missing"),
        ("an empty subject", sign(&with("sub", "")), "sub is wrong"),
        ("a number as subject", sign(&with("sub", 7)), "sub is wrong"),
        ("a long subject", sign(&with("sub", "x".repeat(256))), "sub is wrong"),
        ("a cut signature", right[..right.len() - 6].to_owned(), "its signature is wrong"),
        ("a changed payload", right.replacen(".e", ".E", 1), "its signature is wrong"),
        ("two parts", "a.b".to_owned(), "it has not three parts"),
        ("no JSON", "a.b.c".to_owned(), "it is not a JWT"),
        ("a token of ours", format!("livecode_{}", "0".repeat(48)), "it has not three parts"),
        (
            "a critical header",
            site.sign(&key, &claims("ada"), &json!({"crit": ["x"], "x": "\u{1b}[2J"})),
            "it is not a JWT",
        ),
        ("very long", sign(&with("x", "x".repeat(9000))), "it is too long"),
    ];
    let expected = server.request("GET", "/sessions", &[("authorization", "Bearer x")], &[]);
    let problem = expected.problem_with_code(401, "unauthorized");
    for (name, jwt, reason) in &cases {
        let response =
            server.request("GET", "/sessions", &[("authorization", &format!("Bearer {jwt}"))], &[]);
        assert_eq!(response.problem_with_code(401, "unauthorized"), problem, "{name}");
        assert_eq!(response.header("www-authenticate"), Some("Bearer error=\"invalid_token\""), "{name}");
        eventually(name, || logged.lines().iter().any(|line| line.contains(reason)).then_some(()));
    }
    for valid in [
        right.clone(),
        sign(&with("nbf", now)),
        sign(&with("aud", json!(["other", "livecode"]))),
        sign(&with("exp", (now as f64) + 60.5)),
        sign(&with("iat", now + 3600)),
        site.jwt_with_kid(&key, "any", "ada"),
        sign(&with("exp", u64::MAX)),
    ] {
        assert_eq!(status(server, &valid), 200, "{valid}");
    }
    // The log has no JWT and nothing that controls a terminal.
    let log = String::from_utf8(logged.bytes()).expect("UTF-8");
    assert!(!log.contains(signature) && !log.contains(&right[..40]));
    assert!(!log.contains(|char: char| char.is_control() && char != '\n'), "{log}");
}

#[test]
fn guesses_of_jwts_are_limited_and_known_users_are_not() {
    let site = Site::new();
    let key = site.ed25519();
    let file = site.write("key", &key.public);
    let logged = LoggedServer::start(&arguments(&["--jwt-key-file", text(&file)], &[]));
    let server = &logged.server;
    let right = site.jwt(&key, "ada");
    assert_eq!(status(server, &right), 200);
    let wrong = User::with(server, &format!("{}x", &right[..right.len() - 4]));
    // A route that is open to all does not let them guess either.
    let tries: Vec<_> =
        (0..1_500).map(|number| wrong.get(if number % 2 == 0 { "/sessions" } else { "/livez" }).0).collect();
    assert!(tries.contains(&429) && tries.iter().all(|status| [200, 401, 429].contains(status)), "{tries:?}");
    // Neither a JWT that was seen before nor a new one has to wait.
    assert_eq!([&right, &site.jwt(&key, "bob")].map(|jwt| status(server, jwt)), [200, 200]);
    // The log has a bounded part of them.
    let refused = logged.lines().iter().filter(|line| line.contains("was refused")).count();
    assert!((1..500).contains(&refused), "{refused}");
}

#[test]
fn keys_are_fetched_again_when_one_is_unknown() {
    let site = Site::new();
    let (old, new) = (site.rsa(), site.p256());
    let jwks = JwksServer::start(json!([
        site.jwk(&old, "old"),
        {"kty": "oct", "kid": "shared", "alg": "HS256", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"},
    ]));
    let server = start_with_jwks(&jwks, &[]);
    let ada = User::with(&server, &site.jwt_with_kid(&old, "old", "ada"));
    let session = id(&ada.create(SLEEPER));
    let mut stream = ada.stream(&session).expect("the owner may watch");
    stream.read_until("started");
    // With one key, a JWT need not name it. The algorithm is never chosen by the JWT.
    assert_eq!(status(&server, &site.jwt(&old, "bob")), 200);
    assert_eq!(status(&server, &site.jwt_with_kid(&new, "old", "bob")), 401);
    assert_eq!(jwks.answer_all(), 0, "no key was unknown");

    // The site has replaced its key.
    jwks.set(200, json!({"keys": [site.jwk(&new, "new")]}));
    let renewed = site.jwt_with_kid(&new, "new", "ada");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| status(&server, &renewed));
        let stream = {
            let fetches = jwks.fetches.lock().expect("no holder panics");
            fetches.recv_timeout(crate::common::wait_timeout()).expect("the keys are fetched")
        };
        // Nobody else waits for the fetch.
        assert_eq!(status(&server, &site.jwt_with_kid(&old, "old", "cleo")), 200);
        assert!(!waiting.is_finished());
        jwks.answer_to(stream);
        assert_eq!(waiting.join().expect("an answer"), 200);
    });
    assert_eq!(User::with(&server, &renewed).ids(), [&*session], "it is the same user");
    // What the old key has signed is not valid any more, and its streams are closed.
    assert_eq!(ada.get("/sessions").0, 401);
    assert_eq!(stream.rest(), [Value::Null; 0]);
    assert_eq!(stream.close_code(), Some(1008));

    // A fetch that fails leaves the keys as they are, and strangers make few fetches.
    jwks.set(500, Value::Null);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let fetches = std::thread::scope(|scope| {
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        let (jwks, stop) = (&jwks, &stop);
        let answering = scope.spawn(move || {
            let mut count = 0;
            while !stop.load(relaxed) {
                let fetches = jwks.fetches.lock().expect("no holder panics");
                let next = fetches.recv_timeout(std::time::Duration::from_millis(20));
                drop(fetches);
                if let Ok(stream) = next {
                    jwks.answer_to(stream);
                    count += 1;
                }
            }
            count
        });
        for number in 0..300 {
            let unknown = site.jwt_with_kid(&new, &format!("unknown{number}"), "eve");
            assert_eq!(status(&server, &unknown), 401);
        }
        let secret = site.sign_as(SECRET, "HS256", &claims("eve"), &json!({"kid": "shared"}));
        assert_eq!(status(&server, &secret), 401, "no secret comes from a JWKS");
        stop.store(true, relaxed);
        answering.join().expect("no panic")
    });
    assert!((1..=10).contains(&fetches), "{fetches}");
    assert_eq!(status(&server, &site.jwt_with_kid(&new, "new", "dora")), 200);
}

#[test]
fn old_keys_are_read_again() {
    let site = Site::new();
    let (first, second) = (site.ed25519(), site.rsa());
    let document = |keys: Value| json!({"keys": keys}).to_string();
    let file = site.write("jwks.json", &document(json!([site.jwk(&first, "1"), site.jwk(&second, "2")])));
    let server =
        Server::start_with(&arguments(&["--jwt-jwks", text(&file)], &["--jwt-jwks-max-age-ms", "1000"]));
    let (ada, bob) = (site.jwt_with_kid(&first, "1", "ada"), site.jwt_with_kid(&second, "2", "bob"));
    assert_eq!((status(&server, &ada), status(&server, &bob)), (200, 200));
    // Two keys have different algorithms, so a JWT need not name one.
    assert_eq!(status(&server, &site.jwt(&second, "bob")), 200);
    site.write("jwks.json", &document(json!([site.jwk(&second, "2")])));
    eventually("the removed key is forgotten", || (status(&server, &ada) == 401).then_some(()));
    assert_eq!(status(&server, &bob), 200);
}

#[test]
fn an_issuer_may_start_after_the_server() {
    let site = Site::new();
    let key = site.ed25519();
    let jwks = JwksServer::start(json!([site.jwk(&key, "k")]));
    jwks.set(503, Value::Null);
    let server = start_with_jwks(&jwks, &[]);
    jwks.set(200, json!({"keys": [site.jwk(&key, "k")]}));
    // It accepts connections and answers nothing yet. A request does not wait for it for ever.
    let held = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| status(&server, &site.jwt(&key, "ada")));
        let fetches = jwks.fetches.lock().expect("no holder panics");
        let held = fetches.recv_timeout(crate::common::wait_timeout()).expect("the keys are fetched");
        assert_eq!(waiting.join().expect("an answer"), 401);
        held
    });
    drop(held);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| status(&server, &site.jwt(&key, "ada")));
        jwks.answer_one();
        assert_eq!(waiting.join().expect("an answer"), 200);
    });
}

#[test]
fn an_issuer_behind_tls_is_judged_by_the_machines_certificates() {
    let site = Site::new();
    let key = site.p256();
    let jwks = JwksServer::start(json!([site.jwk(&key, "k")]));
    let upstream = jwks.url.trim_start_matches("http://").trim_end_matches("/jwks.json");
    let authority = Authority::new();
    let proxy = Proxy::nginx(upstream, &authority, "server");
    let url = proxy.url("/jwks.json");
    let settings = [
        ("LIVECODE_AUTH", "jwt"),
        ("LIVECODE_JWT_JWKS", &*url),
        ("LIVECODE_JWT_ISSUER", ISSUER),
        ("LIVECODE_JWT_AUDIENCE", "livecode"),
    ];
    let certificate = authority.certificate();
    let trusting = [&settings[..], &[("SSL_CERT_FILE", text(&certificate))]].concat();
    let server = std::thread::scope(|scope| {
        let server = scope.spawn(|| Server::start_with_environment(&trusting));
        jwks.answer_one();
        server.join().expect("the server starts")
    });
    let jwt = site.jwt(&key, "ada");
    assert_eq!(status(&server, &jwt), 200);
    // Without the authority's certificate the issuer is not trusted, and nobody gets in.
    let wary = Server::start_with_environment(&settings);
    assert_eq!(status(&wary, &jwt), 401);
    assert_eq!(jwks.answer_all(), 0);
}
