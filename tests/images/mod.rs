//! Runtimes that are made of container images: `livecode runtimes import` and `remove`, and
//! programs in a root of their own.

#[allow(dead_code)] // the tests of the crate use all of it
mod archive;
mod changes;
mod kept;

use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use archive::{Form, Layer, Packing, config, members, write_image};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{
    common::{Run, Server, binary, eventually, id, is_root},
    docs::{blocks, document},
    packaging::script,
};

/// Prints the files and folders that its arguments name (`-`: standard input), and where it may
/// write.
const SHOW: &str = r#"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char line[4096];
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (folder) {
            struct dirent *entry;
            while ((entry = readdir(folder))) if (entry->d_name[0] != '.') printf("%s/%s\n", argv[i], entry->d_name);
            continue;
        }
        FILE *file = strcmp(argv[i], "-") ? fopen(argv[i], "r") : stdin;
        if (!file) printf("%s: %s\n", argv[i], strerror(errno));
        else while (fgets(line, sizeof line, file)) printf("%s", line);
    }
    const char *paths[] = {"/new", "/bin/new", "/etc/new", "/etc/passwd", "/tmp/new", "/code/new"};
    for (int i = 0; i < 6; i++) {
        int file = open(paths[i], O_WRONLY | O_CREAT, 0644);
        printf("%s: %s\n", paths[i], file < 0 ? strerror(errno) : "written");
    }
    dprintf(3, "{\"msgtype\": \"seen\"}\n");
}
"#;

/// Runs `livecode runtimes` with these arguments for a data directory.
fn runtimes(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("runtimes").args(arguments).arg("--data-dir").arg(data).stdin(Stdio::null());
    command.env_remove("LIVECODE_SERVER").output().expect("the binary starts")
}

/// The command `livecode runtimes import`, which signals end although the tests may have been started
/// in the background of a shell, where they are ignored.
fn interruptible_import() -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP,INT,TERM").arg(binary()).args(["runtimes", "import"]);
    command
}

/// Runs `livecode runtimes`, which must succeed. Returns what it prints.
fn succeed(data: &Path, arguments: &[&str]) -> String {
    let output = runtimes(data, arguments);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stderr.is_empty(), "{arguments:?}: {stdout}{stderr}");
    stdout.into_owned()
}

