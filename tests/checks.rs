//! Checks of runtimes: `ready` means that the hello of a runtime has run here, and versions and
//! packages are what the toolchain says itself.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    catalogue::{Runtimes, reload, runtime},
    common::{Server, binary, eventually},
    docs::{blocks, document},
    users::{User, new_token},
};

/// A folder that hides all built-in runtimes but these: to check all takes long.
fn only(names: &[&str]) -> Runtimes {
    let runtimes = Runtimes::new();
    let built_in = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../runtimes"));
    let listed: Vec<_> = match built_in {
        Ok(entries) => {
            let folders = entries.flatten().filter(|entry| entry.path().join("runtime.toml").exists());
            folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        }
        // The second run of these tests, as an ordinary user, has the same binary but no sources.
        Err(_) => {
            let all = Server::start().get("/runtimes").json();
            let names =
                all.as_array().expect("a list").iter().map(|one| one["name"].as_str().expect("a name"));
            names.map(str::to_owned).collect()
        }
    };
    for name in listed.iter().filter(|name| !names.contains(&name.as_str())) {
        runtimes.write(name, "hidden = true\n");
    }
    runtimes
}

/// A runtime whose programs are scripts of bash.
fn script(more: &str) -> String {
    format!(
        "title = 'Script'\nfile = 'main.sh'\neditor_mode = 'shell'\ninstall = 'x'\nrun = ['bash', '{{source}}']\n{more}"
    )
}

