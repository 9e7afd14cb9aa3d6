//! `livecode doctor` reports what the machine can enforce, and a server that strangers can reach
//! refuses to start if a limit is missing.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::{fs::PermissionsExt as _, net::UnixListener, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use crate::common::{Server, binary, eventually, is_root};

/// The uid of the user nobody.
const NOBODY: u32 = 65534;

/// A folder of an ordinary user, with a copy of the binary that this user may execute.
struct UserHome(tempfile::TempDir);

impl UserHome {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        let home = Self(folder);
        fs::copy(binary(), home.path("livecode")).expect("the binary can be copied");
        for name in ["data", "run", "run/systemd", "bin"] {
            fs::create_dir(home.path(name)).expect("the folder can be created");
            if is_root() {
                std::os::unix::fs::chown(home.path(name), Some(NOBODY), Some(NOBODY))
                    .expect("root may change the owner");
            }
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command that the ordinary user executes.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", self.0.path());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn livecode(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.path("livecode"));
        command.args(arguments);
        command
    }

    fn serve(&self, listen: &str, arguments: &[&str]) -> Command {
        let mut command = self.livecode(&["serve", "--listen", listen, "--data-dir"]);
        command.arg(self.path("data")).args(arguments);
        command
    }

    /// Installs a fake `systemd-run` that records its arguments and then runs the script `then`.
    fn systemd_run(&self, then: &str) {
        // The server takes this socket as the sign of a running systemd user manager.
        drop(UnixListener::bind(self.path("run/systemd/private")).expect("the socket can be bound"));
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {}\n{then}\n",
            self.path("run/asked").to_str().expect("a path in UTF-8")
        );
        fs::write(self.path("bin/systemd-run"), script).expect("the script can be written");
        fs::set_permissions(self.path("bin/systemd-run"), fs::Permissions::from_mode(0o755))
            .expect("the script is ours");
    }

    fn systemd_requests(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("run/asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Starts a server that finds the fake `systemd-run`, and waits for its first line of output.
    fn serve_beside_systemd(&self, arguments: &[&str]) -> Running {
        let mut command = self.serve("127.0.0.1:0", arguments);
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        command.env("PATH", path).env("XDG_RUNTIME_DIR", self.path("run"));
        let mut child = command.spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("the stream is piped"))
            .read_line(&mut line)
            .expect("valid UTF-8");
        Running { child, line }
    }
}

/// A running server, killed on drop.
struct Running {
    child: Child,
    line: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn doctor(command: &mut Command) -> (Value, Option<i32>) {
    let Output { status, stdout, stderr } = command.output().expect("the command runs");
    let document = serde_json::from_slice(&stdout);
    (document.unwrap_or_else(|error| panic!("{error}: {} {}", text(&stdout), text(&stderr))), status.code())
}

fn verdict<'d>(document: &'d Value, name: &str) -> &'d str {
    let findings = document["findings"].as_array().expect("a list");
    let finding = findings.iter().find(|finding| finding["name"] == name);
    finding.unwrap_or_else(|| panic!("no finding {name}: {document}"))["verdict"].as_str().expect("a verdict")
}

#[test]
fn doctor_agrees_with_the_server_and_leaves_nothing_behind() {
    let groups = || {
        let mut found = vec![];
        let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            folders.extend(below.map(|entry| entry.path()));
            // Only `livecode doctor` gives a parent group this prefix; no server does.
            if folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("livecode-d0c70000"))
            {
                found.push(folder);
            }
        }
        found
    };
    let (document, code) = doctor(Command::new(binary()).args(["doctor", "--json"]));
    assert_eq!(groups(), Vec::<PathBuf>::new());
    for name in ["pid namespace", "seccomp", "sandbox"] {
        assert_eq!(verdict(&document, name), "ok", "{document}");
    }
    let is_ok = document["verdict"] == "ok";
    assert_eq!(code, Some(i32::from(!is_ok)));
    assert!(is_ok || !is_root(), "{document}");
    assert_eq!(Server::start().get("/healthz").json()["degraded"], document["degraded"]);
}

