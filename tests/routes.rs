//! Every route of the OpenAPI document, with every credential that opens nothing. An answer never
//! tells whether a session, a share or a token exists.

use serde_json::{Value, json};

use crate::{
    common::{Server, Stream, eventually, http::Response, id},
    users::{User, new_token, stream_path, token_command},
};

/// Routes that have no caller: they are for everybody, or have a secret of their own.
pub const PUBLIC: [&str; 8] =
    ["/", "/embed", "/healthz", "/livez", "/openapi.json", "/metrics", "/shares/redeem", "/static/{file}"];

/// Names of things that exist, and belong to Ada.
pub struct Targets<'s> {
    server: &'s Server,
    session: String,
    share: String,
    /// `None` if the server has no tokens.
    token: Option<String>,
    /// The name of a user who has a token.
    user: &'static str,
    /// The id of an exercise, which exists if somebody may keep exercises.
    exercise: &'static str,
}

/// A credential, as the headers of a request.
type Credential<'c> = [(&'c str, &'c str)];

impl<'s> Targets<'s> {
    /// Makes a session and a share with the credential of Ada.
    pub fn of(server: &'s Server, ada: &Credential<'_>, token: Option<String>) -> Self {
        let post = |path: &str, body: Value| {
            let response = send(server, ada, "post", path, &body);
            assert_eq!(response.status, 201, "{path}: {}", response.text());
            id(&response.json())
        };
        let session = post("/sessions", json!({"runtime": "bash", "code": "echo secret; read line"}));
        let share = post(&format!("/sessions/{session}/shares"), json!({"rights": "watch"}));
        Self { server, session, share, token, user: "ada", exercise: "known" }
    }

    /// The routes that are not public: method, path with what exists, path with what does not.
    fn routes(&self) -> Vec<(String, String, String)> {
        let document = self.server.get("/openapi.json").json();
        let unknown = "0".repeat(32);
        let mut routes = vec![];
        for (path, methods) in document["paths"].as_object().expect("paths") {
            if PUBLIC.contains(&&**path) {
                continue;
            }
            let is_token = path.starts_with("/tokens");
            let existing = match () {
                () if is_token => self.token.as_deref().unwrap_or("none"),
                () if path.starts_with("/exercises") => self.exercise,
                () => &self.session,
            };
            let fill = |id: &str, share: &str, user: &str| {
                let path = path.replace("{id}", id).replace("{share}", share).replace("{name}", user);
                path.replace("{runtime}", "bash")
            };
            for method in methods.as_object().expect("methods").keys() {
                routes.push((
                    method.clone(),
                    fill(existing, &self.share, self.user),
                    fill(&unknown[..existing.len().min(32)], "share-0", "nobody"),
                ));
            }
        }
        assert!(routes.len() >= 22, "{routes:?}");
        routes
    }

    /// Asserts that a credential opens no route at all.
    pub fn refuse(&self, credential: &Credential<'_>) {
        for (method, existing, unknown) in self.routes() {
            self.answer_alike(credential, &method, &existing, &unknown, &[401]);
        }
    }

    /// Asserts that a valid credential of somebody else opens nothing of Ada's.
    pub fn hide(&self, credential: &Credential<'_>) {
        for (method, existing, unknown) in self.routes() {
            // Its own things are for each caller; what Ada has is not among them.
            if existing == unknown
                && !["/tokens", "/users", "/exercises"].iter().any(|path| existing.starts_with(path))
            {
                let response = send(self.server, credential, &method, &existing, &body_for(&existing));
                assert!(!response.text().contains(&self.session), "{method} {existing}");
                continue;
            }
            self.answer_alike(credential, &method, &existing, &unknown, &[404]);
        }
    }

    /// Asserts that a path answers the same for what exists and for what does not.
    fn answer_alike(
        &self,
        credential: &Credential<'_>,
        method: &str,
        existing: &str,
        unknown: &str,
        statuses: &[u16],
    ) {
        let of = |path: &str| {
            let response = send(self.server, credential, method, path, &body_for(path));
            assert!(
                statuses.contains(&response.status),
                "{credential:?}: {method} {path} answered {} {}",
                response.status,
                response.text()
            );
            (
                response.status,
                response.text().replace(path, "PATH"),
                response.header("www-authenticate").map(str::to_owned),
            )
        };
        assert_eq!(of(existing), of(unknown), "{credential:?}: {method} {existing}");
    }

    /// Asserts that none of these queries opens the stream, nor tells whether the session exists.
    pub fn refuse_tickets(&self, tickets: &[String]) {
        for ticket in tickets {
            let path = |session: &str| format!("/sessions/{session}/stream?ticket={ticket}");
            let (existing, unknown) = (path(&self.session), path(&"0".repeat(32)));
            self.answer_alike(&[], "get", &existing, &unknown, &[401]);
        }
    }

