//! The files for operators: the systemd units are valid, and the server needs nothing that they
//! forbid.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::common::{binary, is_root};

/// Reads a file of `packaging` from the source folder. When the tests run again as an ordinary
/// user, it is a copy in the working directory.
fn packaged(name: &str) -> String {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name);
    let copy = PathBuf::from("packaging").join(name);
    let path = if copy.exists() { copy } else { sources };
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The values of a unit's key.
fn values<'u>(unit: &'u str, key: &str) -> Vec<&'u str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn systemd_accepts_the_units() {
    let units = [
        ("livecode.service", "--system"),
        ("livecode-end-sessions.service", "--system"),
        ("livecode-user.service", "--user"),
    ];
    for (name, scope) in units {
        let unit = packaged(name);
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        let path = folder.path().join(name);
        // systemd-analyze checks that the program of a unit exists.
        let installed = binary().to_str().expect("a path in UTF-8").to_owned();
        assert!(unit.contains("/usr/bin/livecode serve"), "{unit}");
        fs::write(&path, unit.replace("/usr/bin/livecode", &installed)).expect("the file can be written");
        let mut verify = Command::new("systemd-analyze");
        verify.args([scope, "--man=no", "verify"]).arg(&path);
        // systemd-analyze looks for user units in these folders.
        verify.env("XDG_RUNTIME_DIR", folder.path()).env("HOME", folder.path());
        let output = verify.output().expect("systemd-analyze is installed");
        let printed =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !printed.contains(name), "{printed}");
        // A misspelt key is reported, which proves that silence means success.
        fs::write(&path, unit.replace("/usr/bin/livecode", &installed).replace("Delegate=", "Delegte="))
            .expect("the file can be written");
        let reported = verify.output().expect("systemd-analyze is installed").stderr;
        assert!(
            String::from_utf8_lossy(&reported).contains("Delegte"),
            "{}",
            String::from_utf8_lossy(&reported)
        );

        if values(&unit, "Type") == ["oneshot"] {
            continue; // no session outlives it
        }
        // Sessions depend on these keys: they outlive the server, they have cgroups below the
        // server's, and a session that runs out of memory must not stop the server.
        for (key, value) in
            [("KillMode", "process"), ("Delegate", "yes"), ("OOMPolicy", "continue"), ("Restart", "always")]
        {
            assert_eq!(values(&unit, key), [value], "{name}: {key}");
        }
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server works with exactly the capabilities, the umask and the limits that its unit allows.
#[test]
fn the_server_needs_nothing_that_its_unit_forbids() {
    let unit = packaged(if is_root() { "livecode.service" } else { "livecode-user.service" });
    let (mask, files) = (values(&unit, "UMask")[0], values(&unit, "LimitNOFILE")[0]);
    assert_eq!(values(&unit, "NoNewPrivileges"), ["yes"]);
    let capabilities: Vec<_> =
        values(&unit, "CapabilityBoundingSet").iter().flat_map(|line| line.split(' ')).collect();
    assert_eq!(capabilities.is_empty(), !is_root());
    let mut command = Command::new("sh");
    // The unit's limit is high. Where the machine allows less, the shell keeps the lower limit.
    let script = format!("umask {mask}; ulimit -n {files} 2>/dev/null; exec \"$@\"");
    command.args(["-c", &script, "sh", "setpriv", "--no-new-privs"]);
    if is_root() {
        let kept =
            capabilities.iter().map(|name| format!("+{}", name.trim_start_matches("CAP_").to_lowercase()));
        let set = std::iter::once("-all".to_owned()).chain(kept).collect::<Vec<_>>().join(",");
        command.args(["--bounding-set", &set, "--inh-caps", "-all"]);
    }
    let data = tempfile::tempdir().expect("a temporary folder is created");
    command.env("RUST_LOG", "error").env_remove("LIVECODE_BINARY");
    command.arg(binary()).args(["serve", "--listen", "127.0.0.1:0", "--no-systemd-scope", "--data-dir"]);
    let mut server =
        Running(command.arg(data.path()).stdout(Stdio::piped()).spawn().expect("the shell starts"));
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().expect("the stream is piped"))
        .read_line(&mut line)
        .expect("valid UTF-8");
    let address = line.trim().split_once("http://").unwrap_or_else(|| panic!("no address in {line:?}")).1;

    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let run = |name: &str, program: &str, arguments: &[&str]| {
        let path = folder.path().join(name);
        fs::write(&path, program).expect("the file can be written");
        let mut run = Command::new(binary());
        run.args(["run", "--server", &format!("http://{address}")])
            .args(arguments)
            .arg(&path)
            .stdin(Stdio::null());
        let output = run.output().expect("the binary starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (text, output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (text, code, errors) =
        run("hello.py", "print(open('/etc/passwd').read().count('user'))\nopen('x', 'w').close()", &[]);
    assert!(code == Some(0) && text.trim() != "0", "{text} {errors}");
    let (text, code, errors) =
        run("hello.c", "#include <stdio.h>\nint main(void) { puts(\"compiled\"); }", &[]);
    assert_eq!((&*text, code), ("compiled\n", Some(0)), "{errors}");
    let (_, code, errors) = run("loop.py", "while True: pass", &["--cpu-ms", "300"]);
    assert_eq!(code, Some(152), "{errors}");
    let (_, code, errors) = run(
        "big.py",
        "import os\nos.fork()\nx = b'x' * (60 << 20)\nwhile True: pass",
        &["--memory-bytes", "100000000"],
    );
    assert_eq!(code, Some(137), "{errors}");
}