#[test]
fn every_failed_check_names_a_remedy() {
    let home = UserHome::new();
    let (document, code) = doctor(&mut home.livecode(&["doctor", "--json"]));
    let findings = document["findings"].as_array().expect("a list");
    let failed: Vec<_> = findings.iter().filter(|finding| finding["verdict"] != "ok").collect();
    assert_eq!(code == Some(0), failed.is_empty());
    for finding in failed {
        assert!(!finding["remedies"].as_array().expect("a list").is_empty(), "{finding}");
    }
    // The output for people has the same findings, one line each, without colours in a pipe.
    let output = home.livecode(&["doctor"]).output().expect("the command runs");
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), code);
    assert!(!printed.contains('\x1b'), "{printed}");
    let starts = |line: &&str| ["ok ", "degraded ", "missing "].iter().any(|word| line.starts_with(word));
    assert_eq!(printed.lines().filter(starts).count(), findings.len(), "{printed}");
}

#[test]
fn doctor_finds_the_sockets_in_the_root_of_a_runtime() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let (runtimes, root) = (folder.path().join("runtimes"), folder.path().join("root"));
    fs::create_dir_all(runtimes.join("own")).expect("the folder can be created");
    fs::create_dir_all(root.join("srv")).expect("the folder can be created");
    let toml = format!(
        "title = 'Own'\nfile = 'main.txt'\neditor_mode = 'text'\nrun = ['/x']\ninstall = 'none'\n\
         [root]\nimage = '{}'\n",
        root.display()
    );
    fs::write(runtimes.join("own/runtime.toml"), toml).expect("the file can be written");
    let socket = root.join("srv/socket");
    let _listener = UnixListener::bind(&socket).expect("the path is short");
    let mut command = Command::new(binary());
    command.args(["doctor", "--json", "--runtimes-dir"]).arg(runtimes);
    let (document, _) = doctor(&mut command);
    let findings = document["findings"].as_array().expect("a list");
    let found = findings.iter().find(|finding| finding["name"] == "unix sockets").expect("a finding");
    let socket = socket.to_str().expect("text");
    assert!(found["found"].as_str().is_some_and(|text| text.contains(socket)), "{found}");
}

/// An ordinary user cannot make a sandbox in a user namespace that allows no further user
/// namespaces.
#[test]
fn doctor_explains_why_no_sandbox_can_be_made() {
    let home = UserHome::new();
    let mut command = home.command(Path::new("unshare"));
    let limit = "echo 1 > /proc/sys/user/max_user_namespaces && exec unshare --user --map-user=1000 \"$@\"";
    command.args(["--user", "--map-root-user", "sh", "-c", limit, "sh"]).arg(home.path("livecode"));
    let mut serve = home.command(Path::new("unshare"));
    serve
        .args(command.get_args())
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(home.path("data"));
    let (document, code) = doctor(command.args(["doctor", "--json"]));
    assert_eq!((document["verdict"].as_str(), code), (Some("missing"), Some(2)), "{document}");
    assert_eq!(verdict(&document, "user namespaces"), "missing");
    let findings = document["findings"].as_array().expect("a list");
    let namespaces = findings.iter().find(|finding| finding["name"] == "user namespaces").expect("a finding");
    let command = namespaces["remedies"][0]["command"].as_str().expect("a command");
    assert!(command.contains("user.max_user_namespaces"), "{namespaces}");

    let refused = serve.output().expect("the command runs");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("livecode doctor"), "{}", text(&refused.stderr));
}

#[test]
fn a_degraded_server_refuses_to_serve_strangers() {
    let home = UserHome::new();
    let (document, code) = doctor(&mut home.livecode(&["doctor", "--json"]));
    let degraded = document["degraded"].as_array().expect("a list");
    if degraded.is_empty() {
        // Nothing is missing on this machine, so the server has no reason to refuse.
        assert_eq!(code, Some(0), "{document}");
        return;
    }
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let refused = home
            .serve(listen, &["--no-systemd-scope", "--allow-anonymous"])
            .output()
            .expect("the command runs");
        let printed = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{printed}");
        assert_eq!(text(&refused.stdout), "");
        for sentence in degraded {
            assert!(printed.contains(sentence.as_str().expect("a text")), "{printed}");
        }
        assert!(printed.contains("--allow-degraded") && printed.contains("livecode doctor"), "{printed}");
    }
}

