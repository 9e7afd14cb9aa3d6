//! Changes of imported runtimes: what an operator has written, and what servers and sessions need,
//! stays.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::json;

use super::{
    LargeLayer,
    archive::{Form, Layer, Packing, write_image},
    fail, images, reload, show, succeed, write_large_image,
};
use crate::common::{Run, Server, binary, eventually, id, is_root};

/// Writes an image with a program that prints its standard input. Returns its path.
fn write_image_with_program(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    let layer = Layer::default().file("bin/show", 0o755, &show(folder)).file(name, 0o644, b"");
    let process = json!({"Cmd": ["show", "-"], "Env": ["PATH=/bin"]});
    write_image(&path, Form::Oci, Packing::Gzip, &process, vec![layer]);
    path.to_str().expect("text").to_owned()
}

/// Writes the `runtime.toml` of a runtime of the operator. Returns its path.
fn write_runtime(operator: &Path, name: &str, toml: &str) -> PathBuf {
    fs::create_dir_all(operator.join(name)).expect("a folder");
    let path = operator.join(name).join("runtime.toml");
    fs::write(&path, toml).expect("a file");
    path
}

#[test]
fn a_change_after_which_no_server_could_start_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = write_image_with_program(folder.path(), "one.tar");
    let operator = folder.path().join("operator");
    let own = "extends = 'python'\ntitle = 'Own'\nzygote_interpreter = '/usr/bin/python3'\n";
    let path = write_runtime(&operator, "own", own);
    let flag = operator.to_str().expect("text");
    let mut server = Server::start_with(&["--runtimes-dir", flag]);
    // What `own` extends would have a root of its own.
    let error = fail(server.data(), &["import", "python", &image, "--runtimes-dir", flag]);
    for word in [path.to_str().expect("text"), "line 3: `zygote_interpreter`", "(breaks_runtimes)"] {
        assert!(error.contains(word), "{error}");
    }
    assert!(images(server.data()).is_empty() && !server.data().join("runtimes").exists());
    succeed(server.data(), &["import", "python@1", &image, "--runtimes-dir", flag]);
    write_runtime(&operator, "other", "extends = 'python@1'\ntitle = 'Other'\n");
    reload(&server);
    let error = fail(server.data(), &["remove", "python@1", "--runtimes-dir", flag]);
    assert!(error.contains("other/runtime.toml") && error.contains("(breaks_runtimes)"), "{error}");
    server.stop();
    server.start_again();
    // A server that cannot start as it is is no reason against a change.
    write_runtime(&operator, "own", "titel = 'Own'\n");
    succeed(server.data(), &["import", "python", &image, "--runtimes-dir", flag]);
    succeed(server.data(), &["remove", "python@1", "--runtimes-dir", flag]);
}

#[test]
fn a_later_import_keeps_what_the_operator_has_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let [one, two] = ["one.tar", "two.tar"].map(|name| write_image_with_program(folder.path(), name));
    succeed(&data, &["import", "own", &one]);
    let path = data.join("runtimes/own/runtime.toml");
    let right = fs::read_to_string(&path).expect("a file");
    // The line of the mistake stands in the error.
    let wrong = format!("{right}\n# mine\n[limits]\ncpu_ms = \n");
    fs::write(&path, &wrong).expect("our file");
    let error = fail(&data, &["import", "own", &two]);
    for word in [path.to_str().expect("text"), "cpu_ms", "(mistaken_runtime)"] {
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(fs::read_to_string(&path).expect("a file"), wrong);
    assert_eq!(images(&data).len(), 1);
    // With another template the file is written anew, and the operator's is kept.
    let printed = succeed(&data, &["import", "own", &two, "--from", "bash"]);
    let kept = path.with_file_name("runtime.toml.old");
    assert!(printed.contains(kept.to_str().expect("text")), "{printed}");
    assert_eq!(fs::read_to_string(&kept).expect("a file"), wrong);
    assert!(fs::read_to_string(&path).expect("a file").contains("\"bash\""));
    // The file that is kept names no image.
    assert_eq!(images(&data).len(), 1);
    // A further one is kept beside it.
    let printed = succeed(&data, &["import", "own", &one, "--from", "bash"]);
    assert!(printed.contains("runtime.toml.old.2"), "{printed}");
    assert_eq!(fs::read_to_string(&kept).expect("a file"), wrong);
}

