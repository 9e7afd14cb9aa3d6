//! A server whose users another site signs in: which JWTs it takes, where its keys come from, and
//! what becomes of users, tickets and connections. Debian's PyJWT makes the JWTs.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::{
    common::{
        Server, Stream, binary, eventually, id,
        logged::LoggedServer,
        proxy::{Authority, Proxy},
    },
    docs::{blocks, document},
    users::{SLEEPER, User, new_token, stream_path},
};

const ISSUER: &str = "https://learn.example";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// By how much the server lets the clocks differ, in seconds.
const LEEWAY_S: i64 = 30;

/// Reads a request as JSON from each line, and writes a line with the answer.
const PYTHON: &str = r#"
import base64, hashlib, hmac, json, sys
import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

def packed(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

def number(value, length=None):
    return packed(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))

def sign(key, algorithm, claims, header):
    if algorithm != "HS256":
        return jwt.encode(claims, key, algorithm=algorithm, headers=header)
    # PyJWT refuses a public key as the secret, which an attacker does not.
    head = {"alg": "HS256", "typ": "JWT", **(header or {})}
    text = ".".join(packed(json.dumps(part).encode()) for part in (head, claims))
    return text + "." + packed(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest())

def jwk(pem):
    public = load_pem_private_key(pem.encode(), None).public_key()
    kind = type(public).__name__
    if "RSA" in kind:
        numbers = public.public_numbers()
        return {"kty": "RSA", "alg": "RS256", "use": "sig", "n": number(numbers.n), "e": number(numbers.e)}
    if "Elliptic" in kind:
        numbers = public.public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}
    return json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(public))

for line in sys.stdin:
    request = json.loads(line)
    answer = jwk(request["key"]) if "algorithm" not in request else sign(**request)
    print(json.dumps(answer), flush=True)
"#;

/// The site that signs users in.
struct Site {
    folder: tempfile::TempDir,
    python: Mutex<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

impl Site {
    fn new() -> Self {
        let mut python = Command::new("/usr/bin/python3")
            .args(["-c", PYTHON])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let stdin = python.stdin.take().expect("it is piped");
        let stdout = BufReader::new(python.stdout.take().expect("it is piped"));
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        Self { folder, python: Mutex::new((python, stdin, stdout)) }
    }

