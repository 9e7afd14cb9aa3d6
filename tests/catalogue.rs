//! The catalogue changes while the server runs: an operator's folder adds, replaces and hides
//! runtimes, and a mistake in it leaves everything as it was.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::{fs::PermissionsExt as _, fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Run, Server, binary, eventually, logged::LoggedServer, processes};
use crate::users::{User, new_token};

/// A folder of runtimes that every user may read.
pub struct Runtimes(tempfile::TempDir);

impl Runtimes {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn as_str(&self) -> &str {
        self.path().to_str().expect("a path in UTF-8")
    }

    pub fn serve(&self, arguments: &[&str]) -> Server {
        Server::start_with(&[&["--runtimes-dir", self.as_str()], arguments].concat())
    }

    /// Writes the `runtime.toml` of a runtime.
    pub fn write(&self, name: &str, toml: &str) -> PathBuf {
        write_runtime(self.path(), name, toml)
    }
}

fn write_runtime(parent: &Path, name: &str, toml: &str) -> PathBuf {
    let folder = parent.join(name);
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    fs::write(folder.join("runtime.toml"), toml).expect("the file can be written");
    folder
}

/// A runtime whose programs are scripts of bash that see `GREETING`.
fn greeter(greeting: &str) -> String {
    format!(
        "title = 'Greeter'\nfile = 'main.sh'\neditor_mode = 'sh'\ninstall = 'x'\n\
         run = ['bash', '{{source}}']\nrequires = ['bash']\n\n[env]\nGREETING = '{greeting}'\n"
    )
}

fn reload_command(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(["runtimes", "reload"]).args(arguments).stdin(Stdio::null());
    command.env_remove("LIVECODE_SERVER").env_remove("LIVECODE_TOKEN").output().expect("the command runs")
}

/// Reloads the runtimes of a server by its address. Returns the exit status, what was printed, and
/// the errors.
pub fn reload(server: &Server) -> (Option<i32>, String, String) {
    let output = reload_command(&["--server", &server.url("")]);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

pub fn runtime(server: &Server, name: &str) -> Option<Value> {
    let runtimes = server.get("/runtimes").json();
    runtimes.as_array().expect("a list").iter().find(|runtime| runtime["name"] == name).cloned()
}

#[test]
fn a_reload_adds_replaces_and_hides_runtimes() {
    let runtimes = Runtimes::new();
    let server = runtimes.serve(&[]);
    assert!(runtime(&server, "greeter").is_none());
    runtimes.write("greeter", &greeter("hello"));
    runtimes.write("bash", &greeter("instead"));
    runtimes.write("javascript", "hidden = true\n");
    let before = server.get("/runtimes").json();
    let (code, printed, errors) = reload(&server);
    let count = before.as_array().expect("a list").len();
    let expected = format!("added: greeter\nchanged: bash\nremoved: javascript\n{count} runtimes\n");
    assert_eq!((code, printed.as_str(), errors.as_str()), (Some(0), &*expected, ""));

    assert_eq!(server.run_code("greeter", "echo $GREETING").stdout, "hello\n");
    assert_eq!(server.run_code("bash", "echo $GREETING").stdout, "instead\n");
    let response = server.post("/sessions", &json!({"runtime": "javascript", "code": ""}));
    assert_eq!(response.status, 422);
    assert!(runtime(&server, "javascript").is_none());
    assert_eq!(runtime(&server, "bash").expect("it is there")["title"], "Greeter");
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("livecode_runtime_sessions_created_total{runtime=\"greeter\"} 1"), "{metrics}");

    // A runtime that is taken out of the folder is as it was without it.
    for name in ["greeter", "bash", "javascript"] {
        fs::remove_dir_all(runtimes.path().join(name)).expect("the folder is ours");
    }
    let (code, printed, errors) = reload(&server);
    let expected = format!("added: javascript\nchanged: bash\nremoved: greeter\n{count} runtimes\n");
    assert_eq!((code, printed), (Some(0), expected));
    assert!(errors.contains("is empty"), "{errors}");
    assert_eq!(server.get("/runtimes").json(), before);
    assert_eq!(server.run_code("bash", "echo \"${GREETING-none}\"").stdout, "none\n");
}

