//! Real reverse proxies with TLS in front of a server, set up as docs/operating.md says.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{eventually, is_root};

/// A TLS connection.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A private authority, and certificates that it has signed.
pub struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    /// Makes an authority and a certificate for `127.0.0.1` and `localhost`.
    pub fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().expect("a temporary folder is created") };
        authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority");
        authority.sign("server", "DNS:localhost,IP:127.0.0.1", 2);
        authority
    }

    /// Makes a key and a certificate for `names`, as `NAME.key` and `NAME.pem`.
    pub fn sign(&self, name: &str, names: &str, days: i32) {
        fs::write(self.path("names"), format!("subjectAltName={names}")).expect("the file can be written");
        self.openssl(&format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        self.openssl(&format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days {days} -extfile names"));
    }

    /// The path of a file that the authority has made.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.folder.path())
            .output()
            .expect("openssl is installed");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A proxy that belongs to one test.
pub struct Proxy {
    child: Child,
    port: u16,
    scheme: &'static str,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts nginx with the configuration of docs/operating.md, with TLS by the certificate
    /// `name` of the authority.
    pub fn nginx(upstream: &str, authority: &Authority, name: &str) -> Self {
        Self::nginx_changed(upstream, authority, name, &[])
    }

    /// Like [`Self::nginx`], with each first text of `changes` replaced by the second.
    pub fn nginx_changed(
        upstream: &str,
        authority: &Authority,
        name: &str,
        changes: &[(&str, &str)],
    ) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        let site = changed(example("nginx"), changes)
            .replace("listen 443 ssl;", &format!("listen 127.0.0.1:{port} ssl;"))
            .replace("listen [::]:443 ssl;", "")
            .replace("server_name live.example.org;", "server_name localhost 127.0.0.1;")
            .replace("/etc/ssl/live.example.org.pem", &text(&authority.path(&format!("{name}.pem"))))
            .replace("/etc/ssl/live.example.org.key", &text(&authority.path(&format!("{name}.key"))))
            .replace("127.0.0.1:8000", upstream);
        Self::start_nginx(&site, port, "https", folder)
    }

    /// Starts nginx without TLS and with no other directive for the proxy than `directives`. If it
    /// is root, its workers are those of another user, as usual.
    pub fn bare_nginx(upstream: &str, directives: &str) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        let site = format!(
            "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{upstream}; {directives} }} }}"
        );
        Self::start_nginx(&site, port, "http", folder)
    }

    fn start_nginx(site: &str, port: u16, scheme: &'static str, folder: tempfile::TempDir) -> Self {
        let own = text(folder.path());
        let user = if is_root() { "user www-data;" } else { "" };
        let configuration = format!(
            "{user} daemon off; worker_processes 1; pid {own}/pid; error_log {own}/error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; client_body_temp_path {own}/a; proxy_temp_path {own}/b; \
             fastcgi_temp_path {own}/c; uwsgi_temp_path {own}/d; scgi_temp_path {own}/e;\n{site}\n}}\n"
        );
        let path = folder.path().join("nginx.conf");
        fs::write(&path, configuration).expect("the file can be written");
        let mut command = Command::new("nginx");
        command
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&path)
            .stderr(Stdio::null());
        Self::start(command, port, scheme, folder)
    }

    /// Starts Caddy with the configuration of docs/operating.md, with TLS by the certificate `name`
    /// of the authority.
    pub fn caddy(upstream: &str, authority: &Authority, name: &str) -> Self {
        Self::caddy_changed(upstream, authority, name, &[])
    }

    /// Like [`Self::caddy`], with each first text of `changes` replaced by the second.
    pub fn caddy_changed(
        upstream: &str,
        authority: &Authority,
        name: &str,
        changes: &[(&str, &str)],
    ) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        let site = changed(example("caddy"), changes)
            .replace(
                "live.example.org {",
                &format!("https://127.0.0.1:{port}, https://localhost:{port} {{\n    bind 127.0.0.1"),
            )
            .replace("/etc/ssl/live.example.org.pem", &text(&authority.path(&format!("{name}.pem"))))
            .replace("/etc/ssl/live.example.org.key", &text(&authority.path(&format!("{name}.key"))))
            .replace("127.0.0.1:8000", upstream);
        let options = "{\n    admin off\n    auto_https disable_redirects\n}\n";
        let path = folder.path().join("Caddyfile");
        fs::write(&path, format!("{options}{site}")).expect("the file can be written");
        let errors = fs::File::create(folder.path().join("error.log")).expect("the file can be created");
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&path).stderr(errors);
        for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(variable, folder.path());
        }
        Self::start(command, port, "https", folder)
    }

    /// Opens a TLS connection to the proxy. A read that takes longer than `read_timeout` fails.
    pub fn connect(&self, authority: &Authority, read_timeout: Duration) -> TlsStream {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(authority.certificate()).expect("a certificate");
        roots.add(certificate).expect("a valid certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().expect("a host name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a valid configuration");
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).expect("the proxy listens");
        tcp.set_read_timeout(Some(read_timeout)).expect("a positive duration");
        StreamOwned::new(tls, tcp)
    }

    fn start(mut command: Command, port: u16, scheme: &'static str, folder: tempfile::TempDir) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut child = child.expect("the proxy is installed");
        eventually("the proxy listens", || {
            let status = child.try_wait().expect("the proxy is a child");
            assert!(status.is_none(), "the proxy has ended: {status:?} {}", {
                fs::read_to_string(folder.path().join("error.log")).unwrap_or_default()
            });
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { child, port, scheme, _folder: folder }
    }

    /// The URL of a path, by address.
    pub fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}{path}", self.scheme, self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).expect("a valid pid");
        // nginx ends its workers when it gets this signal.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a bound address").port()
}

/// The configuration in `language` that docs/operating.md shows.
fn example(language: &str) -> String {
    let page = fs::read_to_string("docs/operating.md")
        .or_else(|_| fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating.md")))
        .expect("the page can be read");
    let begin = format!("```{language}\n");
    let found = page.split_once(&begin).and_then(|(_, rest)| rest.split_once("```"));
    found.unwrap_or_else(|| panic!("docs/operating.md has an example in {language}")).0.to_owned()
}

/// An example with each first text of `changes` replaced by the second.
fn changed(mut example: String, changes: &[(&str, &str)]) -> String {
    for (old, new) in changes {
        assert!(example.contains(old), "docs/operating.md contains {old:?}");
        example = example.replace(old, new);
    }
    example
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}
