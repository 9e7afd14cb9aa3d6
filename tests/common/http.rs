//! A small HTTP client. It sends exactly what a test gives it, and returns every status as a
//! response.

use std::io::{BufRead, BufReader, Read};

use serde_json::Value;
use ureq::{Agent, Body};

use super::{Server, wait_timeout};

/// A response with any status.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header, if the response has it.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        self.try_json().unwrap_or_else(|| panic!("not JSON: {}", self.text()))
    }

    pub fn try_json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Asserts that this is a problem document (RFC 9457) with this status, and returns it.
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(["title", "detail", "code"].iter().all(|field| problem[field].is_string()), "{problem}");
        problem
    }

    /// Asserts that this is a problem document with this status and code, and returns it.
    pub fn problem_with_code(&self, status: u16, code: &str) -> Value {
        let problem = self.problem(status);
        assert_eq!(problem["code"], code, "{problem}");
        problem
    }
}

/// The lines of a response, as they arrive.
pub struct Lines {
    pub status: u16,
    lines: std::io::Lines<BufReader<Box<dyn Read>>>,
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.lines.next()?.ok()
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
    config.timeout_global(Some(wait_timeout())).max_redirects(0).build().into()
}

impl Server {
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], &[])
    }

    pub fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path, &[], &[])
    }

    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.request("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.try_request(method, path, headers, body).expect("the server answers")
    }

    pub fn try_get(&self, path: &str) -> Option<Response> {
        self.try_request("GET", path, &[], &[])
    }

    /// Like [`Self::request`], but returns `None` if the server cannot be reached.
    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Response> {
        let (parts, body) = self.send(method, path, headers, body)?.into_parts();
        let body = body.into_with_config().limit(u64::MAX).read_to_vec().ok()?;
        Some(Response { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// Sends a request and returns the lines of its response while the response is still being
    /// written.
    pub fn lines(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Lines {
        let response = self.send(method, path, headers, body).expect("the server answers");
        let status = response.status().as_u16();
        let reader: Box<dyn Read> = Box::new(response.into_body().into_reader());
        Lines { status, lines: BufReader::new(reader).lines() }
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<ureq::http::Response<Body>> {
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("a well-formed request");
        agent().run(request).ok()
    }
}