/// Runs `livecode runtimes`, which must fail. Returns the error.
fn fail(data: &Path, arguments: &[&str]) -> String {
    let output = runtimes(data, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// Makes a server read its runtimes again.
fn reload(server: &Server) {
    let answer = server.post("/catalogue/reload", &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The names in the folder of the images.
fn images(data: &Path) -> Vec<String> {
    let entries = fs::read_dir(data.join("images")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().expect("text"));
    names.filter(|name| name != ".lock").collect()
}

/// The number of sessions that have found a warm sandbox.
fn warm_starts(server: &Server) -> u64 {
    let text = server.get("/metrics").text();
    let name = "livecode_session_starts_total{ready=\"sandbox\"} ";
    text.lines().find_map(|line| line.strip_prefix(name)).and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Compiles [`SHOW`] into a program that needs no library.
fn show(folder: &Path) -> Vec<u8> {
    let (source, program) = (folder.join("show.c"), folder.join("show"));
    fs::write(&source, SHOW).expect("a file");
    let compiled = Command::new("gcc").args(["-static", "-o"]).args([&program, &source]).status();
    assert!(compiled.expect("a compiler").success());
    fs::read(program).expect("a program")
}

/// Writes an image whose root has a program and what would lead a careless server astray. Returns
/// its path.
fn write_hostile_looking_image(folder: &Path, form: Form) -> String {
    let layer = Layer::default()
        .file("bin/show", 0o6755, &show(folder))
        .file("marker", 0o644, b"of the image\n")
        .link("tmp", "/")
        .link("code", "/etc")
        .file("proc", 0o644, b"not a folder")
        .link("dev", "../../../..")
        .link("livecode", "/etc")
        .link("runtimes", "usr")
        .link("etc/passwd", "/marker")
        .folder("etc/hosts")
        .file("etc/own", 0o644, b"own\n");
    let path = folder.join("image.tar");
    let process = json!({"Cmd": ["show"], "Env": ["PATH=/bin"]});
    write_image(&path, form, Packing::Gzip, &process, vec![layer]);
    path.to_str().expect("text").to_owned()
}

#[test]
fn a_program_sees_the_root_of_an_image_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    for form in [Form::DockerSave, Form::Oci] {
        let mut server = Server::start();
        let image = write_hostile_looking_image(folder.path(), form);
        let printed = succeed(server.data(), &["import", "show@1", &image]);
        assert!(printed.starts_with("sha256:") && printed.contains(" unpacked: "), "{printed}");
        let again = succeed(server.data(), &["import", "show@2", &image]);
        assert!(again.contains(" is here already: "), "{again}");
        server.stop();
        server.start_again();
        let listed = server.get("/runtimes").json();
        let listed = listed.as_array().expect("a list").iter().find(|runtime| runtime["name"] == "show@1");
        assert_eq!(listed.map(|runtime| &runtime["available"]), Some(&json!(true)), "{listed:?}");
        for name in ["show@1", "show@2"] {
            let args = json!([
                "/marker",
                "/",
                "/etc/own",
                "/etc/passwd",
                "/etc/hosts",
                "/proc/self/comm",
                "/usr",
                "/etc/shadow",
                "/livecode",
                "/var"
            ]);
            let session = server.create(&json!({"runtime": name, "code": "hello\n", "args": args}));
            let Run { stdout, stderr, messages, exitstatus, .. } =
                Run::collect(server.stream(&id(&session), ""));
            assert_eq!((&*stderr, exitstatus), ("", 0), "{stdout}");
            assert!(stdout.starts_with("hello\nof the image\n"), "{stdout}");
            let mut top: Vec<_> = stdout.lines().filter(|line| line.starts_with("//")).collect();
            top.sort_unstable();
            let expected = ["//bin", "//code", "//dev", "//etc", "//livecode", "//marker", "//proc", "//tmp"];
            assert_eq!(top, expected);
            for line in [
                "own",
                "show",
                "127.0.0.1 localhost livecode",
                "/usr: No such file or directory",
                "/var: No such file or directory",
                "/etc/shadow: No such file or directory",
                "/livecode/python",
                "/new: Read-only file system",
                "/bin/new: Read-only file system",
                "/etc/new: Read-only file system",
                "/tmp/new: written",
                "/code/new: written",
            ] {
                assert!(stdout.lines().any(|found| found == line), "{line}: {stdout}");
            }
            assert!(stdout.lines().any(|line| line.starts_with("user:x:")), "{stdout}");
            assert_eq!(messages, [json!({"msgtype": "seen"})]);
        }
        // From the second session on, a sandbox with the image waits.
        eventually("a sandbox of the image was warm", || {
            let before = warm_starts(&server);
            server.run(&json!({"runtime": "show@1", "code": ""}));
            (warm_starts(&server) > before).then_some(())
        });
    }
}

/// Makes a folder of an operator's runtimes, whose programs see the folder `root` beside their
/// `runtime.toml`. Each is a name and the target of a mount. Returns the folder.
fn write_operator_folder(folder: &Path, runtimes: &[(&str, &str)]) -> PathBuf {
    let outside = folder.join("outside");
    fs::create_dir_all(outside.join("made")).expect("a folder");
    let program = show(folder);
    let all = folder.join("runtimes");
    for (name, target) in runtimes {
        let own = all.join(name);
        for path in ["root/bin", "root/there", "root/swapped/made/new", "tool"] {
            fs::create_dir_all(own.join(path)).expect("a folder");
        }
        fs::write(own.join("root/bin/show"), &program).expect("a file");
        fs::set_permissions(own.join("root/bin/show"), fs::Permissions::from_mode(0o755)).expect("our file");
        fs::write(own.join("tool/marker"), "of the tool\n").expect("a file");
        symlink(&outside, own.join("root/link")).expect("a link");
        symlink("/", own.join("root/slash")).expect("a link");
        let toml = format!(
            "title = 'Show'\nfile = 'main.txt'\neditor_mode = 'text'\nrun = ['show', '{{source}}']\n\
             install = 'none'\n[root]\nimage = './root'\n\
             [[mounts]]\nsources = ['./tool']\ntarget = '{target}'\n"
        );
        fs::write(own.join("runtime.toml"), toml).expect("a file");
    }
    all
}

#[test]
fn a_mount_is_placed_through_no_link_of_a_root() {
    let folder = tempfile::tempdir().expect("a folder");
    let below_outside = format!("/slash/{}/made", folder.path().join("outside").display());
    let runtimes = write_operator_folder(
        folder.path(),
        &[
            ("there", "/there"),
            ("made", "/made/deep"),
            ("link", "/link/made"),
            ("slash", &below_outside),
            ("missing", "/there/made"),
            ("swapped", "/swapped/made/new"),
            ("source", "/there"),
        ],
    );
    let server = Server::start_with(&["--runtimes-dir", runtimes.to_str().expect("text")]);
    let run = |name: &str, target: &str| {
        let marker = format!("{target}/marker");
        server.run(&json!({"runtime": name, "code": "hello\n", "args": [marker, "/etc/passwd"]}))
    };
    // The source of a mount is the machine's, and may be a link.
    fs::rename(runtimes.join("source/tool"), runtimes.join("source/tool-1")).expect("our folder");
    symlink("tool-1", runtimes.join("source/tool")).expect("a link");
    reload(&server);
    for (name, target) in [("there", "/there"), ("made", "/made/deep"), ("source", "/there")] {
        let run = run(name, target);
        assert!(run.stdout.starts_with("hello\nof the tool\n"), "{name}: {run:?}");
        assert!(run.stdout.lines().any(|line| line.starts_with("user:x:")), "{run:?}");
    }
    for name in ["link", "slash", "missing"] {
        let answer = server.post("/sessions", &json!({"runtime": name, "code": "hello\n"}));
        assert!(answer.status == 422 && answer.text().contains("for a mount"), "{name}: {}", answer.text());
    }
    // The root changes after the server has looked at it.
    let swapped = runtimes.join("swapped/root/swapped");
    fs::remove_dir_all(&swapped).expect("our folder");
    symlink(folder.path().join("outside"), &swapped).expect("a link");
    let run = run("swapped", "/swapped/made/new");
    assert!(run.exitstatus != 0 && !run.stdout.contains("hello"), "{run:?}");
    // A program that followed the link would have made the place of the mount there.
    assert_eq!(fs::read_dir(folder.path().join("outside/made")).expect("our folder").count(), 0);
}

#[test]
fn an_image_is_removed_with_its_last_runtime_once_nobody_uses_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start();
    let layer = Layer::default().file("bin/show", 0o755, &show(folder.path()));
    let archive = folder.path().join("image.tar");
    let process = json!({"Cmd": ["show", "-"], "Env": ["PATH=/bin"]});
    write_image(&archive, Form::Oci, Packing::Zstd, &process, vec![layer]);
    let archive = archive.to_str().expect("text");
    succeed(server.data(), &["import", "one", archive]);
    let printed = succeed(server.data(), &["import", "two", archive]);
    assert!(printed.contains("livecode runtimes reload"), "{printed}");
    reload(&server);
    let session = server.create(&json!({"runtime": "one", "code": ""}));
    let mut stream = server.stream(&id(&session), "");
    stream.send(&json!({"msgtype": "input", "data": "first\n"}));
    stream.read_until("first\n"); // the program runs
    let removed = succeed(server.data(), &["remove", "one"]);
    assert!(!removed.contains("image"), "{removed}"); // the other runtime names the image
    let removed = succeed(server.data(), &["remove", "two"]);
    assert!(removed.contains("is in use") && removed.contains("livecode runtimes reload"), "{removed}");
    // Until it has read its runtimes again, the server knows the runtime, and has the image.
    let run = server.run(&json!({"runtime": "two", "code": "", "stdin": "still\n"}));
    assert!(run.stdout.starts_with("still\n"), "{run:?}");
    stream.send(&json!({"msgtype": "input", "data": "second\n", "eof": true}));
    let run = Run::collect(stream);
    assert!(run.stdout.starts_with("second\n"), "{run:?}");
    server.kill();
    eventually("no sandbox uses the image", || {
        let output = runtimes(server.data(), &["import", "three", archive]);
        assert!(output.status.success());
        succeed(server.data(), &["remove", "three"]);
        succeed(server.data(), &["remove"]);
        images(server.data()).is_empty().then_some(())
    });
    let error = fail(server.data(), &["remove", "python"]);
    assert!(error.contains("no_such_runtime"), "{error}");
}

#[test]
fn a_refused_import_says_what_is_wrong_where_and_leaves_nothing() {
    let data = tempfile::tempdir().expect("a folder");
    let archive = data.path().join("image.tar");
    let path = archive.to_str().expect("text").to_owned();
    let process = json!({"Cmd": ["show"]});
    let lower = Layer::default().file("file", 0o644, b"");
    let upper = Layer::default().file("../../file", 0o644, b"");
    write_image(&archive, Form::Oci, Packing::Gzip, &process, vec![lower, upper]);
    let error = fail(data.path(), &["import", "x", &path]);
    for word in ["image.tar", "\"../../file\" of layer 2", "contains \"..\"", "hostile_path"] {
        assert!(error.contains(word), "{error}");
    }
    let bomb = Layer::default().file("zeros", 0o644, &vec![0; 8 << 20]);
    write_image(&archive, Form::Oci, Packing::Gzip, &process, vec![bomb]);
    let error = fail(data.path(), &["import", "x", &path, "--unpacked-max-bytes", "1000000"]);
    assert!(error.contains("unpacked_bytes = 1000000") && error.contains("limit_exceeded"), "{error}");
    let error = fail(data.path(), &["import", "x", &path, "--entries-max", "0"]);
    assert!(error.contains("entries = 0"), "{error}");
    for (name, arguments, code) in
        [("Wrong", vec![], "invalid_name"), ("x", vec!["--from", "cobol"], "no_template")]
    {
        let error = fail(data.path(), &[&["import", name, &path][..], &arguments].concat());
        assert!(error.contains(code), "{error}");
    }
    assert!(images(data.path()).is_empty() && !data.path().join("runtimes").exists());
}

/// The contents of a layer that takes long to read, and no space on the disk.
#[derive(Clone, Copy)]
enum LargeLayer {
    /// A file of zeros.
    Zeros,
    /// Frames that a decompressor of zstd skips, so that nothing comes out of them. The last one is
    /// cut, so that the layer is damaged for those who read it to its end.
    SkippedFrames,
}

/// Writes an archive with such a layer.
fn write_large_image(path: &Path, contents: LargeLayer) {
    let layer = Layer::default().file("file", 0o644, b"").bytes();
    let own = config(std::slice::from_ref(&layer), &json!({"Cmd": ["x"]}));
    let mut all = members(Form::DockerSave, &own, &[]);
    for (name, bytes) in &mut all {
        if name == "manifest.json" {
            *bytes = String::from_utf8_lossy(bytes)
                .replace("\"Layers\":[]", "\"Layers\":[\"layer\"]")
                .into_bytes();
        }
    }
    archive::write(path, &all);
    let bytes: u64 = 6 << 30;
    let header = |name: &str, bytes| {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).expect("a short name");
        header.set_size(bytes);
        header.set_mode(0o644);
        header.set_cksum();
        header
    };
    let file = fs::File::options().write(true).open(path).expect("the archive");
    let end = file.metadata().expect("the archive").len() - 1024;
    file.write_all_at(header("layer", bytes).as_bytes(), end).expect("a header");
    let start = end + 512;
    match contents {
        LargeLayer::Zeros => {
            file.write_all_at(header("zeros", bytes - 4096).as_bytes(), start).expect("a header");
        }
        LargeLayer::SkippedFrames => {
            for frame in 0..6 {
                // Each takes 1 GiB with its header, but for the last one.
                let header = [0x50, 0x2a, 0x4d, 0x18, 0xf8, 0xff, 0xff, if frame < 5 { 0x3f } else { 0x7f }];
                file.write_all_at(&header, start + (frame << 30)).expect("a header");
            }
        }
    }
    file.set_len(start + bytes + 1024).expect("a sparse file");
}

#[test]
fn an_interrupted_import_leaves_nothing() {
    let data = tempfile::tempdir().expect("a folder");
    let archive = data.path().join("image.tar");
    for (signal, contents) in [
        (Signal::INT, LargeLayer::Zeros),
        (Signal::TERM, LargeLayer::Zeros),
        (Signal::INT, LargeLayer::SkippedFrames),
    ] {
        write_large_image(&archive, contents);
        let mut import = interruptible_import();
        import.arg("x").arg(&archive).arg("--data-dir").arg(data.path());
        let import = import.stderr(Stdio::piped()).spawn().expect("the binary starts");
        eventually("the import is at work", || (!images(data.path()).is_empty()).then_some(()));
        kill_process(Pid::from_child(&import), signal).expect("the import runs");
        let output = import.wait_with_output().expect("a child");
        let error = String::from_utf8_lossy(&output.stderr);
        // Without the signal, the import would find at the end of the layer that its digest is wrong.
        assert!(output.status.code() == Some(1) && error.contains("(interrupted)"), "{error}");
        assert!(images(data.path()).is_empty(), "{:?}", images(data.path()));
    }
    assert!(!data.path().join("runtimes").exists());
}

#[test]
fn a_full_disk_leaves_nothing_of_an_import() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("image.tar");
    let layer = Layer::default().file("file", 0o644, &vec![1; 6 << 20]);
    write_image(&archive, Form::Oci, Packing::Gzip, &json!({"Cmd": ["x"]}), vec![layer]);
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    // The disk is a file system of 4 MiB in a mount namespace of its own.
    let script = r#"mount -t tmpfs -o size=4m tmpfs "$2" && "$1" runtimes import x "$3" --data-dir "$2"; echo "$?"; ls -A "$2" "$2/images""#;
    let user: &[&str] = if is_root() { &[] } else { &["--user", "--map-root-user"] };
    let output = Command::new("unshare")
        .args(user)
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(binary())
        .args([&data, &archive])
        .env("LIVECODE_DISK_MIN_FREE_BYTES", "0")
        .output()
        .expect("unshare starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let (stdout, data) = (String::from_utf8_lossy(&output.stdout), data.display());
    assert_eq!(stdout, format!("1\n{data}:\nimages\n\n{data}/images:\n.lock\n"), "{stderr}");
    assert!(stderr.contains("disk_full"), "{stderr}");
}

#[test]
fn an_import_leaves_free_inodes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, archive) = (folder.path().join("data"), folder.path().join("image.tar"));
    fs::create_dir(&data).expect("a folder");
    // Of 2,100 inodes, a twentieth is left: the import looks at them while it writes, and at its end.
    let script = r#"mount -t tmpfs -o size=64m,nr_inodes=2100 tmpfs "$2" && "$1" runtimes import x "$3" --data-dir "$2"; echo "$?"; ls -A "$2/images""#;
    let user: &[&str] = if is_root() { &[] } else { &["--user", "--map-root-user"] };
    for count in [1990, 5000] {
        let add = |layer: Layer, index| layer.file(&format!("a/{index}"), 0o644, b"");
        let layer = (0..count).fold(Layer::default(), add);
        write_image(&archive, Form::Oci, Packing::Gzip, &json!({"Cmd": ["x"]}), vec![layer]);
        let output = Command::new("unshare")
            .args(user)
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(binary())
            .args([&data, &archive])
            .env("LIVECODE_DISK_MIN_FREE_BYTES", "0")
            .output()
            .expect("unshare starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n.lock\n", "{count}: {stderr}");
        assert!(stderr.contains("105 must stay free") && stderr.contains("disk_full"), "{count}: {stderr}");
    }
}

