//! HTTP requests to a server.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use anyhow::{anyhow, bail};
use clap::Args;
use livecode_protocol::{
    ErrorCode, SessionId,
    session::{CreateSession, SessionDocument},
    share::{RedeemShare, SharedSession},
};
use livecode_server::catalogue::RuntimeInfo;
use rustls::ClientConfig;
use serde::{Serialize, de::DeserializeOwned};
use ureq::{
    Agent, Body, http,
    tls::{Certificate, RootCerts, TlsConfig},
};

use super::{
    answer::{Refusal, into_success, parse_json},
    share_link::ShareLink,
    tls, tokens,
    unix::{NoResolver, UnixConnector},
    url::ServerUrl,
};
use crate::client::backoff::Backoff;

/// How long a request may take. A deletion waits until the session's processes are dead.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How many times the creation of a session is attempted if the connection fails or an earlier
/// attempt is still being processed. The idempotency key ensures that only one session is created.
const MAX_CREATE_ATTEMPTS: u32 = 5;

/// The URL of the server of a command that names none.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8000";

/// The server that a command sends its requests to.
#[derive(Args, Clone)]
pub struct ServerClient {
    /// URL of the server; it may hold a user's name and password for a proxy in front of it. A
    /// server on a unix socket is unix: and the path, as in unix:/run/livecode.sock.
    #[arg(
        id = "server_url",
        long = "server",
        env = "LIVECODE_SERVER",
        hide_env_values = true,
        default_value = DEFAULT_URL,
        value_name = "URL"
    )]
    url: ServerUrl,
    /// File of further certificates in PEM form that are trusted, besides those of this machine
    /// (or of SSL_CERT_FILE).
    #[arg(long, env = "LIVECODE_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// File with the token by which the server knows you. LIVECODE_TOKEN may hold the token itself
    /// instead.
    #[arg(long, env = "LIVECODE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Whether requests carry no credentials.
    #[arg(skip)]
    is_without_credentials: bool,
    /// The secret of the share by which a session is followed.
    #[arg(skip)]
    share: Option<String>,
}

/// A request to the server. Credentials and the type of the body are added when it is sent.
pub struct HttpRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path and query, without the path of the server's URL.
    pub path: &'a str,
    /// Further headers, as names and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, which is JSON.
    pub body: Option<&'a [u8]>,
    /// How long the request and its answer may take, in all.
    pub timeout: Duration,
}

impl<'a> HttpRequest<'a> {
    /// A request without further headers and body.
    pub fn new(method: &'a str, path: &'a str) -> Self {
        Self { method, path, headers: &[], body: None, timeout: REQUEST_TIMEOUT }
    }
}

/// A session as the user names it: by its id, or by a beginning of the id.
#[derive(Clone, Debug)]
pub struct SessionRef(String);

impl FromStr for SessionRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.len() {
            1..=32 if is_hex => Ok(Self(text.to_ascii_lowercase())),
            _ => Err("an id has 32 hexadecimal digits, of which the first few may be enough".to_owned()),
        }
    }
}

impl fmt::Display for SessionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ServerClient {
    /// The server at `url`. The certificates in `ca_file` are trusted, too, and `token_file` has
    /// the token by which it knows the user.
    pub fn new(url: ServerUrl, ca_file: Option<PathBuf>, token_file: Option<PathBuf>) -> Self {
        Self { url, ca_file, token_file, is_without_credentials: false, share: None }
    }

    /// The server that listens on an admin socket, where it asks for no credentials.
    ///
    /// # Errors
    /// If the path is not one of a unix socket.
    pub fn at_socket(socket: &Path) -> anyhow::Result<Self> {
        let socket = std::path::absolute(socket)?;
        let url = format!("unix:{}", socket.display()).parse()?;
        Ok(Self { is_without_credentials: true, ..Self::new(url, None, None) })
    }

    /// The same command's server, in place of it the one of a link, where the link's secret stands
    /// for the user.
    pub fn at_share(&self, link: ShareLink) -> Self {
        let share = Some(link.secret);
        Self { share, is_without_credentials: true, ..Self::new(link.server, self.ca_file.clone(), None) }
    }

    /// Whether a session is followed by a share.
    pub fn is_of_share(&self) -> bool {
        self.share.is_some()
    }