#[test]
fn programs_that_run_do_not_notice_a_change_of_their_runtime() {
    const PROGRAMS: usize = 50;
    let runtimes = Runtimes::new();
    let file = runtimes.write("greeter", &greeter("one")).join("runtime.toml");
    let server = runtimes.serve(&["--sessions-running-max", "60"]);
    let code = "echo $GREETING; read -r word; echo \"$GREETING $word\"";
    let mut streams: Vec<_> =
        (0..PROGRAMS).map(|_| server.stream(&server.create_id("greeter", code), "")).collect();
    for stream in &mut streams {
        stream.read_until("one\n");
    }
    let greeting = || server.run_code("greeter", "echo $GREETING").stdout;

    fs::write(&file, greeter("two")).expect("the file is ours");
    assert_eq!(greeting(), "one\n");
    assert_eq!(reload(&server).0, Some(0));
    assert_eq!(greeting(), "two\n");

    let mount = |number| format!("[[mounts]]\nsources = ['/usr']\ntarget = '/opt/a-long-name-{number}'\n");
    let many_mounts: String = (0..600).map(mount).collect();
    // A mistake is refused with its file, line and key, and what was there before goes on.
    for (wrong, line, key) in [
        (greeter("three").replace("title", "titel"), "line 1", "titel"),
        (greeter("three") + "'A=B' = 'x'\n", "line 10", "A=B"),
        (greeter("three").replace("run = ['bash', '{source}']", "run = []"), "line 5", "`run`"),
        (greeter("three") + "[env]\n", "line 10", "env"),
        (greeter("three") + &many_mounts, "line 10", "16384 bytes"),
    ] {
        fs::write(&file, wrong).expect("the file is ours");
        let (code, printed, errors) = reload(&server);
        assert_eq!((code, printed.as_str()), (Some(1), ""), "{errors}");
        for words in [&*file.to_string_lossy(), line, key] {
            assert!(errors.contains(words), "{words} in {errors}");
        }
        assert_eq!(greeting(), "two\n");
    }
    let response = server.post("/catalogue/reload", &Value::Null);
    assert_eq!((response.status, &response.json()["code"]), (422, &json!("invalid_catalogue")));
    fs::remove_dir_all(runtimes.path().join("greeter")).expect("the folder is ours");
    assert_eq!(reload(&server).0, Some(0));
    assert!(runtime(&server, "greeter").is_none());

    for stream in &mut streams {
        stream.send(&json!({"msgtype": "input", "data": "done\n"}));
    }
    for stream in streams {
        let run = Run::collect(stream);
        assert_eq!((run.stdout.as_str(), run.exitstatus), ("one done\n", 0), "{run:?}");
    }
}