/// The image of a Debian with Python and C: made here by debootstrap and umoci, as root, or brought
/// along by `scripts/test`.
fn debian() -> PathBuf {
    match std::env::var_os("DEBIAN_IMAGE") {
        Some(path) => path.into(),
        None => script("debian-image", &["python3", "gcc", "libc6-dev"]),
    }
}

/// The commands of the document that import an image, without `livecode runtimes`.
fn documented_imports() -> Vec<String> {
    let text = document("docs/runtimes.md");
    let section = text.split("## An image as a runtime\n").nth(1).expect("the section exists");
    let block = blocks(section, "text").into_iter().next().expect("a block of commands");
    let commands = block.lines().map(|line| line.strip_prefix("livecode runtimes ").expect(line).to_owned());
    commands.filter(|command| command.starts_with("import ")).collect()
}

/// A server with the runtimes `python@debian` and `c@debian`, made as the document says.
fn debian_server() -> Server {
    let server = Server::start();
    let image = debian().to_str().expect("text").to_owned();
    for command in documented_imports() {
        let words: Vec<_> =
            command.split(' ').map(|word| if word == "debian.tar" { &*image } else { word }).collect();
        succeed(server.data(), &words);
    }
    reload(&server);
    server
}

#[test]
fn python_and_c_run_in_an_image_of_debian() {
    let server = debian_server();
    let code = r#"
import livecode, os, sys
assert os.path.exists("/var/lib/dpkg/status") # which programs do not see of the machine itself
livecode.send({"msgtype": "hello"})
name = input("name? ")
print(name, os.getcwd(), sys.executable, open("/etc/debian_version").read() != "", os.listdir("/home"))
print("late")
input()
"#;
    let mut stream = server.stream(&server.create_id("python@debian", code), "");
    // Neither the message nor the prompt is held back. They come by two channels, in any order.
    let (mut has_greeted, mut output) = (false, String::new());
    while !has_greeted || output != "name? " {
        let message = stream.next().expect("the program waits");
        has_greeted |= message["msgtype"] == "hello";
        output += message["data"].as_str().unwrap_or_default();
    }
    stream.send(&json!({"msgtype": "input", "data": "Ada\n"}));
    stream.read_until("late\n"); // nor is a line, although the program goes on
    stream.send(&json!({"msgtype": "input", "data": "\n"}));
    assert_eq!(Run::collect(stream).exitstatus, 0);

    let code = r#"
#include <stdio.h>
#include <unistd.h>
int main(void) {
    printf("%d\n", access("/var/lib/dpkg/status", F_OK));
    printf("prompt? ");
    char line[8];
    return fgets(line, sizeof line, stdin) ? 7 : 1;
}
"#;
    for compiled in ["fresh", "cached"] {
        let session = server.create(&json!({"runtime": "c@debian", "code": code}));
        let mut stream = server.stream(&id(&session), "");
        stream.read_until("0\nprompt? ");
        stream.send(&json!({"msgtype": "input", "data": "x\n"}));
        assert_eq!(Run::collect(stream).exitstatus, 7);
        let session = server.get(&format!("/sessions/{}", id(&session))).json();
        assert_eq!(session["compiled"], compiled, "{session}");
    }
    // An error is shown with the pupil's own file and line.
    let run = server.run_code("python@debian", "\n1 / 0");
    assert!(run.exitstatus == 1 && run.stderr.contains("main.py\", line 2"), "{run:?}");
}