    /// The session that the share opens, with a new ticket for its stream.
    ///
    /// # Errors
    /// If there is no answer; the inner result says whether the server has refused.
    pub fn redeem(&self) -> anyhow::Result<Result<SharedSession, Refusal>> {
        let request = RedeemShare { secret: self.share.clone().unwrap_or_default() };
        let body = serde_json::to_vec(&request)?;
        let request = HttpRequest { body: Some(&body), ..HttpRequest::new("POST", "/shares/redeem") };
        match into_success(&self.url, self.send(&request)?) {
            Ok(response) => Ok(Ok(parse_json(&self.url, response)?)),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The URL without credentials, for messages.
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// The documents of all sessions.
    pub fn sessions(&self) -> anyhow::Result<Vec<SessionDocument>> {
        self.get_json("/sessions")
    }

    /// The document of a session, or of the one that the share opens; `timeout` bounds the request.
    ///
    /// # Errors
    /// If there is no answer, or the server refuses to tell.
    pub fn session(&self, id: SessionId, timeout: Duration) -> anyhow::Result<SessionDocument> {
        if self.is_of_share() {
            let shared = self.redeem()?.map_err(|refusal| refusal.error)?;
            return Ok(shared.session);
        }
        let path = format!("/sessions/{id}");
        let response = self.send(&HttpRequest { timeout, ..HttpRequest::new("GET", &path) })?;
        parse_json(&self.url, into_success(&self.url, response).map_err(|refusal| refusal.error)?)
    }

    /// The documents of all runtimes.
    pub fn runtimes(&self) -> anyhow::Result<Vec<RuntimeInfo>> {
        self.get_json("/runtimes")
    }

    /// The id of the session that the user names.
    ///
    /// # Errors
    /// If no session or several sessions in the user's list begin with these digits.
    pub fn find_id(&self, session: &SessionRef) -> anyhow::Result<SessionId> {
        if let Ok(id) = session.0.parse() {
            return Ok(id);
        }
        let ids: Vec<_> = self
            .sessions()?
            .into_iter()
            .map(|document| document.id)
            .filter(|id| id.to_string().starts_with(&session.0))
            .collect();
        match &*ids {
            [] => bail!("there is no session whose id begins with {session}; `livecode ls` lists yours"),
            [id] => Ok(*id),
            several => {
                let shown: Vec<_> = several.iter().take(3).map(SessionId::to_string).collect();
                let (count, shown) = (several.len(), shown.join(", "));
                bail!("{count} sessions begin with {session}; give more digits ({shown}, …)")
            }
        }
    }

    /// Ends a session if it still runs, and deletes it.
    pub fn delete_session(&self, id: SessionId) -> anyhow::Result<()> {
        self.delete(&format!("/sessions/{id}"))
    }

    /// Deletes what is at a path.
    pub fn delete(&self, path: &str) -> anyhow::Result<()> {
        let response = self.send(&HttpRequest::new("DELETE", path))?;
        into_success(&self.url, response).map(drop).map_err(|refusal| refusal.error)
    }

    /// Deletes what is at a path, and parses the answer.
    pub fn delete_json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = into_success(&self.url, self.send(&HttpRequest::new("DELETE", path))?);
        parse_json(&self.url, response.map_err(|refusal| refusal.error)?)
    }

    /// Sends a document to a path, and parses the answer.
    pub fn post_json<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.post_json_within(path, body, REQUEST_TIMEOUT)
    }

