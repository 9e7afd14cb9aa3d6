//! Servers that take guests: who lets them in, what names them, and that their sessions are theirs
//! alone.

mod admission;
mod cookies;
mod frames;
mod origins;
mod sessions;

use serde_json::{Value, json};

use crate::common::{Server, Stream};

/// A program that waits for a line.
const ASKS: &str = "echo started; read line; echo \"got $line\"";

/// A server whose callers are all guests.
fn start() -> Server {
    Server::start_with(&["--local-user", "none"])
}

/// A guest's browser: what it sends with each request.
#[derive(Clone, Debug, Default)]
struct Browser {
    headers: Vec<(&'static str, String)>,
}

impl Browser {
    /// Without the header of that name, if it has one, and with this one.
    fn with(&self, name: &'static str, value: impl Into<String>) -> Self {
        let mut headers = self.headers.clone();
        headers.retain(|(own, _)| *own != name);
        headers.push((name, value.into()));
        Self { headers }
    }

    /// A browser that shows the server's page, with the cookie that the page has brought.
    fn at_page(server: &Server) -> Self {
        let answer = Self::default().with("sec-fetch-site", "none").send(server, "GET", "/", "");
        let cookie = answer.header("set-cookie").and_then(|cookie| cookie.split(';').next());
        let own = format!("http://{}", server.address());
        let page = Self::default().with("cookie", cookie.expect("the page sets a cookie"));
        page.with("origin", own).with("sec-fetch-site", "same-origin")
    }

    /// A client that keeps a token, of 32 digits that all are `digit`.
    fn with_token(digit: char) -> Self {
        Self::default().with("authorization", format!("Bearer {}", String::from(digit).repeat(32)))
    }

    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| *own == name);
        found.map_or("", |(_, value)| value)
    }

    fn borrowed(&self) -> Vec<(&'static str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, &**value)).collect()
    }

    fn send(&self, server: &Server, method: &str, path: &str, body: &str) -> crate::common::http::Response {
        let json = self.with("content-type", "application/json");
        let headers = if body.is_empty() { self.borrowed() } else { json.borrowed() };
        server.request(method, path, &headers, body.as_bytes())
    }

    fn status(&self, server: &Server, method: &str, path: &str) -> u16 {
        self.send(server, method, path, "").status
    }

    fn create(&self, server: &Server, code: &str) -> Value {
        let body = json!({"runtime": "bash", "code": code}).to_string();
        let answer = self.send(server, "POST", "/sessions", &body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    fn ids(&self, server: &Server) -> Vec<String> {
        let list = self.send(server, "GET", "/sessions", "").json();
        list.as_array().expect("an array").iter().map(crate::common::id).collect()
    }

    fn stream(&self, server: &Server, path: &str) -> Result<Stream, u16> {
        Stream::try_connect(server.address(), path, &self.borrowed())
    }
}
