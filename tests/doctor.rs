//! What the machine can enforce: `livecode doctor`, and a server that will not promise more than that.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::{fs::PermissionsExt as _, net::UnixListener, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use crate::common::{Server, binary, eventually, is_root};

/// The user nobody.
const NOBODY: u32 = 65534;

/// A folder of the ordinary user's, with a copy of the binary that this user may execute.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let place = Self(folder);
        fs::copy(binary(), place.path("livecode")).expect("room for the binary");
        for name in ["data", "run", "run/systemd", "bin"] {
            fs::create_dir(place.path(name)).expect("room for a folder");
            if is_root() {
                std::os::unix::fs::chown(place.path(name), Some(NOBODY), Some(NOBODY)).expect("root may");
            }
        }
        place
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

    /// A systemd-run that writes down what it is asked, and does `then` as a script.
    fn systemd_run(&self, then: &str) {
        // There is a user's manager where there is its socket.
        drop(UnixListener::bind(self.path("run/systemd/private")).expect("room for a socket"));
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {}\n{then}\n",
            self.path("run/asked").to_str().expect("UTF-8")
        );
        fs::write(self.path("bin/systemd-run"), script).expect("room for a script");
        fs::set_permissions(self.path("bin/systemd-run"), fs::Permissions::from_mode(0o755)).expect("ours");
    }

    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("run/asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Starts a server that could ask systemd.
    fn serve_beside_systemd(&self, arguments: &[&str]) -> Running {
        let mut command = self.serve("127.0.0.1:0", arguments);
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        command.env("PATH", path).env("XDG_RUNTIME_DIR", self.path("run"));
        let mut child = command.spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("text");
        Running { child, line }
    }
}

/// A server, killed in the end.
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
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let document = serde_json::from_slice(&stdout);
    (document.unwrap_or_else(|error| panic!("{error}: {} {}", text(&stdout), text(&stderr))), status.code())
}

fn verdict<'d>(document: &'d Value, name: &str) -> &'d str {
    let findings = document["findings"].as_array().expect("a list");
    let finding = findings.iter().find(|finding| finding["name"] == name);
    finding.unwrap_or_else(|| panic!("no {name}: {document}"))["verdict"].as_str().expect("a word")
}

#[test]
fn it_agrees_with_the_server_and_leaves_nothing() {
    let groups = || {
        let mut found = vec![];
        let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            folders.extend(below.map(|entry| entry.path()));
            // Its groups' parents are named so, and no server's are.
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
    let all_is_well = document["verdict"] == "ok";
    assert_eq!(code, Some(i32::from(!all_is_well)));
    assert!(all_is_well || !is_root(), "{document}");
    assert_eq!(Server::start().get("/healthz").json()["degraded"], document["degraded"]);
}

#[test]
fn each_line_that_is_not_well_says_what_to_do() {
    let place = Place::new();
    let (document, code) = doctor(&mut place.livecode(&["doctor", "--json"]));
    let findings = document["findings"].as_array().expect("a list");
    let unwell: Vec<_> = findings.iter().filter(|finding| finding["verdict"] != "ok").collect();
    assert_eq!(code == Some(0), unwell.is_empty());
    for finding in unwell {
        assert!(!finding["remedies"].as_array().expect("a list").is_empty(), "{finding}");
    }
    // For people the same, one line each, without colours in a pipe.
    let output = place.livecode(&["doctor"]).output().expect("it runs");
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), code);
    assert!(!printed.contains('\x1b'), "{printed}");
    let starts = |line: &&str| ["ok ", "degraded ", "missing "].iter().any(|word| line.starts_with(word));
    assert_eq!(printed.lines().filter(starts).count(), findings.len(), "{printed}");
}

/// In a user namespace in which no further one may be made, an ordinary user can run nothing.
#[test]
fn where_nothing_can_run_it_says_why() {
    let place = Place::new();
    let mut command = place.command(Path::new("unshare"));
    let limit = "echo 1 > /proc/sys/user/max_user_namespaces && exec unshare --user --map-user=1000 \"$@\"";
    command.args(["--user", "--map-root-user", "sh", "-c", limit, "sh"]).arg(place.path("livecode"));
    let mut serve = place.command(Path::new("unshare"));
    serve
        .args(command.get_args())
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(place.path("data"));
    let (document, code) = doctor(command.args(["doctor", "--json"]));
    assert_eq!((document["verdict"].as_str(), code), (Some("missing"), Some(2)), "{document}");
    assert_eq!(verdict(&document, "sandbox"), "missing");
    let findings = document["findings"].as_array().expect("a list");
    let namespaces = findings.iter().find(|finding| finding["name"] == "user namespaces").expect("a line");
    let command = namespaces["remedies"][0]["command"].as_str().expect("a command");
    assert!(command.contains("user.max_user_namespaces"), "{namespaces}");

    let refused = serve.output().expect("it runs");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("livecode doctor"), "{}", text(&refused.stderr));
}

