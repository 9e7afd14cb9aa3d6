//! Rows about files: their names, links, and what a session leaves behind.

use std::{fs, io, os::unix::fs::MetadataExt as _, time::Instant};

use serde_json::{Value, json};

use crate::{
    attack::{Attack, Method, Verdict, attack},
    common::{Run, binary, id},
    fixture::{Fixture, assert_held, ms},
    machine::{Hash, assert_gone, mark, session_folder},
};

pub fn attacks() -> Vec<Attack> {
    use Method::{Check, Python};
    vec![
        attack(1, "a link where the server reads a file of the session", Check(result_links)),
        attack(2, "a link where the server writes the next file", Check(planted_links)),
        attack(3, "a link against chown and cleanup", Check(cleanup)),
        attack(4, "a FIFO, socket or device as an output file", Check(result_devices)),
        attack(5, "file names that lead elsewhere", Check(file_names)),
        attack(6, "arguments that a shell would read", Check(arguments)),
        attack(8, "attack inside the compiler", Check(compiler)),
        attack(9, "descriptors, and where they lead", Python(include_str!("programs/r09_descriptors.py"))),
        attack(10, "write to what init executes", Python(include_str!("programs/r10_executables.py"))),
        attack(20, "read the state directory", Check(state_directory)),
        attack(36, "a file that grows when it is copied (no route takes archives)", Check(result_bomb)),
    ]
}

/// A file of the host that a program tries to change.
struct Canary {
    folder: tempfile::TempDir,
    /// The file's content, owner, group and mode before the attack.
    before: (Hash, u32, u32, u32),
}

impl Canary {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("canary"), "alive").expect("a file");
        let before = Self::inspect(folder.path());
        Self { folder, before }
    }

    /// The content's hash, the owner, the group and the mode.
    fn inspect(folder: &std::path::Path) -> (Hash, u32, u32, u32) {
        let path = folder.join("canary");
        let metadata = fs::metadata(&path).expect("the canary exists");
        (Hash::of(&path), metadata.uid(), metadata.gid(), metadata.mode())
    }

    fn path(&self) -> String {
        self.folder.path().join("canary").display().to_string()
    }

    fn assert_unchanged(&self) {
        assert_eq!(Self::inspect(self.folder.path()), self.before);
    }
}

/// A program creates links under every name that the next session's files, compiler or runtime
/// write.
fn planted_links(fixture: &Fixture) -> Verdict {
    let canary = Canary::new();
    let plant = format!(
        "import os\nfor folder in ('/code', '/tmp', '/dev/shm'):\n    for name in ('main.py', 'main.c', 'next', 'program', 'stdin', 'journal'):\n        \
         try: os.unlink(f'{{folder}}/{{name}}')\n        except OSError: pass\n        os.symlink('{}', f'{{folder}}/{{name}}')\nprint('held')",
        canary.path()
    );
    assert_held(&fixture.run("python", &plant, json!({})).0);
    let files =
        json!([{"filename": "next", "contents": "overwritten"}, {"filename": "d/next", "contents": "x"}]);
    let run = fixture.server.run(&json!({"runtime": "bash", "code": "cat next d/next", "files": files}));
    assert_eq!(run.stdout, "overwrittenx");
    // Within one request, no file may have the name of another file's folder.
    let clash = json!([{"filename": "a", "contents": "x"}, {"filename": "a/b", "contents": "y"}]);
    let answer = fixture.server.post("/sessions", &json!({"runtime": "bash", "code": "", "files": clash}));
    assert_eq!(answer.status, 422, "{}", answer.text());
    canary.assert_unchanged();
    Verdict::Holds
}

/// The cleanup of a session's files follows no link and needs no permission of the program.
fn cleanup(fixture: &Fixture) -> Verdict {
    let canary = Canary::new();
    let code = format!(
        "import os\nos.symlink('{0}', 'link')\nos.symlink('/', 'all')\nos.makedirs('a/b/c')\nos.symlink('{0}', 'a/b/c/d')\n\
         os.chmod('a/b', 0)\nos.mkfifo('fifo')\nos.mkdir('x' * 255)\nos.symlink('..', 'up')\nos.chmod('.', 0)\nprint('held')",
        canary.path()
    );
    let session = fixture.start("python", &code, json!({}));
    assert_held(&Run::collect(fixture.server.stream(&id(&session), "")));
    assert_eq!(fixture.server.delete(&format!("/sessions/{}", id(&session))).status, 204);
    assert!(!session_folder(&fixture.server, &id(&session)).exists());
    canary.assert_unchanged();
    Verdict::Holds
}