fn livecode(server: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).args(["--server", &server.url("")]).stdin(Stdio::null());
    command.env_remove("LIVECODE_TOKEN").output().expect("the command runs")
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn the_command_runs_each_hello_and_says_why_one_fails() {
    let runtimes = only(&["bash", "python"]);
    let works = "example = 'read name; echo Hello, $name'\nversion = ['bash', '-c', 'echo my tool 4.5.6-rc1']\n\
                 packages = ['printf', 'two\\none\\n']\n";
    runtimes.write("works", &script(works));
    runtimes.write("fails", &script("example = 'echo no such toolchain >&2; exit 3'\n"));
    runtimes.write(
        "exits",
        &script("example = 'exit 1'\n[check]\ncode = 'test -z \"$(cat)\" && echo empty'\nstdin = ''\n"),
    );
    runtimes.write("checks", &script("[check]\ncode = 'echo $(cat); exit 4'\nexitstatus = 4\n"));
    runtimes.write("silent", &script("example = ':'\n"));
    runtimes.write(
        "broken",
        &script("example = 'echo x'\nversion = ['bash', '-c', 'no-such-tool-18 --version']\n"),
    );
    runtimes.write("missing", &script("requires = ['no-such-tool']\n"));
    let server = runtimes.serve(&[]);
    let state = |name: &str| {
        let output = livecode(&server, &["runtimes"]);
        assert!(output.status.success(), "{output:?}");
        let is_line = |line: &&String| {
            line.split_whitespace().next().is_some_and(|word| word.trim_end_matches(',') == name)
        };
        lines(&output).iter().find(is_line).expect("the runtime is listed").clone()
    };
    assert!(state("works").ends_with("installed, not checked yet"), "{}", state("works"));
    assert_eq!(runtime(&server, "works").expect("it is there").get("check"), None);

    let output = livecode(&server, &["runtimes", "--check"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let row = |name: &str| {
        let all = lines(&output);
        let found = all.iter().find(|line| line.split_whitespace().next() == Some(name));
        found.unwrap_or_else(|| panic!("{name} in {all:?}")).clone()
    };
    for name in ["works", "exits", "checks", "bash", "python"] {
        assert!(row(name).ends_with(" ready") && row(name).contains(" ms "), "{}", row(name));
    }
    assert!(row("works").contains(" 4.5.6 "), "{}", row("works"));
    assert!(row("fails").ends_with("fails: its hello ended with status 3 (exited): no such toolchain"));
    assert!(row("silent").ends_with("its hello wrote nothing"), "{}", row("silent"));
    // The 18 in the error of the shell is no version.
    assert_eq!(runtime(&server, "broken").expect("it is there").get("version"), None);
    assert!(row("missing").contains("no-such-tool"), "{}", row("missing"));

    let works = runtime(&server, "works").expect("it is there");
    assert_eq!((&works["available"], &works["version"]), (&json!(true), &json!("4.5.6")));
    assert_eq!((&works["packages"], &works["check"]["passed"]), (&json!(["one", "two"]), &json!(true)));
    let fails = runtime(&server, "fails").expect("it is there");
    assert_eq!((&fails["available"], &fails["check"]["passed"]), (&json!(false), &json!(false)));
    assert!(state("fails").contains("no such toolchain") && state("works").ends_with("ready"));
    // Programs of its users say more than the check, so they run all the same.
    assert_eq!(server.run_code("fails", "echo still").stdout, "still\n");
    // Checks are in no list.
    let sessions = server.get("/sessions").json();
    assert_eq!(sessions.as_array().map(Vec::len), Some(1), "{sessions}");

    for name in ["fails", "exits", "silent", "broken"] {
        runtimes.write(name, "hidden = true\n");
    }
    assert_eq!(reload(&server).0, Some(0));
    let output = livecode(&server, &["runtimes", "--check", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let documents: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(documents.as_array().map(Vec::len), Some(5), "{documents}");
}

#[test]
fn runtimes_are_checked_in_the_background_once_for_each_toolchain() {
    let runtimes = only(&["bash"]);
    runtimes.write("own", &script("example = 'echo hello'\n"));
    let mut server = runtimes.serve(&["--runtime-check-idle-ms", "1"]);
    let checked = |server: &Server, name: &str| {
        let check = runtime(server, name)?.get("check")?.clone();
        assert_eq!(check["passed"], true, "{check}");
        check["checked"].as_str().map(str::to_owned)
    };
    let first = eventually("the runtime is checked", || checked(&server, "own"));
    eventually("the others are checked, too", || checked(&server, "bash"));
    let version = runtime(&server, "bash").expect("it is there")["version"].clone();
    assert!(
        version.as_str().is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    );
    eventually("the sessions of the checks are deleted", || {
        let mut sessions = fs::read_dir(server.data().join("sessions")).expect("the folder is there");
        sessions.next().is_none().then_some(())
    });

    // A restart and a reload do not repeat a check.
    assert_eq!(server.stop().code(), Some(0));
    server.start_again();
    assert_eq!(eventually("the result is kept", || checked(&server, "own")), first);
    assert_eq!(reload(&server).0, Some(0));
    assert_eq!(checked(&server, "own"), Some(first.clone()));

    // Another toolchain is checked again.
    runtimes.write("own", &script("example = 'echo hello again'\n"));
    assert_eq!(reload(&server).0, Some(0));
    eventually("the changed runtime is checked", || checked(&server, "own").filter(|time| *time != first));
    assert_eq!(server.get("/sessions").json(), json!([]));
}

#[test]
fn a_version_can_be_asked_for() {
    let runtimes = only(&["bash", "python"]);
    runtimes.write("python@99.1", &script("example = 'echo hello'\n"));
    runtimes.write("python@100", &script("example = 'echo hello'\nversion = ['echo', '100.2.3']\n"));
    let server = runtimes.serve(&[]);
    let output = Command::new("/usr/bin/python3").arg("--version").output().expect("Python is there");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let version = printed.trim().trim_start_matches("Python ").to_owned();
    let (minor, _) = version.rsplit_once('.').expect("a version of three numbers");
    let (major, _) = minor.split_once('.').expect("a version of three numbers");

    // Nothing was checked: the first request waits until the runtime has said its version.
    let create = |runtime: &str| {
        let response =
            server.post("/sessions", &json!({"runtime": runtime, "code": "print(1)", "stdin": ""}));
        (response.status, response.json())
    };
    for (asked, found) in [
        (format!("python@{minor}"), "python"),
        (format!("py@{version}"), "python"),
        (format!("python@{major}"), "python"),
        ("python@99".into(), "python@99.1"),
        ("python@99.1".into(), "python@99.1"),
        ("python@100.2".into(), "python@100"),
    ] {
        let (status, document) = create(&asked);
        assert_eq!((status, &document["runtime"]), (201, &json!(found)), "{asked}: {document}");
    }
    for asked in [format!("python@{}", &minor[..minor.len() - 1]), "python@2".into(), "python@".into()] {
        let (status, problem) = create(&asked);
        assert_eq!((status, &problem["field"]), (422, &json!("runtime")), "{asked}: {problem}");
        let detail = problem["detail"].as_str().expect("a text");
        for known in [&*format!("python ({version})"), "python@99.1 (99.1)", "python@100 (100.2.3)"] {
            assert!(detail.contains(known), "{detail}");
        }
    }
    let (status, problem) = create("cobol@85");
    assert!(
        status == 422 && problem["detail"].as_str().is_some_and(|text| text.contains("there is no runtime"))
    );
    let plain = server.request("POST", &format!("/runtimes/python@{minor}"), &[], b"print(6 * 7)");
    assert_eq!((plain.status, plain.text().as_str()), (200, "42\n"));
    assert_eq!(server.request("POST", "/runtimes/python@2", &[], b"").status, 404);
}

#[test]
fn a_virtual_environment_is_found() {
    let runtimes = only(&["python"]);
    let python = |name: &str, environment: &str| {
        let toml = format!(
            "title = 'Course'\nfile = 'main.py'\neditor_mode = 'python'\ninstall = 'x'\n\
             virtual_environment = '{environment}'\nrun = ['python', '{{source}}']\n\
             version = ['python', '--version']\npackages = ['python', '/livecode/python/list_packages.py']\n\
             example = 'import course_package; print(course_package.WORD)'\n\
             zygote_interpreter = '/usr/bin/python3'\n\
             [search_paths]\nPATH = ['/livecode/python/bin']\nPYTHONPATH = ['/livecode/python/lib']\n"
        );
        runtimes.write(name, &toml)
    };
    let make = |path: &Path| {
        let made = Command::new("/usr/bin/python3").args(["-m", "venv", "--without-pip"]).arg(path).output();
        let made = made.expect("Python is there");
        assert!(made.status.success(), "{made:?}");
        let libraries = fs::read_dir(path.join("lib")).expect("the folder is there");
        let library = libraries.flatten().next().expect("a library").path();
        let packages = library.join("site-packages");
        let word = path.file_name().expect("a name").to_string_lossy().into_owned();
        fs::write(packages.join("course_package.py"), format!("WORD = '{word}'\n"))
            .expect("it can be written");
    };
    let inside = python("inside", "./environment");
    make(&inside.join("environment"));
    python("missing", "/srv/no-such-environment");
    let examples = blocks(&document("docs/runtimes.md"), "toml");
    let documented = examples.iter().find(|example| example.contains("virtual_environment"));
    let toml = documented.expect("there is one").replace("\"/srv/course-venv\"", "\"./environment\"");
    make(&runtimes.write("documented", &toml).join("environment"));
    let server = runtimes.serve(&[]);
    let code = "import course_package, sys, livecode; print(course_package.WORD, sys.prefix)";
    let run = server.run_code("inside", code);
    assert_eq!(run.stdout, "environment /runtimes/inside/environment\n", "{run:?}");
    assert_eq!(server.run_code("documented", code).stdout, "environment /runtimes/documented/environment\n");
    let missing = runtime(&server, "missing").expect("it is there");
    assert_eq!(missing["available"], false);
    assert!(
        missing["needs"].as_str().is_some_and(|text| text.contains("/srv/no-such-environment/bin/python"))
    );
    // The runtime `python` does not see it.
    assert_eq!(server.run_code("python", "import course_package").exitstatus, 1);

    let check = livecode(&server, &["runtimes", "--check", "--json"]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let packages = &runtime(&server, "inside").expect("it is there")["packages"];
    assert_eq!(*packages, json!(["course_package"]));

    runtimes.write("wrong", &script("virtual_environment = '/proc/x'\n"));
    let (code, _, errors) = reload(&server);
    assert!(code == Some(1) && errors.contains("line 6") && errors.contains("/proc/x"), "{errors}");
}

#[test]
fn only_those_who_administer_check() {
    let server = only(&["bash"]).serve(&["--auth", "tokens"]);
    let status = |user: User<'_>| user.request("POST", "/catalogue/check?runtime=bash", &Value::Null).0;
    assert_eq!(status(User::new(&server, "ada")), 404);
    let admin = new_token(&server, &["root", "--role", "admin"]);
    assert_eq!(status(User::with(&server, &admin)), 200);
    let user = User::with(&server, &admin);
    let (status, problem) = user.request("POST", "/catalogue/check?runtime=cobol", &Value::Null);
    assert_eq!((status, &problem["code"]), (404, &json!("no_such_runtime")));
    assert_eq!(user.request("POST", "/catalogue/check", &Value::Null).0, 422);
    // The command finds the admin socket.
    let data = server.data().to_str().expect("a path in UTF-8");
    let mut command = Command::new(binary());
    command.args(["runtimes", "--check", "--data-dir", data]).stdin(Stdio::null());
    command.env_remove("LIVECODE_SERVER").env_remove("LIVECODE_TOKEN");
    let output = command.output().expect("the command runs");
    assert!(output.status.success() && lines(&output)[0].ends_with(" ready"), "{output:?}");
    assert_eq!(livecode(&server, &["runtimes", "--check"]).status.code(), Some(1));
}

/// The words of a toolchain may name paths of the machine.
#[test]
fn only_those_who_administer_learn_why_a_check_has_failed() {
    let runtimes = only(&["bash"]);
    runtimes.write("fails", &script("example = 'echo /srv/secret >&2; exit 3'\n"));
    let server = runtimes.serve(&["--auth", "tokens"]);
    let admin = new_token(&server, &["root", "--role", "admin"]);
    let admin = User::with(&server, &admin);
    let (status, checked) = admin.request("POST", "/catalogue/check?runtime=fails", &Value::Null);
    assert_eq!((status, &checked["check"]["passed"]), (200, &json!(false)), "{checked}");
    let listed = |user: &User<'_>| {
        let (_, all) = user.request("GET", "/runtimes", &Value::Null);
        let all = all.as_array().expect("a list").clone();
        all.into_iter().find(|runtime| runtime["name"] == "fails").expect("it is there")["check"].clone()
    };
    assert!(listed(&admin)["failure"].as_str().is_some_and(|text| text.contains("/srv/secret")));
    let for_ada = listed(&User::new(&server, "ada"));
    assert_eq!((&for_ada["passed"], for_ada.get("failure")), (&json!(false), None), "{for_ada}");
}