#[test]
fn strangers_are_not_served_what_cannot_be_enforced() {
    let place = Place::new();
    let (document, code) = doctor(&mut place.livecode(&["doctor", "--json"]));
    let degraded = document["degraded"].as_array().expect("a list");
    if degraded.is_empty() {
        assert_eq!(code, Some(0), "{document}"); // then there is nothing to refuse, and nobody is served here
        return;
    }
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let refused = place.serve(listen, &["--no-systemd-scope"]).output().expect("it runs");
        let words = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{words}");
        assert_eq!(text(&refused.stdout), "");
        for sentence in degraded {
            assert!(words.contains(sentence.as_str().expect("text")), "{words}");
        }
        assert!(words.contains("--allow-degraded") && words.contains("livecode doctor"), "{words}");
    }
}

/// All that a session's limits rest on holds here for loopback, or is said in the log.
#[test]
fn on_loopback_it_says_so_loudly() {
    let place = Place::new();
    let (document, _) = doctor(&mut place.livecode(&["doctor", "--json"]));
    let mut server = place.serve("127.0.0.1:0", &["--no-systemd-scope"]).spawn().expect("the binary starts");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut line).expect("text");
    assert!(line.contains("http://127.0.0.1:"), "{line}");
    server.kill().expect("it runs");
    let mut log = String::new();
    server.stderr.take().expect("a pipe").read_to_string(&mut log).expect("text");
    server.wait().expect("it was started here");
    for sentence in document["degraded"].as_array().expect("a list") {
        let sentence = sentence.as_str().expect("text");
        assert!(log.lines().any(|line| line.contains("DEGRADED") && line.contains(sentence)), "{log}");
    }
}

/// What a server of an ordinary user asks of systemd is tried, and then done in its own place, once.
#[test]
fn a_group_of_its_own_is_asked_for_once() {
    let place = Place::new();
    place.systemd_run("while [ \"$1\" != -- ]; do shift; done; shift\nexec \"$@\"");
    let server = place.serve_beside_systemd(&[]);
    assert!(server.line.contains("http://127.0.0.1:"), "{}", server.line);
    let asked = place.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(
        asked.iter().all(|line| line.contains("--user --scope") && line.contains("-p Delegate=yes -- ")),
        "{asked:?}"
    );
    assert!(asked[0].ends_with("-- true") && asked[1].contains("serve --listen"), "{asked:?}");
    // In its own place: whoever started it looks after the same process.
    let command = fs::read(format!("/proc/{}/cmdline", server.child.id())).expect("it runs");
    assert!(text(&command).contains("livecode"), "{}", text(&command));
}

#[test]
fn a_systemd_that_gives_no_group_stops_nobody() {
    let place = Place::new();
    place.systemd_run("exit 1");
    let server = place.serve_beside_systemd(&[]);
    assert!(server.line.contains("http://127.0.0.1:"), "{}", server.line);
    assert_eq!(place.asked().len(), 1);
    drop(server);

    let told_not_to = place.serve_beside_systemd(&["--no-systemd-scope"]);
    assert!(told_not_to.line.contains("http://127.0.0.1:"), "{}", told_not_to.line);
    assert_eq!(place.asked().len(), 1);
}

#[test]
fn what_was_used_is_told() {
    let server = Server::start();
    let code = "import os, time\nfor _ in range(3):\n    if os.fork() == 0: time.sleep(60)\nx = b'x' * (20 << 20)\n\
                end = time.process_time() + 0.3\nwhile time.process_time() < end: pass";
    let id = server.create_id("python", code);
    let ended = eventually("it ends", || {
        let session = server.get(&format!("/sessions/{id}")).json();
        (session["state"] == "ended").then_some(session)
    });
    let used = |name: &str| ended["usage"][name].as_u64().unwrap_or_else(|| panic!("{name}: {ended}"));
    assert!((300..5000).contains(&used("cpu_ms")), "{ended}");
    assert!(used("wall_ms") >= 300, "{ended}");
    assert!((20 << 20..256 << 20).contains(&used("memory_peak_bytes")), "{ended}");
    assert_eq!(used("processes_peak"), 4, "{ended}");
}
