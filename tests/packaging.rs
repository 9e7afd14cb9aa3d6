//! What is shipped for those who run a server: the units are right, and what they take away is not needed.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::common::{binary, is_root};

/// A file of `packaging`, from the folder of the sources; the second run, as an ordinary user, brings its own copies.
fn packaged(name: &str) -> String {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name);
    let here = PathBuf::from("packaging").join(name);
    let path = if here.exists() { here } else { sources };
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The values of a unit's key.
fn values<'u>(unit: &'u str, key: &str) -> Vec<&'u str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn systemd_takes_the_units() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, scope) in [("livecode.service", "--system"), ("livecode-user.service", "--user")] {
        let unit = packaged(name);
        let path = folder.path().join(name);
        // It wants to see the program.
        let installed = binary().to_str().expect("UTF-8").to_owned();
        assert!(unit.contains("/usr/bin/livecode serve"), "{unit}");
        fs::write(&path, unit.replace("/usr/bin/livecode", &installed)).expect("room for a file");
        let mut verify = Command::new("systemd-analyze");
        verify.args([scope, "--man=no", "verify"]).arg(&path);
        // Where units of a user are looked for.
        verify.env("XDG_RUNTIME_DIR", folder.path()).env("HOME", folder.path());
        let output = verify.output().expect("systemd-analyze is installed");
        let words =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !words.contains(name), "{words}");
        // A misspelt key is told, so that silence means something.
        fs::write(&path, unit.replace("/usr/bin/livecode", &installed).replace("KillMode", "KilMode"))
            .expect("room");
        let told = verify.output().expect("systemd-analyze is installed").stderr;
        assert!(String::from_utf8_lossy(&told).contains("KilMode"), "{}", String::from_utf8_lossy(&told));

        // What sessions rest on: they outlive the server, their groups are the server's, and one without memory is its own.
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

/// With the capabilities, the mask and the limits of the unit, and no more, a server does all that it should.
#[test]
fn what_the_unit_takes_away_is_not_needed() {
    let unit = packaged(if is_root() { "livecode.service" } else { "livecode-user.service" });
    let (mask, files) = (values(&unit, "UMask")[0], values(&unit, "LimitNOFILE")[0]);
    assert_eq!(values(&unit, "NoNewPrivileges"), ["yes"]);
    let capabilities: Vec<_> =
        values(&unit, "CapabilityBoundingSet").iter().flat_map(|line| line.split(' ')).collect();
    assert_eq!(capabilities.is_empty(), !is_root());
    let mut command = Command::new("sh");
    // No higher limit can be had than there is; the unit's is a lot.
    let script = format!("umask {mask}; ulimit -n {files} 2>/dev/null; exec \"$@\"");
    command.args(["-c", &script, "sh", "setpriv", "--no-new-privs"]);
    if is_root() {
        let kept =
            capabilities.iter().map(|name| format!("+{}", name.trim_start_matches("CAP_").to_lowercase()));
        let set = std::iter::once("-all".to_owned()).chain(kept).collect::<Vec<_>>().join(",");
        command.args(["--bounding-set", &set, "--inh-caps", "-all"]);
    }
    let data = tempfile::tempdir().expect("a temporary folder");
    command.env("RUST_LOG", "error").env_remove("LIVECODE_BINARY");
    command.arg(binary()).args(["serve", "--listen", "127.0.0.1:0", "--no-systemd-scope", "--data-dir"]);
    let mut server = Running(command.arg(data.path()).stdout(Stdio::piped()).spawn().expect("a shell"));
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().expect("a pipe")).read_line(&mut line).expect("text");
    let address = line.trim().split_once("http://").unwrap_or_else(|| panic!("no address in {line:?}")).1;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |name: &str, program: &str, arguments: &[&str]| {
        let path = folder.path().join(name);
        fs::write(&path, program).expect("room for a file");
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