#[test]
fn the_image_of_a_session_that_waits_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = write_image_with_program(folder.path(), "one.tar");
    let mut server = Server::start_with(&["--sessions-running-max", "1", "--warm", "off"]);
    succeed(server.data(), &["import", "one", &image]);
    reload(&server);
    let running = server.create(&json!({"runtime": "bash", "code": "echo runs; read"}));
    server.stream(&id(&running), "").read_until("runs\n");
    let waiting = server.create(&json!({"runtime": "one", "code": "", "stdin": "own\n"}));
    assert_eq!(waiting["state"], "queued", "{waiting}");
    fs::write(server.data().join("sessions/stray"), "").expect("a file that is no session");
    succeed(server.data(), &["remove", "one"]);
    reload(&server);
    let still_in_use = |data: &Path| {
        let printed = succeed(data, &["remove"]);
        assert!(printed.contains("is in use") && images(data).len() == 1, "{printed}");
    };
    still_in_use(server.data());
    server.kill();
    still_in_use(server.data());
    server.start_again();
    assert_eq!(server.delete(&format!("/sessions/{}", id(&running))).status, 204);
    let run = Run::collect(server.stream(&id(&waiting), ""));
    assert!(run.stdout.starts_with("own\n") && run.exitstatus == 0, "{run:?}");
    eventually("no sandbox uses the image", || {
        succeed(server.data(), &["remove"]);
        images(server.data()).is_empty().then_some(())
    });
}

#[test]
fn the_data_directory_of_another_user_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    // Root makes a folder of another user, and everybody else finds one of root.
    let data = if is_root() { folder.path() } else { Path::new("/usr") };
    if is_root() {
        chown(data, Some(65534), Some(65534)).expect("root may do this");
    }
    let error = fail(data, &["remove"]);
    assert!(error.contains("belongs to the user"), "{error}");
    assert!(!data.join("images").exists());
}

#[test]
fn what_an_interrupted_import_has_left_can_be_removed() {
    let data = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(data.path().join("runtimes/own")).expect("a folder");
    fs::write(data.path().join("runtimes/own/.runtime.toml"), "").expect("a file");
    succeed(data.path(), &["remove", "own"]);
    assert!(!data.path().join("runtimes/own").exists());
    for name in [".", "..", "own/../../images"] {
        assert!(fail(data.path(), &["remove", name]).contains("(no_such_runtime)"), "{name}");
    }
}

#[test]
fn an_import_goes_on_without_its_terminal_if_it_is_to() {
    let data = tempfile::tempdir().expect("a folder");
    let archive = data.path().join("image.tar");
    write_large_image(&archive, LargeLayer::Zeros);
    let script = r#"trap '' HUP; exec "$0" runtimes import x "$1" --data-dir "$2""#;
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", "sh", "-c", script]).arg(binary()).args([&archive, data.path()]);
    let mut import = command.stderr(Stdio::null()).spawn().expect("a shell");
    eventually("the import is at work", || (!images(data.path()).is_empty()).then_some(()));
    let status = fs::read_to_string(format!("/proc/{}/status", import.id())).expect("the import runs");
    import.kill().expect("the import runs");
    import.wait().expect("a child");
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a mask");
        u64::from_str_radix(line.trim(), 16).expect("a number")
    };
    let (hangup, interrupt) = (1, 1 << 1);
    assert_eq!(mask("SigIgn:") & hangup, hangup);
    assert_eq!(mask("SigCgt:") & (hangup | interrupt), interrupt);
}
