//! A setting with a value that can never work stops the start, and the error names the setting, the
//! value, the place where it is set, and what would be right.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::json;

use crate::common::{Run, Server, binary, eventually, is_root, logged::LoggedServer};

/// Runs a command that is to fail, and returns its exit code and its errors.
fn failure(command: &mut Command) -> (Option<i32>, String) {
    let output: Output = command.stdin(Stdio::null()).output().expect("the binary starts");
    let errors = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.stdout.is_empty(), "it started: {errors}");
    (output.status.code(), errors)
}

/// A server with a data directory of its own.
fn serve(data: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
    command.env("RUST_LOG", "info").env_remove("LIVECODE_SERVER");
    command
}

/// Settings with a value, and what the error says beside both.
const REFUSED: [(&str, &str, &str); 56] = [
    ("memory_bytes", "1", "no program can run with less than 2097152"),
    ("memory_bytes", "2097151", "no program can run with less than 2097152"),
    ("memory_max_bytes", "1000000", "no program can run with less than 2097152"),
    ("memory_bytes", "99999999999999", "is more than memory_max_bytes, which is 2147483648"),
    ("memory_max_bytes", "100000000", "memory_bytes: 268435456 is more than memory_max_bytes"),
    ("wall_ms", "0", "less than 10"),
    ("wall_ms", "99999999999", "is more than wall_max_ms"),
    ("wall_max_ms", "9", "less than 10"),
    ("v01_wall_ms", "0", "less than 10"),
    ("v01_wall_ms", "99999999999", "is more than wall_max_ms"),
    ("case_wall_ms", "9", "less than 10"),
    ("cases_max", "1001", "between 1 and 1000"),
    ("cases_max_bytes", "0", "between 1 and"),
    ("exercises_per_owner_max", "0", "between 1 and"),
    ("exercise_max_bytes", "0", "between 1 and"),
    ("idle_ms", "0", "less than 10"),
    ("cpu_ms", "0", "less than 10"),
    ("cpu_ms", "99999999999", "is more than cpu_max_ms"),
    ("cpu_max_ms", "0", "less than 10"),
    ("cpu_millicores", "0", "less than 10"),
    ("cpu_millicores", "999999999", "is more than cpu_max_millicores"),
    ("cpu_max_millicores", "1", "less than 10"),
    ("cpu_max_millicores", "999999999", "between 1 and 1048576"),
    ("processes", "0", "less than 1"),
    ("processes", "9999999", "is more than processes_max"),
    ("processes_max", "0", "less than 1"),
    ("processes_max", "99999999", "between 1 and 4194304"),
    ("output_bytes", "31", "less than 32"),
    ("output_bytes", "99999999999999", "is more than output_max_bytes"),
    ("output_max_bytes", "0", "less than 32"),
    ("disk_bytes", "16383", "less than 16384"),
    ("disk_bytes", "99999999999999", "is more than disk_max_bytes"),
    ("disk_max_bytes", "0", "less than 16384"),
    ("disk_files", "15", "less than 16"),
    ("disk_files", "99999999", "between 1 and 16777216"),
    ("body_max_bytes", "0", "between 1 and 4294967296"),
    ("held_bytes_max", "0", "at least 1"),
    ("held_bytes_per_address_percent", "0", "between 1 and 100"),
    ("held_bytes_per_address_percent", "101", "between 1 and 100"),
    ("start_timeout_ms", "0", "between 1 and 86400000"),
    ("sessions_running_max", "0", "between 1 and 50000"),
    ("sessions_running_per_address_max", "0", "at least 1"),
    ("sessions_max", "0", "at least 1"),
    ("sessions_per_owner_max", "0", "at least 1"),
    ("sessions_per_address_max", "0", "at least 1"),
    ("connections_max", "0", "between 1 and 1048576"),
    ("connections_per_address_max", "0", "at least 1"),
    ("exec_timeout_ms", "0", "at least 1"),
    ("header_timeout_ms", "0", "between 1 and 3600000"),
    ("body_timeout_ms", "0", "between 1 and 3600000"),
    ("ping_interval_ms", "0", "between 1 and 3600000"),
    ("messages_per_s", "0", "between 1 and 1000000"),
    ("warm_sandboxes_max", "0", "between 1 and 1024"),
    ("warm_other_sandboxes_max", "1025", "between 0 and 1024"),
    ("warm_layout_idle_ms", "0", "between 1 and 86400000"),
    ("runtime_check_idle_ms", "86400001", "between 0 and 86400000"),
];