/// Programs of the attack suite that need nothing but Python and C. `scripts/attacks --image` runs
/// the whole suite in an image.
const ATTACKS: [(&str, &str); 14] = [
    ("r07_network", include_str!("../attacks/programs/r07_network.py")),
    ("r09_descriptors", include_str!("../attacks/programs/r09_descriptors.py")),
    ("r10_executables", include_str!("../attacks/programs/r10_executables.py")),
    ("r11_proc", include_str!("../attacks/programs/r11_proc.py")),
    ("r12_namespaces", include_str!("../attacks/programs/r12_namespaces.py")),
    ("r13_io_uring", include_str!("../attacks/programs/r13_io_uring.py")),
    ("r14_calls", include_str!("../attacks/programs/r14_calls.py")),
    ("r14_int80", include_str!("../attacks/programs/r14_int80.py")),
    ("r15_privileges", include_str!("../attacks/programs/r15_privileges.py")),
    ("r16_cgroup", include_str!("../attacks/programs/r16_cgroup.py")),
    ("r20_state", include_str!("../attacks/programs/r20_state.py")),
    ("x_devices", include_str!("../attacks/programs/x_devices.py")),
    ("x_init", include_str!("../attacks/programs/x_init.py")),
    ("x_scheduling", include_str!("../attacks/programs/x_scheduling.py")),
];

#[test]
fn attacks_hold_in_an_image() {
    let server = debian_server();
    for (name, code) in ATTACKS {
        let attack = include_str!("../attacks/programs/attack.py");
        let files = json!([{"filename": "attack.py", "contents": attack}]);
        let port = server.address().rsplit(':').next().expect("a port");
        let args = if name == "r20_state" { json!([server.data()]) } else { json!([port]) };
        let request = json!({"runtime": "python@debian", "code": code, "files": files, "args": args});
        let run = server.run(&request);
        assert!(run.stdout == "held\n" && run.stderr.is_empty() && run.exitstatus == 0, "{name}: {run:?}");
    }
}