    /// As [`Self::post_json`], for an answer that may take another time.
    pub fn post_json_within<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        timeout: Duration,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_vec(body)?;
        let request = HttpRequest { body: Some(&body), timeout, ..HttpRequest::new("POST", path) };
        let response = self.send(&request)?;
        parse_json(&self.url, into_success(&self.url, response).map_err(|refusal| refusal.error)?)
    }

    /// Creates a session. Retries after failed connections create no second session.
    ///
    /// A server that takes guests keeps a session for its owner, who is known by a token. The
    /// token is made at the first such answer, and kept for later commands.
    pub fn create(&self, request: &CreateSession) -> anyhow::Result<SessionDocument> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| anyhow!("cannot generate a random key: {error}"))?;
        let key = SessionId::from_random(random).to_string();
        let mut key = Some(key.as_str());
        let body = serde_json::to_vec(request)?;
        let mut backoff = Backoff::default();
        let mut attempts = 1;
        let mut has_token = false;
        loop {
            let headers = key.map(|key| ("idempotency-key", key));
            let request = HttpRequest {
                headers: headers.as_slice(),
                body: Some(&body),
                ..HttpRequest::new("POST", "/sessions")
            };
            match self.send(&request) {
                Ok(response) if attempts == MAX_CREATE_ATTEMPTS || !is_transient(response.status()) => {
                    match into_success(&self.url, response) {
                        Ok(response) => return parse_json(&self.url, response),
                        Err(refusal) if refusal.code == Some(ErrorCode::TokenRequired) && !has_token => {
                            has_token = true;
                            match self.url.basic_credentials() {
                                // The header for a token carries the password of a proxy already.
                                Some(_) => key = None,
                                None => drop(tokens::find_or_create(&self.url.to_string())?),
                            }
                            continue;
                        }
                        Err(refusal) => return Err(refusal.error),
                    }
                }
                // Without a key, a repeated request could create a second session.
                Err(error) if attempts == MAX_CREATE_ATTEMPTS || key.is_none() => return Err(error),
                Ok(_) | Err(_) => std::thread::sleep(backoff.next_delay()),
            }
            attempts += 1;
        }
    }

    /// The websocket URL of a session's stream, which starts after the entry with number `after`.
    pub fn stream_url(&self, id: SessionId, after: u64) -> String {
        self.url.websocket(&format!("/sessions/{id}/stream?after={after}"))
    }

    /// The websocket URL of the stream of a session that a share opens, likewise.
    pub fn shared_stream_url(&self, shared: &SharedSession, after: u64) -> String {
        let ticket = shared.session.links.stream.split_once('?').map_or("", |(_, query)| query);
        format!("{}&{ticket}", self.stream_url(shared.session.id, after))
    }

    /// The value of the `Authorization` header that every request carries: the user's token, the
    /// credentials of the URL, or the token that is kept for this server.
    pub fn authorization(&self) -> anyhow::Result<Option<String>> {
        if self.is_without_credentials {
            return Ok(None);
        }
        if let Some(token) = tokens::of_user(self.token_file.as_deref())? {
            if self.url.basic_credentials().is_some() {
                bail!(
                    "a request has either a token or the name and password of the URL; leave out one of them"
                );
            }
            return Ok(Some(format!("Bearer {token}")));
        }
        if let Some(credentials) = self.url.basic_credentials() {
            return Ok(Some(credentials.to_owned()));
        }
        Ok(tokens::find(&self.url.to_string())?.map(|token| format!("Bearer {token}")))
    }

    /// The TLS settings for a websocket; `None` if the URL has no TLS.
    pub fn tls_config(&self) -> anyhow::Result<Option<Arc<ClientConfig>>> {
        if !self.url.is_tls() {
            return Ok(None);
        }
        tls::client_config(tls::trusted_certificates(self.ca_file.as_deref())?).map(Some)
    }

    /// The error for a connection that could not be made.
    pub fn connect_error(&self, error: anyhow::Error) -> anyhow::Error {
        let url = &self.url;
        match tls::explain(error.as_ref()) {
            Some(explanation) => error.context(format!("cannot connect to {url}: {explanation}")),
            None => error.context(format!(
                "no server answers at {url}; start one with `livecode serve` or choose another with --server"
            )),
        }
    }

    /// The JSON document at a path.
    ///
    /// # Errors
    /// If there is no connection, the answer is no success, or its body is not of this type.
    pub fn get_json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = into_success(&self.url, self.send(&HttpRequest::new("GET", path))?);
        parse_json(&self.url, response.map_err(|refusal| refusal.error)?)
    }

    /// The bytes at a path, as they arrive; an error if they are more than `max_bytes`.
    ///
    /// # Errors
    /// If there is no connection, or the answer is no success.
    pub fn download(&self, path: &str, max_bytes: u64) -> anyhow::Result<impl io::Read + use<>> {
        let response = into_success(&self.url, self.send(&HttpRequest::new("GET", path))?);
        let body = response.map_err(|refusal| refusal.error)?.into_body();
        Ok(body.into_with_config().limit(max_bytes.saturating_add(1)).reader())
    }

    /// The items of a list that is answered page by page.
    ///
    /// # Errors
    /// As [`Self::get_json`].
    pub fn get_pages<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        let mut items = vec![];
        let mut page = Some(path.to_owned());
        while let Some(at) = page {
            let response = into_success(&self.url, self.send(&HttpRequest::new("GET", &at))?);
            let response = response.map_err(|refusal| refusal.error)?;
            page = next_page(response.headers(), path);
            items.extend(parse_json::<Vec<T>>(&self.url, response)?);
        }
        Ok(items)
    }

    /// Sends one request, and returns the answer, whatever its status.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn send(&self, request: &HttpRequest<'_>) -> anyhow::Result<http::Response<Body>> {
        let mut builder = http::Request::builder().method(request.method).uri(self.url.http(request.path));
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        if let Some(authorization) = self.authorization()? {
            builder = builder.header("authorization", authorization);
        }
        let agent = self.agent(request.timeout)?;
        let result = match request.body {
            Some(body) => agent.run(builder.header("content-type", "application/json").body(body)?),
            None => agent.run(builder.body(())?),
        };
        result.map_err(|error| self.connect_error(error.into()))
    }

    /// An HTTP client. Redirections are not followed, because a redirected POST becomes a GET, and
    /// proxies of the environment are not used, because a stream could not use them.
    fn agent(&self, timeout: Duration) -> anyhow::Result<Agent> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(timeout));
        let config = match self.url.is_tls() {
            false => config,
            true => {
                let trusted = tls::trusted_certificates(self.ca_file.as_deref())?;
                let certificates: Vec<_> =
                    trusted.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
                let roots = RootCerts::new_with_certs(&certificates);
                config.tls_config(TlsConfig::builder().root_certs(roots).build())
            }
        };
        Ok(match self.url.socket() {
            Some(path) => Agent::with_parts(config.build(), UnixConnector(path.to_owned()), NoResolver),
            None => config.build().into(),
        })
    }
}

/// The path and query of the page after one of the list at `path`, whose answer has these headers.
fn next_page(headers: &http::HeaderMap, path: &str) -> Option<String> {
    let link = headers.get("link")?.to_str().ok()?;
    let (url, _) = link.strip_prefix('<')?.split_once(">; rel=\"next\"")?;
    let (_, query) = url.split_once('?')?;
    Some(format!("{path}?{query}"))
}

/// Whether a repeated request may be answered differently: the server still processes an earlier
/// request with the same key (409), is stopping or lacks resources (503), or a proxy reaches no
/// server (502 to 504).
fn is_transient(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 409 | 502..=504)
}
