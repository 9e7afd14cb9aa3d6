//! `livecode doctor --url` finds out what a proxy does to a server, and names the line of
//! configuration that mends it.

use std::{
    fs,
    process::{Command, Output, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{
    Server, binary, eventually,
    proxy::{Authority, Proxy},
};

/// The findings about a server that can be used.
const FINDINGS: [&str; 8] =
    ["tls", "server", "session", "links", "websocket", "streaming", "body size", "silence"];

/// A user who examines servers.
struct User {
    configuration: tempfile::TempDir,
    authority: Authority,
}

impl User {
    fn new() -> Self {
        let configuration = tempfile::tempdir().expect("a temporary folder is created");
        Self { configuration, authority: Authority::new() }
    }

    fn command(&self, url: &str, arguments: &[&str]) -> Command {
        // Whoever runs the tests may ignore SIGHUP, as nohup(1) does, and children inherit that.
        let mut command = Command::new("env");
        command.arg("--default-signal").arg(binary()).args(["doctor", "--url", url]).args(arguments);
        command.env("XDG_CONFIG_HOME", self.configuration.path());
        command.env("LIVECODE_CA_FILE", self.authority.certificate());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Examines a server, and returns the document with the findings and the exit status.
    fn examine(&self, url: &str, arguments: &[&str]) -> (Value, Option<i32>) {
        let output = self.command(url, arguments).arg("--json").output().expect("the binary starts");
        let document = serde_json::from_slice(&output.stdout);
        let document = document.unwrap_or_else(|error| panic!("{error}: {}", printed(&output)));
        (document, output.status.code())
    }
}

fn printed(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// A server that trusts proxies on this machine.
fn server() -> Server {
    Server::start_with(&["--trusted-proxy", "127.0.0.1", "--allow-anonymous"])
}

fn list<'d>(document: &'d Value, name: &str) -> &'d [Value] {
    document[name].as_array().unwrap_or_else(|| panic!("no {name} in {document}"))
}

fn names(list: &[Value]) -> Vec<&str> {
    list.iter().map(|item| item["name"].as_str().expect("a name")).collect()
}

/// The findings that are not in order, without the one about what this machine cannot enforce.
fn problems<'d>(document: &'d Value, server: &Server) -> Vec<&'d Value> {
    let health = server.get("/healthz").json();
    let is_known = |finding: &Value| finding["name"] == "server" && finding["verdict"] == health["status"];
    list(document, "findings")
        .iter()
        .filter(|finding| finding["verdict"] != "ok" && !is_known(finding))
        .inspect(|finding| assert!(!list(finding, "remedies").is_empty(), "{finding}"))
        .collect()
}

/// The sessions that a server has.
fn sessions(server: &Server) -> usize {
    fs::read_dir(server.data().join("sessions")).map_or(0, Iterator::count)
}

#[test]
fn a_server_behind_the_documented_proxies_is_in_order() {
    let server = server();
    let user = User::new();
    let nginx = Proxy::nginx(server.address(), &user.authority, "server");
    let caddy = Proxy::caddy(server.address(), &user.authority, "server");
    thread::scope(|scope| {
        let urls = [("nginx", nginx.url("")), ("Caddy", caddy.url("")), ("no proxy", server.url(""))];
        let runs = urls.map(|(name, url)| {
            let user = &user;
            (name, scope.spawn(move || user.examine(&url, &[])))
        });
        for (name, run) in runs {
            let (document, code) = run.join().unwrap_or_else(|_| panic!("{name}"));
            assert_eq!(problems(&document, &server), Vec::<&Value>::new(), "{name}");
            assert_eq!(names(list(&document, "findings")), FINDINGS, "{name}: {document}");
            assert_eq!(list(&document, "not_tried"), [] as [Value; 0], "{name}");
            assert_eq!(code, Some(i32::from(document["verdict"] != "ok")), "{name}: {document}");
            let found = document["findings"][1]["found"].as_str().expect("a text");
            let names_proxy = name == "no proxy" || found.to_lowercase().contains(&name.to_lowercase());
            assert!(names_proxy, "{name}: {found}");
        }
    });
    assert_eq!(sessions(&server), 0);
}