/// On loopback a degraded server starts, and its log names every limit that it cannot enforce.
#[test]
fn a_degraded_server_on_loopback_logs_every_missing_limit() {
    let home = UserHome::new();
    let (document, _) = doctor(&mut home.livecode(&["doctor", "--json"]));
    let mut server = home.serve("127.0.0.1:0", &["--no-systemd-scope"]).spawn().expect("the binary starts");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("the stream is piped"))
        .read_line(&mut line)
        .expect("valid UTF-8");
    assert!(line.contains("http://127.0.0.1:"), "{line}");
    server.kill().expect("the server runs");
    let mut log = String::new();
    server.stderr.take().expect("the stream is piped").read_to_string(&mut log).expect("valid UTF-8");
    server.wait().expect("the child has not been reaped");
    for sentence in document["degraded"].as_array().expect("a list") {
        let sentence = sentence.as_str().expect("a text");
        assert!(log.lines().any(|line| line.contains("DEGRADED") && line.contains(sentence)), "{log}");
    }
}

/// A server of an ordinary user first tries `systemd-run` with `true`, and then executes itself
/// once in a scope of its own.
#[test]
fn a_systemd_scope_is_requested_once() {
    let home = UserHome::new();
    home.systemd_run("while [ \"$1\" != -- ]; do shift; done; shift\nexec \"$@\"");
    let server = home.serve_beside_systemd(&[]);
    assert!(server.line.contains("http://127.0.0.1:"), "{}", server.line);
    let systemd_requests = home.systemd_requests();
    assert_eq!(systemd_requests.len(), 2, "{systemd_requests:?}");
    assert!(
        systemd_requests
            .iter()
            .all(|line| line.contains("--user --scope") && line.contains("-p Delegate=yes -- ")),
        "{systemd_requests:?}"
    );
    assert!(
        systemd_requests[0].ends_with("-- true") && systemd_requests[1].contains("serve --listen"),
        "{systemd_requests:?}"
    );
    // The server keeps its process number, so that its parent still watches the right process.
    let command = fs::read(format!("/proc/{}/cmdline", server.child.id())).expect("the server runs");
    assert!(text(&command).contains("livecode"), "{}", text(&command));
}

#[test]
fn the_server_starts_without_a_scope_if_systemd_refuses() {
    let home = UserHome::new();
    home.systemd_run("exit 1");
    let server = home.serve_beside_systemd(&[]);
    assert!(server.line.contains("http://127.0.0.1:"), "{}", server.line);
    assert_eq!(home.systemd_requests().len(), 1);
    drop(server);

    let opted_out = home.serve_beside_systemd(&["--no-systemd-scope"]);
    assert!(opted_out.line.contains("http://127.0.0.1:"), "{}", opted_out.line);
    assert_eq!(home.systemd_requests().len(), 1);
}

#[test]
fn a_session_reports_its_usage() {
    let server = Server::start();
    let code = "import os, time\nfor _ in range(3):\n    if os.fork() == 0: time.sleep(60)\nx = b'x' * (20 << 20)\n\
                end = time.process_time() + 0.3\nwhile time.process_time() < end: pass";
    let id = server.create_id("python", code);
    let ended = eventually("the session ends", || {
        let session = server.get(&format!("/sessions/{id}")).json();
        (session["state"] == "ended").then_some(session)
    });
    let usage =
        |name: &str| ended["usage"][name].as_u64().unwrap_or_else(|| panic!("no usage of {name}: {ended}"));
    assert!((300..5000).contains(&usage("cpu_ms")), "{ended}");
    assert!(usage("wall_ms") >= 300, "{ended}");
    assert!((20 << 20..256 << 20).contains(&usage("memory_peak_bytes")), "{ended}");
    assert_eq!(usage("processes_peak"), 4, "{ended}");
}