    fn ask(&self, request: &Value) -> Value {
        let (_, stdin, stdout) = &mut *self.python.lock().expect("no holder panics");
        writeln!(stdin, "{request}").expect("Python reads");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("Python answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {request}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).expect("the file is written");
        self.path(name)
    }

    /// A new key that OpenSSL makes with these options.
    fn key(&self, algorithm: &'static str, options: &str) -> Key {
        let openssl = |arguments: &str, stdin: &str| {
            let mut command = Command::new("openssl");
            command.args(arguments.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.stderr(Stdio::null()).spawn().expect("openssl starts");
            let _ = child.stdin.take().expect("it is piped").write_all(stdin.as_bytes());
            let output = child.wait_with_output().expect("openssl ends");
            assert!(output.status.success(), "{arguments}");
            String::from_utf8(output.stdout).expect("PEM")
        };
        let private = openssl(&format!("genpkey {options}"), "");
        let public = openssl("pkey -pubout", &private);
        Key { algorithm, private, public }
    }

    fn rsa(&self) -> Key {
        self.key("RS256", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048")
    }

    fn p256(&self) -> Key {
        self.key("ES256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256")
    }

    fn ed25519(&self) -> Key {
        self.key("EdDSA", "-algorithm ED25519")
    }

    fn sign(&self, key: &Key, claims: &Value, header: &Value) -> String {
        self.sign_as(&key.private, key.algorithm, claims, header)
    }

    fn sign_as(&self, key: &str, algorithm: &str, claims: &Value, header: &Value) -> String {
        let request = json!({"key": key, "algorithm": algorithm, "claims": claims, "header": header});
        self.ask(&request).as_str().expect("a JWT").to_owned()
    }

    /// The JWT of a user, for a while.
    fn jwt(&self, key: &Key, sub: &str) -> String {
        self.sign(key, &claims(sub), &Value::Null)
    }

    /// A JWT that names its key.
    fn jwt_with_kid(&self, key: &Key, kid: &str, sub: &str) -> String {
        self.sign(key, &claims(sub), &json!({"kid": kid}))
    }

    /// The public key as a member of a JWKS.
    fn jwk(&self, key: &Key, kid: &str) -> Value {
        let mut jwk = self.ask(&json!({"key": key.private}));
        jwk["kid"] = kid.into();
        jwk
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Ok((python, ..)) = self.python.get_mut() {
            let _ = python.kill();
            let _ = python.wait();
        }
    }
}

/// A key in PEM form, or a secret that is both.
struct Key {
    algorithm: &'static str,
    private: String,
    public: String,
}

fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right");
    i64::try_from(now.as_secs()).expect("a time")
}

fn claims(sub: &str) -> Value {
    json!({"iss": ISSUER, "aud": "livecode", "sub": sub, "exp": now_s() + 3600})
}

/// Claims with one more, or another.
fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut all = claims("ada");
    all[name] = value.into();
    all
}

fn without(name: &str) -> Value {
    let mut all = claims("ada");
    all.as_object_mut().expect("an object").remove(name);
    all
}

/// The arguments of a server that takes JWTs; `key` is the option and the place of keys.
fn arguments<'a>(key: &[&'a str; 2], more: &[&'a str]) -> Vec<&'a str> {
    [&["--auth", "jwt", "--jwt-issuer", ISSUER, "--jwt-audience", "livecode"], &key[..], more].concat()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A server that takes JWTs of one key.
fn start(site: &Site, key: &Key, more: &[&str]) -> Server {
    let file = site.write("key", &key.public);
    Server::start_with(&arguments(&["--jwt-key-file", text(&file)], more))
}

/// A site's server for a JWKS.
struct JwksServer {
    url: String,
    /// The status and the JWKS.
    answer: Arc<Mutex<(u16, Value)>>,
    fetches: Mutex<mpsc::Receiver<TcpStream>>,
}

impl JwksServer {
    /// Listens. A request waits until the test answers it.
    fn start(keys: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/jwks.json", listener.local_addr().expect("an address"));
        let (sender, fetches) = mpsc::channel();
        std::thread::spawn(move || {
            // It ends with the test, which drops the receiver, and one more connection.
            for stream in listener.incoming().flatten() {
                if sender.send(stream).is_err() {
                    return;
                }
            }
        });
        Self { url, answer: Arc::new(Mutex::new((200, json!({"keys": keys})))), fetches: Mutex::new(fetches) }
    }

    fn set(&self, status: u16, document: Value) {
        *self.answer.lock().expect("no holder panics") = (status, document);
    }

    /// Waits for a request and answers it.
    fn answer_one(&self) {
        let stream =
            self.fetches.lock().expect("no holder panics").recv_timeout(crate::common::wait_timeout());
        self.answer_to(stream.expect("the keys are fetched"));
    }

    /// Answers the requests that have come. Returns their number.
    fn answer_all(&self) -> usize {
        let waiting: Vec<_> = self.fetches.lock().expect("no holder panics").try_iter().collect();
        waiting.into_iter().map(|stream| self.answer_to(stream)).count()
    }

    fn answer_to(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let (status, body) = self.answer.lock().expect("no holder panics").clone();
        let body = body.to_string();
        let length = body.len();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    }
}

/// A server with the keys of a JWKS, which is fetched while it starts.
fn start_with_jwks(jwks: &JwksServer, more: &[&str]) -> Server {
    std::thread::scope(|scope| {
        let server = scope.spawn(|| Server::start_with(&arguments(&["--jwt-jwks", &jwks.url], more)));
        jwks.answer_one();
        server.join().expect("the server starts")
    })
}

fn status(server: &Server, jwt: &str) -> u16 {
    User::with(server, jwt).get("/sessions").0
}

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
    assert_eq!(status(server, &right), 200);
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
    let public = ["/", "/healthz", "/livez", "/openapi.json", "/metrics", "/static/{file}"];
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        if public.contains(&&**path) {
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