#[test]
fn a_folder_behind_a_link_is_changed_as_a_whole() {
    let all = Runtimes::new();
    for (folder, word) in [("first", "one"), ("second", "two")] {
        let own = write_runtime(&all.path().join(folder), "reader", &greeter(word));
        fs::write(own.join("word"), format!("{word}\n")).expect("the file can be written");
        fs::set_permissions(all.path().join(folder), fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let link = all.path().join("current");
    symlink("first", &link).expect("the link can be made");
    let server = Server::start_with(&["--runtimes-dir", link.to_str().expect("a path in UTF-8")]);
    let code = "cat /runtimes/reader/word; read -r word; cat /runtimes/reader/word";
    let mut stream = server.stream(&server.create_id("reader", code), "");
    stream.read_until("one\n");

    let new_link = all.path().join("new");
    symlink("second", &new_link).expect("the link can be made");
    fs::rename(new_link, &link).expect("the link is replaced");
    assert_eq!(reload(&server).0, Some(0));
    let new = server.run_code("reader", "cat /runtimes/reader/word; echo $GREETING");
    assert_eq!(new.stdout, "two\ntwo\n");
    // The program that was there before sees the files from before.
    stream.send(&json!({"msgtype": "input", "data": "x\n"}));
    assert_eq!(Run::collect(stream).stdout, "one\n");
}

#[test]
fn a_hangup_reloads_and_the_log_says_what_is_wrong() {
    let runtimes = Runtimes::new();
    let logged = LoggedServer::start(&["--runtimes-dir", runtimes.as_str()]);
    let hang_up = || {
        let pid = Pid::from_raw(logged.server.pid() as i32).expect("a valid pid");
        kill_process(pid, Signal::HUP).expect("the server runs");
    };
    let file = runtimes.write("greeter", &greeter("hello")).join("runtime.toml");
    hang_up();
    eventually("the runtime is added", || runtime(&logged.server, "greeter"));

    fs::write(&file, greeter("hello") + "\n[limits]\nmemory = 1\n").expect("the file is ours");
    hang_up();
    let is_logged = |line: &String| line.contains("were not reloaded");
    eventually("the error is logged", || logged.lines().iter().any(is_logged).then_some(()));
    let log = logged.lines().join("\n");
    assert!(
        log.contains("greeter/runtime.toml") && log.contains("line 12") && log.contains("memory"),
        "{log}"
    );
    assert_eq!(logged.server.run_code("greeter", "echo $GREETING").stdout, "hello\n");
}

#[test]
fn an_interpreter_zygote_is_replaced_with_its_runtime() {
    // The settings of a spawner are on its command line, and so the environment of its interpreter.
    let mark = format!("zygote-{}", std::process::id());
    let toml = |word: &str| {
        format!(
            "title = 'Python'\nfile = 'main.py'\neditor_mode = 'python'\ninstall = 'x'\n\
             run = ['python3', '{{source}}']\nrequires = ['python3']\n\
             zygote_interpreter = '/usr/bin/python3'\n[env]\nWORD = '{mark}-{word}'\n"
        )
    };
    let runtimes = Runtimes::new();
    runtimes.write("snake", &toml("one"));
    let server = runtimes.serve(&[]);
    let spawners = |word: &str| processes(&format!("{mark}-{word}"));
    let running = |word: &str| eventually("a spawner runs", || spawners(word).first().copied());
    let code = "import os; print(os.environ['WORD']); input(); print(os.environ['WORD'])";
    running("one");
    let mut stream = server.stream(&server.create_id("snake", code), "");
    stream.read_until(&format!("{mark}-one\n"));

    runtimes.write("snake", &toml("two"));
    assert_eq!(reload(&server).0, Some(0));
    running("two");
    let run = server.run_code("snake", "import os; print(os.environ['WORD'])");
    assert_eq!(run.stdout, format!("{mark}-two\n"));
    stream.send(&json!({"msgtype": "input", "data": "\n"}));
    assert_eq!(Run::collect(stream).stdout, format!("{mark}-one\n"));
    eventually("the old spawner and its workers end", || spawners("one").is_empty().then_some(()));

    // An unchanged runtime keeps its spawner.
    let before = running("two");
    assert_eq!(reload(&server).0, Some(0));
    assert!(spawners("two").contains(&before));
    fs::remove_dir_all(runtimes.path().join("snake")).expect("the folder is ours");
    assert_eq!(reload(&server).0, Some(0));
    eventually("the spawner ends", || spawners("two").is_empty().then_some(()));
}

#[test]
fn a_runtime_that_extends_another_has_only_what_differs() {
    let runtimes = Runtimes::new();
    // The modules of `javascript` are mounted from the folder of that runtime.
    runtimes.write("web", "extends = 'javascript'\ntitle = 'Web'\n\n[env]\nWORD = 'web'\n");
    runtimes.write("python", "extends = 'python'\n[env]\nWORD = 'own'\n");
    let server = runtimes.serve(&[]);
    let web = runtime(&server, "web").expect("it is there");
    assert_eq!(
        (&web["title"], &web["file"], &web["aliases"]),
        (&json!("Web"), &json!("main.js"), &json!([]))
    );
    if web["available"] == true {
        let code = "require('livecode'); console.log(process.env.WORD);";
        assert_eq!(server.run_code("web", code).stdout, "web\n");
    }
    let run = server.run_code("python", "import livecode, os; print(os.environ['WORD'])");
    assert_eq!(run.stdout, "own\n", "{run:?}");
    assert!(runtime(&server, "py").is_none());

    for (toml, line, word) in [
        ("extends = 'pyhton'\n", "line 1", "pyhton"),
        ("extends = 'python'\n\n[env]\nX = 1\n", "line 4", "string"),
        ("extends = 'python'\nrun = []\n", "line 2", "`run`"),
    ] {
        runtimes.write("web", toml);
        let (code, _, errors) = reload(&server);
        assert!(code == Some(1) && errors.contains(line) && errors.contains(word), "{errors}");
    }
}

/// Warm sandboxes that were made before have the old folder.
#[test]
fn a_folder_that_was_replaced_is_seen_after_a_reload() {
    let all = Runtimes::new();
    let current = all.path().join("current");
    let make = |word: &str| {
        let toml = "title = 'X'\nfile = 'main.py'\neditor_mode = 'python'\ninstall = 'x'\n\
                    run = ['python3', '{source}']\nzygote_interpreter = '/usr/bin/python3'\n";
        for (name, toml) in [("snake", toml.to_owned()), ("greeter", greeter(word))] {
            let own = write_runtime(&current, name, &toml);
            fs::write(own.join("word"), format!("{word}\n")).expect("the file can be written");
        }
        fs::set_permissions(&current, fs::Permissions::from_mode(0o755)).expect("it is ours");
    };
    make("one");
    let server = Server::start_with(&["--runtimes-dir", current.to_str().expect("a path in UTF-8")]);
    let words = || {
        let snake = server.run_code("snake", "print(open('/runtimes/snake/word').read(), end='')").stdout;
        snake + &server.run_code("greeter", "cat /runtimes/greeter/word").stdout
    };
    for _ in 0..3 {
        assert_eq!(words(), "one\none\n");
    }
    fs::rename(&current, all.path().join("old")).expect("the folder is ours");
    make("two");
    assert_eq!(reload(&server).0, Some(0));
    for _ in 0..3 {
        assert_eq!(words(), "two\ntwo\n");
    }
}

#[test]
fn only_those_who_administer_reload() {
    let runtimes = Runtimes::new();
    let server = runtimes.serve(&["--auth", "tokens"]);
    let status = |user: User<'_>| user.request("POST", "/catalogue/reload", &Value::Null).0;
    assert_eq!(status(User::new(&server, "ada")), 404);
    let admin = new_token(&server, &["root", "--role", "admin"]);
    assert_eq!(status(User::with(&server, &admin)), 200);
    // The command finds the admin socket.
    runtimes.write("greeter", &greeter("hello"));
    let output = reload_command(&["--data-dir", server.data().to_str().expect("UTF-8")]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.starts_with("added: greeter\n"), "{output:?}");
    assert_eq!(reload_command(&["--server", &server.url("")]).status.code(), Some(1));

    let open = runtimes.serve(&["--local-user", "none"]);
    assert_eq!(open.post("/catalogue/reload", &Value::Null).status, 404);
    let (code, _, errors) = reload(&open);
    assert!(code == Some(1) && errors.contains("SIGHUP"), "{errors}");
}

#[test]
fn a_server_ends_with_its_terminal() {
    let data = tempfile::tempdir().expect("a temporary folder is created");
    let serve = format!(
        "{} serve --no-systemd-scope --listen 127.0.0.1:0 --data-dir {}",
        binary().display(),
        data.path().display()
    );
    // script(1) makes a terminal, which is gone when script is killed.
    let mut script = Command::new("script")
        .args(["--quiet", "--flush", "--command", &serve, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("script is there");
    let mut lines = BufReader::new(script.stdout.take().expect("it is piped")).lines();
    let listens = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("LiveCode listens")));
    assert!(listens.is_some());
    let mark = data.path().to_str().expect("a path in UTF-8");
    assert!(!processes(mark).is_empty());
    script.kill().expect("it runs");
    script.wait().expect("it was not reaped");
    eventually("the server ends", || processes(mark).is_empty().then_some(()));
}

#[test]
fn no_mount_shows_the_data_directory_or_a_home() {
    let runtimes = Runtimes::new();
    let server = runtimes.serve(&[]);
    let data = server.data().to_str().expect("UTF-8").to_owned();
    for source in [data.clone(), format!("{data}/sessions"), "/root".to_owned(), "/".to_owned()] {
        let mounts = format!("[[mounts]]\nsources = ['{source}']\ntarget = '/opt/x'\n");
        runtimes.write("greeter", &(greeter("x") + &mounts));
        let (code, _, errors) = reload(&server);
        assert!(code == Some(1) && errors.contains("line 11") && errors.contains("would show"), "{errors}");
    }
    let mounts = "[[mounts]]\nsources = ['/etc/ssl']\n";
    runtimes.write("greeter", &(greeter("x") + mounts));
    let (code, _, errors) = reload(&server);
    assert!(code == Some(1) && errors.contains("line 11") && errors.contains("/etc/ssl"), "{errors}");
    // A `*` may match more than is meant.
    runtimes.write("greeter", &(greeter("x") + "[[mounts]]\nsources = ['/etc/nsswitch.con*']\n"));
    let (code, _, errors) = reload(&server);
    assert!(code == Some(0) && errors.contains("does not mount /etc/nsswitch.conf"), "{errors}");
}

#[test]
fn a_mount_that_an_upgrade_has_removed_is_skipped() {
    let folder = tempfile::tempdir_in("/var/tmp").expect("a temporary folder is created");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let old = folder.path().join("tool-17");
    fs::create_dir(&old).expect("it is ours");
    let runtimes = Runtimes::new();
    let mounts = format!("[[mounts]]\nsources = ['{}/tool-*']\n", folder.path().display());
    runtimes.write("greeter", &(greeter("x") + &mounts));
    let server = runtimes.serve(&[]);
    let code = format!("ls {}", folder.path().display());
    assert_eq!(server.run_code("greeter", &code).stdout, "tool-17\n");
    fs::rename(&old, folder.path().join("tool-18")).expect("it is ours");
    let run = server.run_code("greeter", "echo runs");
    assert_eq!((run.stdout.as_str(), run.exitstatus), ("runs\n", 0), "{run:?}");
    // The server looks for this once a minute, too.
    assert_eq!(reload(&server).0, Some(0));
    assert_eq!(server.run_code("greeter", &code).stdout, "tool-18\n");
}