#[test]
fn a_value_that_can_never_work_stops_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let file = folder.path().join("livecode.toml");
    let data = folder.path().join("data");
    for (index, (key, value, words)) in REFUSED.into_iter().enumerate() {
        let mut command = serve(&data);
        // Each row sets the value in one of the three places.
        let place = match index % 3 {
            0 => {
                command.arg(format!("--{}={value}", key.replace('_', "-")));
                "(on the command line)".to_owned()
            }
            1 => {
                let variable = format!("LIVECODE_{}", key.to_uppercase());
                command.env(&variable, value);
                format!("(in the environment, {variable})")
            }
            _ => {
                fs::write(&file, format!("{key} = {value}\n")).expect("the file can be written");
                command.arg("--config").arg(&file);
                format!("(in {})", file.display())
            }
        };
        let (code, errors) = failure(&mut command);
        assert_eq!(code, Some(2), "{key} = {value}: {errors}");
        assert!(errors.contains(words), "{key} = {value}: {errors}");
        // Where the words name a setting, the error is about a default that no longer fits.
        if !words.contains(':') {
            let named = format!("a setting is wrong: {key} {place}: {value} ");
            assert!(errors.contains(&named), "{named} is not in {errors}");
        }
        assert!(!data.exists(), "{key} = {value} was noticed too late");
    }
}

#[test]
fn more_free_space_than_the_disk_has_stops_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let value = u64::MAX.to_string();
    let (code, errors) = failure(serve(folder.path()).args(["--disk-min-free-bytes", &value]));
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains(&format!("disk_min_free_bytes: {value} is more than the whole disk")),
        "{errors}"
    );
}

/// Values that work, and that hardly anybody wants, are warned of.
#[test]
fn odd_values_are_warned_of() {
    let disk = rustix::fs::statvfs(std::env::temp_dir()).expect("the folder exists");
    let too_much = (disk.f_bavail.midpoint(disk.f_blocks) * disk.f_frsize).to_string();
    for (arguments, words) in [
        (["--keep-ms", "0"], "keep_ms is 0: each session is removed"),
        (["--keep-max-bytes", "0"], "keep_max_bytes is 0: each session is removed"),
        (["--keep-output-ms", "0"], "keep_output_ms is 0: output is removed"),
        (
            ["--compile-cache-entry-bytes", "0"],
            "compile_cache_entry_bytes is 0: the compile cache stays empty",
        ),
        (["--disk-min-free-bytes", &too_much], "new sessions are refused until it has room"),
    ] {
        let logged = LoggedServer::start(&arguments);
        eventually(words, || {
            logged.lines().iter().any(|line| line.contains(" WARN ") && line.contains(words)).then_some(())
        });
    }
}

/// A folder below `parent` with a runtime that prints what stands in a file beside its manifest.
fn make_runtime(parent: &Path, name: &str, more: &str) {
    let folder = parent.join(name);
    fs::create_dir_all(&folder).expect("the folder can be made");
    let toml = format!(
        "{more}title = 'X'\nfile = 'main.x'\neditor_mode = 'x'\ninstall = 'x'\n\
         run = ['cat', '/runtimes/{name}/text']\n"
    );
    fs::write(folder.join("runtime.toml"), toml).expect("the file can be written");
    fs::write(folder.join("text"), "beside\n").expect("the file can be written");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file is ours");
}

