//! The lines of configuration that mend findings, for nginx and for Caddy. They are those of
//! docs/operating.md.

use livecode_sandbox::doctor::Remedy;

/// Bytes of a mebibyte.
pub const MIB: u64 = 1024 * 1024;

fn remedy(what: impl Into<String>, line: impl Into<String>) -> Remedy {
    Remedy { what: what.into(), command: Some(line.into()) }
}

fn advice(what: &str) -> Remedy {
    Remedy { what: what.to_owned(), command: None }
}

/// For a proxy that reaches no server.
pub fn upstream() -> Vec<Remedy> {
    vec![
        remedy("in nginx, with the address on which the server listens", "proxy_pass http://127.0.0.1:8000;"),
        remedy("in Caddy, with that address", "reverse_proxy 127.0.0.1:8000"),
        remedy("the server is started with", "livecode serve"),
    ]
}

/// For a server that does not know the host by which it is reached.
pub fn hosts() -> Vec<Remedy> {
    vec![
        remedy("in the server's livecode.toml, with the host of the URL", "hosts = [\"live.example.org\"]"),
        known_users(),
        remedy(
            "in nginx, so that the server learns that host",
            "proxy_set_header X-Forwarded-Host $http_host;",
        ),
    ]
}

/// For a certificate that is not trusted.
pub fn certificate() -> Vec<Remedy> {
    vec![
        remedy(
            "in nginx, the server's certificate and behind it those of the authorities in between",
            "ssl_certificate /etc/ssl/live.example.org.pem;",
        ),
        remedy(
            "in Caddy, the same; without this line Caddy gets a certificate from a public authority",
            "tls /etc/ssl/live.example.org.pem /etc/ssl/live.example.org.key",
        ),
    ]
}

/// For strangers' programs and tokens that cross the network in the clear.
pub fn tls() -> Vec<Remedy> {
    vec![
        remedy("in nginx, with ssl_certificate and ssl_certificate_key", "listen 443 ssl;"),
        remedy("in Caddy, a site that is named by its host has TLS", "live.example.org {"),
    ]
}

/// For a connection that is not upgraded to a websocket.
pub fn upgrade() -> Vec<Remedy> {
    vec![
        remedy(
            "in nginx, with proxy_http_version 1.1 and the map of docs/operating.md",
            "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;",
        ),
        advice(
            "Caddy passes websockets on by itself; remove the header_up that changes Upgrade or Connection",
        ),
    ]
}

/// For output that is held back.
pub fn buffering() -> Vec<Remedy> {
    vec![
        remedy("in nginx", "proxy_buffering off;"),
        remedy(
            "in Caddy, in the block of reverse_proxy, in place of buffer_responses or response_buffers",
            "flush_interval -1",
        ),
    ]
}

/// For streams that are cut off while a program is silent.
pub fn silence() -> Vec<Remedy> {
    vec![
        remedy("in nginx", "proxy_read_timeout 1h;"),
        advice(
            "Caddy has no such timeout by itself; remove stream_timeout and read_timeout from reverse_proxy, and \
             write from the timeouts of its servers",
        ),
        advice("any other proxy or load balancer on the way: its idle timeout must be above 30 s"),
    ]
}

/// For a body of `bytes` that is refused.
pub fn body_size(bytes: u64) -> Vec<Remedy> {
    let mib = bytes.div_ceil(MIB);
    vec![
        remedy("in nginx", format!("client_max_body_size {mib}m;")),
        remedy("in Caddy, in a block request_body", format!("max_size {mib}MiB")),
    ]
}

/// For links with another scheme than that of the URL.
pub fn forwarded_scheme() -> Vec<Remedy> {
    vec![
        remedy("in nginx", "proxy_set_header X-Forwarded-Proto $scheme;"),
        advice("Caddy sends this header by itself; remove the header_up that changes it"),
        trusted_proxies(),
        known_users(),
    ]
}

/// For links with another host than that of the URL.
pub fn forwarded_host() -> Vec<Remedy> {
    vec![
        remedy("in nginx", "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Host $http_host;"),
        advice("Caddy sends these headers by itself; remove the header_up that changes them"),
        trusted_proxies(),
        known_users(),
    ]
}

/// For links with another path than that of the URL.
pub fn own_host() -> Vec<Remedy> {
    vec![
        advice("links have no path in front; give LiveCode a host of its own"),
        remedy("in nginx", "server_name live.example.org;"),
        remedy("in Caddy", "live.example.org {"),
    ]
}

fn trusted_proxies() -> Remedy {
    remedy(
        "and in the server's livecode.toml, with the proxy's address, since the headers of others are not believed",
        "trusted_proxies = [\"127.0.0.1\"]",
    )
}

/// A server with `hosts` or `trusted_proxies` does not start unless it is told who may use it.
fn known_users() -> Remedy {
    remedy(
        "and there, if auth is \"open\", because strangers reach such a server: auth = \"tokens\" for known users, \
         or for everybody",
        "allow_anonymous = true",
    )
}

/// For a proxy that asks for a password.
pub fn credentials() -> Vec<Remedy> {
    vec![remedy("with the user's name and password", "livecode doctor --url https://name:password@host")]
}

/// For what is wrong with the server itself.
pub fn server() -> Vec<Remedy> {
    vec![remedy(
        "docs/operating.md explains the reasons (Health); on the server's machine its log and this command say more",
        "livecode doctor",
    )]
}
