//! A server whose users another site signs in: which JWTs it takes, where its keys come from, and
//! what becomes of users, tickets and connections. Debian's PyJWT makes the JWTs.

mod keys;
mod limits;
mod routes;
mod users;

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