#[test]
fn a_folder_of_runtimes_that_cannot_work_stops_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    set_mode(folder.path(), 0o755);
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "").expect("the file can be written");
    for name in ["others", "toml"] {
        fs::create_dir_all(at(name).join("x")).expect("the folder can be made");
    }
    fs::write(at("others/x/README"), "").expect("the file can be written");
    fs::write(at("toml/x/runtime.toml"), "titel = 'x'\n").expect("the file can be written");
    make_runtime(&at("single"), "tcl", "");
    make_runtime(&at("alias"), "aaa", "aliases = ['go']\n");
    make_runtime(&at("key"), "aaa", "compile = [\n ['x'],\n []]\n");
    make_runtime(&at("twice"), "aaa", "aliases = ['tcl']\n");
    make_runtime(&at("twice"), "tcl", "");
    make_runtime(&at("private"), "tcl", "");
    set_mode(&at("private"), 0o700);
    make_runtime(&at("private-runtime"), "tcl", "");
    set_mode(&at("private-runtime/tcl"), 0o750);
    let mut rows = vec![
        ("/etc".into(), "runtimes_dir: /etc has no runtime: no folder in it has a runtime.toml"),
        (at("missing"), "cannot be read: No such file or directory"),
        (at("file"), "is not a folder; it must be one that has a folder for each runtime"),
        (at("others"), "has no runtime: no folder in it has a runtime.toml"),
        (at("toml"), "titel"),
        (at("single/tcl"), "is itself a runtime; the folder above it"),
        (
            at("alias"),
            "/aaa/runtime.toml: line 1: `aliases` takes the name \"go\", which the built-in runtime \"go\" has",
        ),
        (at("key"), "/aaa/runtime.toml is wrong:\nline 3: `compile.1` needs a command"),
        (at("twice"), "takes the name \"tcl\", which "),
    ];
    if is_root() {
        // Only as root each session has a user of its own.
        rows.push((at("private"), "(mode 0700), so programs could not"));
        rows.push((at("private-runtime"), "tcl (mode 0750), so programs could not"));
        rows.push(("/root".into(), "/root contains the home folder /root, which programs would see"));
    }
    for (path, words) in rows {
        let data = folder.path().join("data");
        let (code, errors) = failure(serve(&data).arg("--runtimes-dir").arg(&path));
        assert_eq!(code, Some(1), "{}: {errors}", path.display());
        assert!(
            errors.contains(words) && errors.contains(&*path.to_string_lossy()),
            "{}: {errors}",
            path.display()
        );
        // `livecode doctor` says the same.
        let (code, errors) = failure(Command::new(binary()).arg("doctor").arg("--runtimes-dir").arg(&path));
        assert_eq!(code, Some(2), "{}: {errors}", path.display());
        assert!(errors.contains(words), "{}: {errors}", path.display());
    }
    // Only a server knows its data directory.
    for path in [folder.path(), &at("data")] {
        let (code, errors) = failure(serve(&at("data")).arg("--runtimes-dir").arg(path));
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("contains the server's data directory"), "{errors}");
    }
}

#[test]
fn an_empty_folder_of_runtimes_is_warned_of_and_a_readable_one_works() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    set_mode(folder.path(), 0o755);
    let path = folder.path().to_str().expect("a path in UTF-8");
    let logged = LoggedServer::start(&["--runtimes-dir", path]);
    let is_warned = |line: &String| line.contains("is empty, so it adds no runtime");
    eventually("the warning is logged", || logged.lines().iter().any(is_warned).then_some(()));
    let output = Command::new(binary()).args(["doctor", "--runtimes-dir", path]).output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("is empty, so it adds no runtime"));

    make_runtime(folder.path(), "beside", "");
    let server = Server::start_with(&["--runtimes-dir", path]);
    let run: Run = server.run(&json!({"runtime": "beside", "code": ""}));
    assert_eq!(run.stdout, "beside\n", "{run:?}");
}