/// Runs a program that leaves files, and `good.txt` among them. Returns the list of what was taken
/// and the contents that are kept, all in one.
fn collect(fixture: &Fixture, code: &str, patterns: &Value) -> (Value, Vec<u8>) {
    let session = fixture.start("python", code, json!({"collect": patterns}));
    assert_held(&Run::collect(fixture.server.stream(&id(&session), "")));
    let list = fixture.server.get(&format!("/sessions/{}/files", id(&session))).json();
    let kept = fs::read(session_folder(&fixture.server, &id(&session)).join("results"));
    let kept = match kept {
        Err(error) if error.kind() == io::ErrorKind::NotFound => vec![], // nothing was taken
        other => other.expect("the contents"),
    };
    (list, kept)
}

/// Links at the end and in the middle of what the server reads lead nowhere.
fn result_links(fixture: &Fixture) -> Verdict {
    let canary = Canary::new();
    let code = format!(
        "import os\nopen('good.txt', 'w').write('good')\nos.makedirs('a/b')\n\
         for name, target in [('final.txt', '{canary}'), ('passwd.txt', '/etc/passwd'), ('dangling.txt', '/none'),\n\
                 ('a/b/up.txt', '../../good.txt'), ('middle', '/etc'), ('a/middle', '/proc/1/root/etc'), ('self', '.'),\n\
                 ('fd.txt', '/proc/self/fd/0'), ('loop.txt', 'loop.txt')]:\n    os.symlink(target, name)\n\
         os.link('good.txt', 'a/hard.txt')\nos.rename('a/hard.txt', 'a/hard.txt')\nprint('held')",
        canary = canary.path()
    );
    let patterns = json!([
        "*.txt",
        "a/b/*",
        "a/*.txt",
        "middle/passwd",
        "*/passwd",
        "a/middle/*",
        "self/good.txt",
        "self/*/b/*",
    ]);
    let (list, kept) = collect(fixture, &code, &patterns);
    assert_eq!((list["files"].as_array().map(Vec::len), kept.len()), (Some(0), 0), "{list}");
    let refused = list["refused"].as_array().expect("a list").len();
    assert_eq!((refused, &list["complete"]), (8, &json!(true)), "{list}");
    canary.assert_unchanged();
    Verdict::Holds
}

/// A named pipe without a writer does not block whoever takes the files, and no device is opened.
fn result_devices(fixture: &Fixture) -> Verdict {
    let code = "import os, socket\nopen('good.txt', 'w').write('good')\nos.mkfifo('fifo.txt')\n\
                os.mkdir('folder.txt')\n\
                def attempt(make):\n    try: make()\n    except OSError: pass\n\
                attempt(lambda: socket.socket(socket.AF_UNIX).bind('socket.txt'))\n\
                attempt(lambda: os.mknod('device.txt', 0o20666, os.makedev(1, 5)))\n\
                attempt(lambda: os.symlink('/dev/zero', 'zero.txt'))\nprint('held')";
    let started = Instant::now();
    let (list, kept) = collect(fixture, code, &json!(["*.txt"]));
    let took = started.elapsed();
    assert_eq!((list["files"][0]["name"].as_str(), &*kept), (Some("good.txt"), &b"good"[..]), "{list}");
    let refused = list["refused"].as_array().expect("a list");
    assert!(refused.len() >= 3 && refused.iter().all(|file| file["reason"] == "not_a_file"), "{list}");
    assert!(took < ms(3000), "{took:?}");
    Verdict::Holds
}

/// A sparse file is not copied beyond what a session may leave.
fn result_bomb(fixture: &Fixture) -> Verdict {
    let code = "import os, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nopen('good.txt', 'w').write('good')\n\
                file = open('bomb.txt', 'wb')\n\
                for size in [1 << 40, 1 << 30, 60 << 20]:\n\
                    \x20   try: file.truncate(size); break\n    except OSError: pass\n\
                for i in range(200):\n    open(f'many{i}.txt', 'wb').truncate(1 << 20)\nprint('held')";
    let (list, kept) = collect(fixture, code, &json!(["good.txt", "bomb.txt", "many*.txt"]));
    assert!(kept.len() <= 16 << 20, "{}", kept.len());
    assert_eq!(list["refused"][0], json!({"name": "bomb.txt", "reason": "too_large"}), "{list}");
    assert!(list["files"].as_array().is_some_and(|files| files.len() == 16), "{list}");
    Verdict::Holds
}