/// Starts a proxy before a server, with a certificate and with changes of its documented
/// configuration.
type Start = fn(&str, &Authority, &str, &[(&str, &str)]) -> Proxy;

/// A mistake in a proxy's configuration.
struct Mistake {
    start: Start,
    /// The mistake, as a change of the documented configuration.
    changes: &'static [(&'static str, &'static str)],
    /// The only finding that is not in order.
    finding: &'static str,
    /// The lines of configuration that the remedies name.
    remedy: &'static str,
}

const MISTAKES: [Mistake; 11] = [
    Mistake {
        start: Proxy::nginx_changed,
        changes: &[
            ("proxy_set_header Upgrade $http_upgrade;", ""),
            ("proxy_set_header Connection $connection_upgrade;", ""),
        ],
        finding: "websocket",
        remedy: "proxy_set_header Upgrade $http_upgrade;",
    },
    Mistake {
        start: Proxy::nginx_changed,
        // The server asks nginx not to buffer its streams; some configurations ignore that.
        changes: &[("proxy_buffering off;", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;")],
        finding: "streaming",
        remedy: "proxy_buffering off;",
    },
    Mistake {
        start: Proxy::nginx_changed,
        changes: &[("proxy_read_timeout 1h;", "proxy_read_timeout 5s;")],
        finding: "silence",
        remedy: "proxy_read_timeout 1h;",
    },
    Mistake {
        start: Proxy::nginx_changed,
        changes: &[("client_max_body_size 16m;", "client_max_body_size 1m;")],
        finding: "body size",
        remedy: "client_max_body_size 16m;",
    },
    Mistake {
        start: Proxy::nginx_changed,
        changes: &[("X-Forwarded-Proto $scheme;", "X-Forwarded-Proto http;")],
        finding: "links",
        remedy: "proxy_set_header X-Forwarded-Proto $scheme;",
    },
    Mistake {
        start: Proxy::nginx_changed,
        changes: &[
            ("proxy_set_header Host $http_host;", ""),
            ("proxy_set_header X-Forwarded-Host $http_host;", ""),
        ],
        finding: "links",
        remedy: "proxy_set_header X-Forwarded-Host $http_host;",
    },
    Mistake {
        start: Proxy::caddy_changed,
        changes: &[("lb_try_duration 5s", "header_up -Upgrade")],
        finding: "websocket",
        remedy: "remove the header_up that changes Upgrade",
    },
    Mistake {
        start: Proxy::caddy_changed,
        changes: &[("flush_interval -1", "buffer_responses")],
        finding: "streaming",
        remedy: "flush_interval -1",
    },
    Mistake {
        start: Proxy::caddy_changed,
        changes: &[("lb_try_duration 5s", "transport http {\nread_timeout 5s\n}")],
        finding: "silence",
        remedy: "read_timeout",
    },
    Mistake {
        start: Proxy::caddy_changed,
        changes: &[("max_size 16MiB", "max_size 1MiB")],
        finding: "body size",
        remedy: "max_size 16MiB",
    },
    Mistake {
        start: Proxy::caddy_changed,
        changes: &[("lb_try_duration 5s", "header_up X-Forwarded-Proto http")],
        finding: "links",
        remedy: "remove the header_up that changes it",
    },
];

#[test]
fn each_mistake_in_a_proxys_configuration_is_named_with_the_line_that_mends_it() {
    let server = server();
    let user = User::new();
    for Mistake { start, changes, finding, remedy } in MISTAKES {
        let proxy = start(server.address(), &user.authority, "server", changes);
        let is_quick = finding != "silence";
        let arguments: &[&str] = if is_quick { &["--quick"] } else { &[] };
        let (document, code) = user.examine(&proxy.url(""), arguments);
        let problems = problems(&document, &server);
        let [problem] = &*problems else { panic!("{finding}: {document}") };
        assert_eq!((&problem["name"], code), (&finding.into(), Some(1)), "{document}");
        let remedies = problem["remedies"].to_string();
        assert!(remedies.contains(remedy), "{finding}: {remedies}");
        // Caddy buffers the answer to an upgrade, too, so that a websocket can show nothing.
        let buffers_all = remedy == "flush_interval -1";
        let left_out = [(buffers_all, "websocket"), (is_quick, "silence")];
        let left_out: Vec<_> =
            left_out.into_iter().filter_map(|(is_out, name)| is_out.then_some(name)).collect();
        assert_eq!(names(list(&document, "not_tried")), left_out, "{document}");
        let tried: Vec<_> = FINDINGS.into_iter().filter(|name| !left_out.contains(name)).collect();
        assert_eq!(names(list(&document, "findings")), tried, "{document}");
    }
    assert_eq!(sessions(&server), 0);
}

/// A server whose programs may not run for so long says nothing about its proxy's timeouts.
#[test]
fn a_limit_of_the_server_is_no_finding_about_the_proxy() {
    let server = Server::start_with(&["--wall-ms", "8000"]);
    let (document, _) = User::new().examine(&server.url(""), &[]);
    assert_eq!(problems(&document, &server), Vec::<&Value>::new());
    let [silence] = list(&document, "not_tried") else { panic!("{document}") };
    assert_eq!(silence["name"], "silence");
    assert!(silence["why"].as_str().expect("a text").contains("timeout"), "{silence}");
}

#[test]
fn the_password_of_a_proxy_is_sent_with_every_request() {
    let server = server();
    let user = User::new();
    // nginx compares the header itself, as it would a password.
    let guard =
        "location / {\n        if ($http_authorization != \"Basic cHVwaWw6cGFzcw==\") { return 401; }";
    let proxy = Proxy::nginx_changed(server.address(), &user.authority, "server", &[("location / {", guard)]);
    let url = proxy.url("").replace("https://", "https://pupil:pass@");
    let (document, _) = user.examine(&url, &["--quick"]);
    assert_eq!(problems(&document, &server), Vec::<&Value>::new());
    assert!(!document.to_string().contains("pupil"), "{document}");
    assert_eq!(sessions(&server), 0);
}

#[test]
fn the_size_of_a_body_is_the_servers_own() {
    let server = Server::start_with(&[
        "--trusted-proxy",
        "127.0.0.1",
        "--allow-anonymous",
        "--body-max-bytes",
        "2000001",
    ]);
    let user = User::new();
    let proxy = Proxy::nginx_changed(
        server.address(),
        &user.authority,
        "server",
        &[("client_max_body_size 16m;", "client_max_body_size 2000000;")],
    );
    let (document, _) = user.examine(&proxy.url(""), &["--quick"]);
    let problems = problems(&document, &server);
    assert_eq!(problems.iter().map(|problem| &problem["name"]).collect::<Vec<_>>(), ["body size"]);
    assert_eq!(problems[0]["remedies"][0]["command"], "client_max_body_size 2m;");
    let proxy = Proxy::nginx(server.address(), &user.authority, "server");
    let (document, _) = user.examine(&proxy.url(""), &["--quick"]);
    assert!(document.to_string().contains("a body of 2000001 bytes reaches"), "{document}");
}

#[test]
fn findings_are_printed_in_lines() {
    let server = server();
    let user = User::new();
    let changes = [("proxy_set_header X-Forwarded-Proto $scheme;", "")];
    let proxy = Proxy::nginx_changed(server.address(), &user.authority, "server", &changes);
    let output = user.command(&proxy.url(""), &["--quick"]).output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    // The widths of the columns are those of the local findings.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for wanted in [
        "ok tls the certificate is trusted",
        "missing links http://127.0.0.1:",
        "in nginx:",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "not tried silence left out by --quick",
        "Programs run through this URL, but ",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(wanted)), "{wanted:?} in\n{text}");
    }
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// The name of the only finding that is not in order, its text, and the exit status.
fn only_problem(user: &User, url: &str) -> (String, String, Option<i32>) {
    let (document, code) = user.examine(url, &["--quick"]);
    let problems: Vec<_> =
        list(&document, "findings").iter().filter(|finding| finding["verdict"] != "ok").collect();
    let [problem] = &*problems else { panic!("{document}") };
    assert!(!list(problem, "remedies").is_empty(), "{problem}");
    let text = |name: &str| problem[name].as_str().expect("a text").to_owned();
    assert_eq!(document["verdict"], "missing", "{document}");
    (text("name"), text("found"), code)
}