    /// Asserts that Ada's things are as they were, which shows that the paths were right.
    pub fn are_whole(&self, ada: &Credential<'_>) {
        let session = send(self.server, ada, "get", &format!("/sessions/{}", self.session), &Value::Null);
        assert_eq!(session.json()["state"], "running", "{}", session.text());
        let shares = format!("/sessions/{}/shares", self.session);
        let shares = send(self.server, ada, "get", &shares, &Value::Null).json();
        assert_eq!(shares.as_array().map(Vec::len), Some(1), "{shares}");
        assert_eq!(shares[0]["id"], self.share.as_str());
    }
}

/// A body that the route would take.
fn body_for(path: &str) -> Value {
    match path {
        "/sessions" | "/exec" => json!({"runtime": "bash", "code": "true"}),
        "/tokens" => json!({"user": "mallory"}),
        _ if path.ends_with("/shares") => json!({"rights": "watch"}),
        _ if path.ends_with("/rotate") => json!({}),
        _ => Value::Null,
    }
}

fn send(server: &Server, credential: &Credential<'_>, method: &str, path: &str, body: &Value) -> Response {
    let method = method.to_uppercase();
    let mut headers = credential.to_vec();
    headers.push(("accept", "application/x-ndjson"));
    if method != "POST" || body.is_null() {
        return server.request(&method, path, &headers, &[]);
    }
    headers.push(("content-type", "application/json"));
    server.request(&method, path, &headers, body.to_string().as_bytes())
}

/// The id of the first token of a user.
fn token_id(server: &Server, user: &str) -> String {
    let output = token_command(server.data(), &["list", "--json"]);
    let tokens: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let token = tokens.as_array().expect("an array").iter().find(|token| token["user"] == user);
    id(token.expect("the user has a token"))
}

/// A token that was revoked, and one that has expired.
fn dead_tokens(server: &Server) -> [String; 2] {
    let expired = new_token(server, &["eve", "--expires", "1s"]);
    let revoked = new_token(server, &["trudy"]);
    assert!(token_command(server.data(), &["revoke", "trudy"]).status.success());
    eventually("the token expires", || (User::with(server, &expired).get("/quota").0 == 401).then_some(()));
    [revoked, expired]
}

#[test]
fn every_route_with_every_credential_of_a_server_with_tokens() {
    let server = Server::start_with(&["--auth", "tokens", "--ticket-lifetime-ms", "1000"]);
    let ada = User::new(&server, "ada");
    let headers = [("authorization", ada.authorization.as_str())];
    let targets = Targets::of(&server, &headers, Some(token_id(&server, "ada")));
    let admin = User::with(&server, &new_token(&server, &["root", "--role", "admin"]));
    let exercise = json!({"runtime": "bash", "cases": [{}]});
    assert_eq!(admin.request("PUT", "/exercises/known", &exercise).0, 201);
    let mallory = User::new(&server, "mallory");
    let own = mallory.create("read line");
    let ticket_of = |document: &Value| {
        let path = stream_path(document);
        path.split_once("ticket=").expect("a ticket").1.to_owned()
    };
    let elsewhere = ticket_of(&own);
    let leaver = User::new(&server, "leaver");
    let of_leaver = ticket_of(&leaver.create("read line"));
    assert!(token_command(server.data(), &["revoke", "leaver"]).status.success());
    targets.refuse_tickets(&[String::new(), "1.1".into(), "x".repeat(300), elsewhere.clone(), of_leaver]);
    eventually("the ticket expires", || {
        let path = format!("/sessions/{}/stream?ticket={elsewhere}", id(&own));
        (Stream::try_connect(server.address(), &path, &[]).err() == Some(401)).then_some(())
    });
    targets.refuse_tickets(&[elsewhere]);
    let [revoked, expired] = dead_tokens(&server);
    let wrong = format!("{}0", &revoked[..revoked.len() - 1]);
    let credentials = [
        "".to_owned(),
        "Bearer".into(),
        format!("Bearer {wrong}"),
        format!("Bearer {revoked}"),
        format!("Bearer {expired}"),
    ];
    targets.refuse(&[]);
    for credential in &credentials {
        targets.refuse(&[("authorization", credential)]);
    }
    targets.refuse(&[("cookie", "livecode_guest=1.1")]);
    targets.hide(&[("authorization", &mallory.authorization)]);
    assert_eq!(admin.get("/exercises/known").1["contents"], exercise);
    targets.are_whole(&headers);
}

#[test]
fn every_route_with_every_credential_of_an_open_server() {
    let server = Server::start_with(&["--local-user", "none"]);
    let token = |digit: char| format!("Bearer {}", String::from(digit).repeat(32));
    let (ada, mallory) = (token('a'), token('b'));
    let headers = [("authorization", ada.as_str())];
    let targets = Targets::of(&server, &headers, None);
    // Without a credential, or with one of its own making, a caller is another guest.
    targets.hide(&[]);
    targets.hide(&[("authorization", &mallory)]);
    targets.hide(&[("cookie", "livecode_guest=1.1")]);
    targets.refuse_tickets(&[String::new(), "1.1".into(), "x".repeat(300)]);
    targets.are_whole(&headers);
}