/// File names that lead out of the session's folder, or are malformed, are refused.
fn file_names(fixture: &Fixture) -> Verdict {
    let long = "x".repeat(5000);
    let deep = "a/".repeat(100) + "b";
    let names = [
        "../x",
        "/x",
        "a/../../x",
        "a/./b",
        "./x",
        ".",
        "..",
        "",
        "a//b",
        "a/",
        "a\0b",
        "a\nb",
        "-rf",
        "a/-rf",
        "\r",
        "\u{1b}[2J",
        "/etc/passwd",
        "..\\x/../..",
        &long,
        &deep,
    ];
    for name in names {
        for request in [
            json!({"runtime": "python", "code": "", "files": [{"filename": name, "contents": ""}]}),
            json!({"runtime": "python", "code": "", "code_filename": name}),
        ] {
            let answer = fixture.server.post("/sessions", &request);
            let is_default = name.is_empty() && request["code_filename"].is_string();
            assert!(answer.status == 422 || is_default, "{name:?}: {} {}", answer.status, answer.text());
        }
    }
    Verdict::Holds
}

/// Arguments reach the program unchanged; no shell interprets them.
fn arguments(fixture: &Fixture) -> Verdict {
    let args = ["a b", "$(id)", "`id`", "\\", "\n", "'\"", "*", "--", "-c", "; id", "${HOME}", "~", ""];
    assert_held(&fixture.run("python", include_str!("programs/r06_arguments.py"), json!({"args": args})).0);
    for (field, value) in
        [("args", json!(["a\0b"])), ("command", json!(["\0"])), ("command", json!(["python", "a\0"]))]
    {
        let mut request = json!({"runtime": "python", "code": ""});
        request[field] = value;
        fixture.server.post("/sessions", &request).problem(422);
    }
    Verdict::Holds
}

/// A source makes the compiler read files of the host. The compiler runs in the sandbox, so it
/// finds none.
fn compiler(fixture: &Fixture) -> Verdict {
    let lock = fixture.server.data().join("lock").display().to_string();
    // An image has an /etc/shadow of its own, which is no secret of the machine. It does not have the
    // server's binary.
    let server = binary().display().to_string();
    let shadow = if fixture.column.is_image { &*server } else { "/etc/shadow" };
    assert!(fs::exists(shadow).expect("this machine's file"), "{shadow}");
    for path in [shadow, &lock, "/proc/1/environ", "/proc/1/maps"] {
        let include = format!("#include \"{path}\"\nint main(void) {{ return 0; }}");
        let incbin = format!("__asm__(\".incbin \\\"{path}\\\"\");\nint main(void) {{ return 0; }}");
        for code in [include, incbin] {
            let (run, session) = fixture.run("c", &code, json!({}));
            assert!(run.exitstatus != 0 && run.stderr.contains(path), "{path}: {run:?}");
            let errors = ["No such file", "ermission denied", "file not found", "can't open", "no such"];
            assert!(errors.iter().any(|error| run.stderr.contains(error)), "{path}: {run:?}");
            assert_eq!(session["outcome"], "exited");
        }
    }
    // A time or memory limit ends the compilation of an endless source.
    let mark = mark();
    let endless = json!({"timeout": 3000 * u64::from(crate::fixture::time_scale()), "args": [mark]});
    let (_, session) = fixture.run("c", "#include \"/dev/zero\"\nint main(void) { return 0; }", endless);
    let outcome = session["outcome"].as_str().unwrap_or_default();
    assert!(["timeout", "memory", "exited", "signalled"].contains(&outcome), "{session}");
    assert_ne!(session["exitstatus"], 0);
    assert_gone(&mark, ms(1000));
    Verdict::Holds
}

/// A program cannot reach the server's data directory.
fn state_directory(fixture: &Fixture) -> Verdict {
    let args = json!({"args": [fixture.server.data()]});
    assert_held(&fixture.run("python", include_str!("programs/r20_state.py"), args).0);
    Verdict::Holds
}