#[test]
fn what_is_no_usable_server_is_named() {
    let server = server();
    let user = User::new();
    let proxy = Proxy::nginx(server.address(), &user.authority, "server");
    let away = Proxy::nginx("127.0.0.1:1", &user.authority, "server");
    let bare = |directives: &str| Proxy::bare_nginx(server.address(), directives);
    let page = bare("return 200 '<html>';");
    let missing = bare("return 404;");
    let password = bare("return 401;");
    let moved = bare("return 301 https://live.example$request_uri;");
    let hosts = Server::start_with(&["--host", "live.example.org", "--allow-anonymous"]);
    let host = Proxy::bare_nginx(hosts.address(), "proxy_set_header Host other.example;");
    let draining = Server::start_with(&["--drain"]);
    draining.create_id("bash", "read line");
    kill_process(Pid::from_raw(draining.pid() as i32).expect("a pid"), Signal::TERM).expect("it runs");
    eventually("the server drains", || (draining.get("/healthz").status == 503).then_some(()));
    for (url, name, words) in [
        ("http://127.0.0.1:1".to_owned(), "server", &["no server answers", "refused"][..]),
        ("http://name.invalid".to_owned(), "server", &["no server answers"]),
        (server.url("").replace("http:", "https:"), "tls", &["does not speak TLS", "http://"]),
        (away.url(""), "server", &["a proxy answers", "reaches no LiveCode server (502"]),
        (page.url(""), "server", &["it is not LiveCode"]),
        (missing.url(""), "server", &["no LiveCode server", "404"]),
        (server.url("/path"), "server", &["path"]),
        (password.url(""), "server", &["name and password", "--url https://name:password@host"]),
        (moved.url(""), "server", &["another address", "--url https://live.example"]),
        (host.url(""), "server", &["other.example"]),
        (draining.url(""), "server", &["takes no new sessions", "server_stopping"]),
    ] {
        let (found_name, found, code) = only_problem(&user, &url);
        assert_eq!((&*found_name, code), (name, Some(2)), "{url}: {found}");
        for word in words {
            assert!(found.contains(word), "{word:?} in {found:?} ({url})");
        }
        let prints_flag = found.contains("--server");
        assert!(!prints_flag, "the command has no such flag: {found:?}");
    }
    // The user's certificate is a private authority's.
    let output = user.command(&proxy.url(""), &["--json"]).env_remove("LIVECODE_CA_FILE").output();
    let output = output.expect("the binary starts");
    let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let found = document["findings"][0]["found"].as_str().expect("a text");
    assert_eq!((names(list(&document, "findings")), output.status.code()), (vec!["tls"], Some(2)));
    assert!(found.contains("not trusted") && found.contains("--ca-file"), "{found}");
    for (arguments, words) in [
        (&["doctor", "--url", "live.example.org"][..], &["https://live.example.org"][..]),
        (&["doctor", "--quick"], &["--url"]),
        (&["doctor", "--url", "https://127.0.0.1:1", "--ca-file", "/none"], &["--ca-file", "/none"]),
    ] {
        let output = Command::new(binary()).args(arguments).output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", printed(&output));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(words.iter().all(|word| errors.contains(word)), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_signal_deletes_the_session_and_ends_the_examination() {
    let server = server();
    let user = User::new();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let child = user.command(&server.url(""), &[]).spawn().expect("the binary starts");
        eventually("there is a session", || (sessions(&server) == 1).then_some(()));
        kill_process(Pid::from_raw(child.id() as i32).expect("a pid"), signal).expect("the command runs");
        let output = child.wait_with_output().expect("the command ends");
        assert_eq!(output.status.code(), Some(code), "{}", printed(&output));
        assert_eq!(sessions(&server), 0, "{}", printed(&output));
    }
}

/// Whoever reads the output may leave.
#[test]
fn a_reader_that_leaves_costs_no_session() {
    let server = server();
    let user = User::new();
    let mut child = user.command(&server.url(""), &[]).spawn().expect("the binary starts");
    drop(child.stdout.take());
    let status = child.wait().expect("the command ends");
    assert_eq!(status.code(), Some(141));
    assert_eq!(sessions(&server), 0);
}
