//! A list of uses of the command line, each a script as a person would type it, tried on a server
//! directly and through a real proxy with TLS.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::common::{
    Server, binary,
    proxy::{Authority, Proxy, free_port},
};

/// A use: its name, the script for bash, the exit status, the exact standard output, and texts
/// that standard error must contain.
///
/// In a script `lc` is the binary. The working folder has the files of [`prepare`].
type Use = (&'static str, &'static str, i32, &'static str, &'static [&'static str]);

const USES: &[Use] = &[
    ("a program", "lc run hello.py", 0, "hello\n", &[]),
    ("an exit status", "lc run exit.py", 7, "", &[]),
    ("arguments", "lc run args.py -- a '-b c'", 0, "['a', '-b c']\n", &[]),
    ("piped input", "echo Ada | lc run greet.py", 0, "name? hello Ada\n", &[]),
    ("input from a file", "lc run greet.py < names.txt", 0, "name? hello Grace\n", &[]),
    ("no input", "lc run greet.py < /dev/null; true", 0, "name? ", &["EOFError"]),
    ("in a pipeline", "seq 5 | lc run sum.py | tr 1 x", 0, "x5\n", &[]),
    ("a pipeline's status", "set -o pipefail; seq 1 | lc run exit.py | cat", 7, "", &[]),
    ("the reader leaves", "set +o pipefail; lc run endless.py | head -n 1", 0, "line\n", &[]),
    ("errors apart", "lc run both.py 2> errors > /dev/null; cat errors", 0, "err\n", &[]),
    ("errors together", "lc run both.py 2>&1 | sort", 0, "err\nout\n", &[]),
    ("closed standard error", "lc run both.py 2>&-", 0, "out\n", &[]),
    (
        "bytes",
        "head -c 300000 /dev/zero | lc run cat.sh | sha1sum",
        0,
        "bae46700642c33ce9dbb4d78445eb61e8231b56e  -\n",
        &[],
    ),
    ("the first file with an extension", "lc run hello.js", 0, "js\n", &[]),
    ("a runtime by name", "lc run -r python other.xyz", 0, "other\n", &[]),
    ("a runtime by alias", "lc run --runtime py other.xyz", 0, "other\n", &[]),
    ("an unknown extension", "lc run other.xyz", 2, "", &["no runtime is known for other.xyz", "--runtime"]),
    ("an unknown runtime", "lc run -r cobol hello.py", 125, "", &["cobol"]),
    ("a #! line", "lc run script", 0, "by its first line\n", &[]),
    ("a #! line with env", "lc run script2", 0, "env\n", &[]),
    ("a program from standard input", "echo 'print(6 * 7)' | lc run -r python -", 0, "42\n", &[]),
    ("a #! line on standard input", "printf '#!/bin/sh\\necho sh\\n' | lc run -", 0, "sh\n", &[]),
    (
        "a program from standard input has no input",
        "echo 'print(repr(input()))' | lc run -r python -; true",
        0,
        "",
        &["EOFError"],
    ),
    ("standard input without a runtime", "echo x | lc run -", 2, "", &["standard input", "--runtime"]),
    ("a C program of several files", "lc run c/main.c --file c/util.c --file c/util.h", 0, "util 42\n", &[]),
    (
        "the main file has another name",
        "lc run c/start.c --file c/util.c --file c/util.h",
        0,
        "start 42\n",
        &[],
    ),
    ("a folder", "lc run c2", 0, "util 42\n", &[]),
    ("a folder with a slash", "lc run ./project/", 0, "main\nhelper\n", &[]),
    ("a folder with one source", "lc run single", 0, "single\n", &[]),
    ("a folder with arguments", "lc run project -- x", 0, "main\nhelper\n", &[]),
    ("a folder's files", "lc run listing", 0, "['a.txt', 'main.py', 'sub']\n", &[]),
    (
        "a folder with a further file",
        "lc run listing --file names.txt",
        0,
        "['a.txt', 'main.py', 'names.txt', 'sub']\n",
        &[],
    ),
    (
        "a folder whose main file is not clear",
        "lc run unclear",
        2,
        "",
        &["which file", "main.py", "--runtime"],
    ),
    ("a folder by its runtime", "lc run -r javascript unclear", 0, "js\n", &[]),
    ("an empty folder", "lc run empty", 2, "", &["no files"]),
    (
        "a folder with too many files",
        "mkdir many; (cd many; touch $(seq 1 1001)); lc run many",
        2,
        "",
        &["1000 files", ".gitignore"],
    ),
    ("a folder as a file", "lc run hello.py --file empty", 2, "", &["is a folder"]),
    ("data beside the program", "lc run cat.py --file names.txt", 0, "Grace\n", &[]),
    ("no such file", "lc run nothing.py", 2, "", &["nothing.py"]),
    ("no program", "lc run", 2, "", &["PROGRAM"]),
    ("an environment", "lc run env.py --env A=1 --env 'B=x y'", 0, "1 x y\n", &[]),
    ("a bad variable", "lc run env.py --env A", 2, "", &["NAME=VALUE"]),
    ("a limit", "lc run sleep.py --timeout 300", 124, "", &["timeout", "longer than 300 milliseconds"]),
    ("a limit that cannot be", "lc run hello.py --memory-bytes 999999999999", 125, "", &["memory_bytes"]),
    ("messages", "lc run --messages message.sh", 0, "{\"msgtype\":\"mine\",\"n\":1,\"seq\":1}\nend\n", &[]),
    (
        "an id on standard error",
        "lc run -v hello.py 2> id; grep -c '^livecode: session [0-9a-f]\\{32\\}$' id",
        0,
        "hello\n1\n",
        &[],
    ),
    ("detached", "id=$(lc run -d hello.py < /dev/null); lc attach $id", 0, "hello\n", &[]),
    ("detached with input", "id=$(echo 5 | lc run -d double.py); lc attach $id", 0, "10\n", &[]),
    (
        "detached with much input",
        "id=$(seq 200000 | lc run -d sum.py); lc attach $id",
        0,
        "20000100000\n",
        &[],
    ),
    (
        "detached, then input",
        "id=$(lc run -d greet.py < /dev/null); echo Ada | lc attach -i $id",
        0,
        "name? hello Ada\n",
        &[],
    ),
    (
        "the first digits of an id",
        "id=$(lc run -d hello.py < /dev/null); lc attach ${id:0:12}",
        0,
        "hello\n",
        &[],
    ),
    ("an id that nobody has", "lc attach 0123456789abcdef", 125, "", &["no session", "livecode ls"]),
    ("a whole id that nobody has", "lc attach 0123456789abcdef0123456789abcdef", 125, "", &["no session"]),
    ("an id that cannot be", "lc attach zzz", 2, "", &["32 hexadecimal digits"]),
    (
        "digits that several ids have",
        "for n in $(seq 17); do lc run -d hello.py < /dev/null; done > ids; \
      lc rm $(cut -c 1 ids | sort | uniq -d | head -n 1); code=$?; lc rm $(cat ids); exit $code",
        1,
        "",
        &["sessions begin with", "give more digits"],
    ),
    (
        "only what follows",
        "id=$(lc run -d both.py < /dev/null); lc attach $id > /dev/null 2>&1; lc attach --after 9 $id",
        0,
        "",
        &[],
    ),
    ("a list", "id=$(lc run -d hello.py < /dev/null); lc ls | grep -c \"^$id .*python\"", 0, "1\n", &[]),
    ("a list of ids", "id=$(lc run -d hello.py < /dev/null); lc ls -q | grep -cx $id", 0, "1\n", &[]),
    (
        "a list as JSON",
        "id=$(lc run -d hello.py < /dev/null); lc ls --json | jq -r '.[0].id' | grep -cx $id",
        0,
        "1\n",
        &[],
    ),
    (
        "removed",
        "id=$(lc run -d sleep.py < /dev/null); lc rm ${id:0:16}; lc attach $id",
        125,
        "",
        &["no session"],
    ),
    (
        "removed twice",
        "id=$(lc run -d hello.py < /dev/null); lc rm $id; lc rm $id",
        1,
        "",
        &["no such session"],
    ),
    ("all removed", "lc rm $(lc ls -q); lc ls -q", 0, "", &[]),
    (
        "runtimes",
        "lc runtimes | grep -c '^python, '; lc runtimes --json | jq -r '.[0].name'",
        0,
        "1\npython\n",
        &[],
    ),
    (
        "Ctrl-C",
        "set -m; lc run wait.py > out & p=$!; await ready out; kill -INT $p; wait $p; code=$?; cat out; exit $code",
        9,
        "ready\ninterrupted\n",
        &[],
    ),
    ("SIGTERM", "lc run wait.py > out & p=$!; await ready out; kill $p; wait $p", 143, "", &[]),
    (
        "SIGHUP leaves the program",
        "set -m; lc run -v wait.py > out 2> notes & p=$!; await ready out; kill -HUP $p; wait $p; \
      code=$?; lc rm $(sed -n 's/.*session //p' notes) && exit $code",
        129,
        "",
        &[],
    ),
    (
        "nohup",
        "nohup lc run wait.py > out 2> notes < /dev/null & p=$!; await ready out; kill -HUP $p; kill -TERM $p; wait $p",
        143,
        "",
        &[],
    ),
    ("help", "lc run --help | grep -c reconnect-timeout", 0, "1\n", &[]),
    ("an unknown command", "lc frobnicate", 2, "", &["frobnicate"]),
    ("an unknown flag", "lc run --frobnicate hello.py", 2, "", &["--frobnicate"]),
    ("a URL without a scheme", "lc ls --server 127.0.0.1:8000", 2, "", &["http://127.0.0.1:8000"]),
    ("a URL of another scheme", "lc ls --server ftp://127.0.0.1", 2, "", &["ftp://", "https://"]),
    ("a URL with a query", "lc ls --server 'http://127.0.0.1/?a'", 2, "", &["query"]),
    ("a wrong path", "lc ls --server $LIVECODE_SERVER/nowhere", 1, "", &["no resource at /nowhere/sessions"]),
    ("nobody there", "lc run hello.py --server http://127.0.0.1:1", 125, "", &["livecode serve", "--server"]),
];

/// Writes the files that the scripts use.
fn prepare(folder: &Path) {
    let files = [
        ("hello.py", "print('hello')"),
        ("exit.py", "raise SystemExit(7)"),
        ("args.py", "import sys; print(sys.argv[1:])"),
        ("greet.py", "name = input('name? ')\nprint('hello', name)"),
        ("double.py", "print(int(input()) * 2)"),
        ("cases.json", "[{\"stdin\": \"2\", \"expected\": \"4\"}]"),
        ("plot.py", "import os; os.mkdir('plots'); open('plots/a.csv', 'w').write('1,2')"),
        ("names.txt", "Grace\n"),
        ("sum.py", "import sys; print(sum(map(int, sys.stdin)))"),
        ("endless.py", "while True: print('line')"),
        ("both.py", "import sys; print('out'); print('err', file=sys.stderr)"),
        ("cat.sh", "cat"),
        ("cat.py", "print(open('names.txt').read(), end='')"),
        ("hello.js", "console.log('js')"),
        ("other.xyz", "print('other')"),
        ("script", "#!/usr/bin/python3\nprint('by its first line')"),
        ("script2", "#!/usr/bin/env -S node --no-warnings\nconsole.log('env')"),
        ("env.py", "import os; print(os.environ['A'], os.environ['B'])"),
        ("sleep.py", "import time; time.sleep(60)"),
        ("message.sh", "echo '--MSG-- {\"msgtype\":\"mine\",\"n\":1}'\necho end"),
        (
            "wait.py",
            "import time\ntry: print('ready'); time.sleep(60)\nexcept KeyboardInterrupt: print('interrupted'); raise SystemExit(9)",
        ),
        (
            "stubborn.py",
            "import os, signal, time\nsignal.signal(signal.SIGINT, lambda *_: os.write(1, b'no\\n'))\nprint('ready')\nwhile True: time.sleep(1)",
        ),
        (
            "c/main.c",
            "#include <stdio.h>\n#include \"util.h\"\nint main(void) { printf(\"util %d\\n\", util()); }",
        ),
        (
            "c/start.c",
            "#include <stdio.h>\n#include \"util.h\"\nint main(void) { printf(\"start %d\\n\", util()); }",
        ),
        ("c/util.c", "#include \"util.h\"\nint util(void) { return 42; }"),
        ("c/util.h", "int util(void);"),
        (
            "c2/main.c",
            "#include <stdio.h>\n#include \"util.h\"\nint main(void) { printf(\"util %d\\n\", util()); }",
        ),
        ("c2/util.c", "#include \"util.h\"\nint util(void) { return 42; }"),
        ("c2/util.h", "int util(void);"),
        ("project/main.py", "import helper\nprint('main')\nhelper.help()"),
        ("project/helper.py", "def help(): print('helper')"),
        ("project/.gitignore", "*.log\n"),
        ("project/x.log", "not sent"),
        ("single/start.py", "print('single')"),
        ("listing/main.py", "import os; print(sorted(os.listdir()))"),
        ("listing/a.txt", "a"),
        ("listing/b.log", "b"),
        ("listing/.hidden", "c"),
        ("listing/.gitignore", "*.log\nbuild/\n"),
        ("listing/build/x", "d"),
        ("listing/sub/y", "e"),
        ("unclear/main.py", "print('py')"),
        ("unclear/main.js", "console.log('js')"),
    ];
    fs::create_dir(folder.join("empty")).expect("a folder");
    for (name, contents) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, contents).expect("the file can be written");
    }
    let bin = folder.join("bin");
    fs::create_dir(&bin).expect("a folder");
    std::os::unix::fs::symlink(binary(), bin.join("lc")).expect("a link");
}

/// Defined before each script: waits until a file contains a text.
const AWAIT: &str = "await() { until grep -qs -- \"$1\" \"$2\"; do read -t 0.02 <> <(:) || true; done; }\n";

/// Runs a script in `folder`, with a configuration folder of its own in it.
fn run_script(
    folder: &Path,
    server: &str,
    authority: Option<&Authority>,
    script: &str,
) -> std::process::Output {
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    // This process may have been started with signals ignored, as by nohup(1).
    let mut command = Command::new("env");
    command
        .args(["--default-signal", "bash", "-c"])
        .arg(format!("{AWAIT}{script}"))
        .current_dir(folder)
        .env("PATH", path);
    command.env("LIVECODE_SERVER", server).env("XDG_CONFIG_HOME", folder.join("configuration"));
    if let Some(authority) = authority {
        command.env("LIVECODE_CA_FILE", authority.certificate());
    }
    command.stdin(Stdio::null()).output().expect("bash is installed")
}

fn try_all(server: &str, authority: Option<&Authority>) {
    let mut failures = String::new();
    for (name, script, status, stdout, stderr) in USES {
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        prepare(folder.path());
        let output = run_script(folder.path(), server, authority, script);
        let errors = String::from_utf8_lossy(&output.stderr);
        let is_right = output.status.code() == Some(*status)
            && String::from_utf8_lossy(&output.stdout) == *stdout
            && stderr.iter().all(|text| errors.contains(text));
        if !is_right {
            failures += &format!("{name}: {script}\n    {output:?}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn uses_on_a_server_of_this_machine() {
    let server = Server::start();
    try_all(&server.url(""), None);
}

#[test]
fn uses_through_nginx_with_tls() {
    let server = Server::start_with(&["--trusted-proxy", "127.0.0.1", "--allow-anonymous"]);
    let authority = Authority::new();
    let proxy = Proxy::nginx(server.address(), &authority, "server");
    try_all(&proxy.url(""), Some(&authority));
}

#[test]
fn a_guests_token_is_kept_for_its_server() {
    let server = Server::start_with(&["--trusted-proxy", "127.0.0.1", "--allow-anonymous"]);
    let authority = Authority::new();
    let proxy = Proxy::nginx(server.address(), &authority, "server");
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    prepare(folder.path());
    let script = "lc ls -q; for n in 1 2 3 4; do lc run -d hello.py < /dev/null & done > ids; wait; \
                  diff <(sort ids) <(lc ls -q | sort) && wc -l < ids";
    let output = run_script(folder.path(), &proxy.url(""), Some(&authority), script);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "4\n", "{output:?}");
    let tokens = folder.path().join("configuration/livecode/tokens.json");
    assert_eq!(fs::metadata(&tokens).expect("the file of tokens").permissions().mode() & 0o777, 0o600);
    let kept: serde_json::Value =
        serde_json::from_slice(&fs::read(&tokens).expect("the file")).expect("JSON");
    let token = kept[proxy.url("")].as_str().expect("a token for this server");
    assert!(token.len() == 32 && kept.as_object().is_some_and(|kept| kept.len() == 1), "{kept}");

    fs::write(&tokens, "{").expect("the file can be written");
    let damaged = run_script(folder.path(), &proxy.url(""), Some(&authority), "lc ls");
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("tokens.json is damaged"), "{damaged:?}");
    // The local user has no token, and needs none.
    let server = Server::start();
    let local = run_script(
        folder.path(),
        &server.url(""),
        None,
        "rm configuration/livecode/*; lc run hello.py; ls configuration/livecode",
    );
    assert_eq!(String::from_utf8_lossy(&local.stdout), "hello\n", "{local:?}");
}

#[test]
fn certificates_that_are_not_trusted_are_named() {
    let server = Server::start_with(&["--trusted-proxy", "127.0.0.1", "--allow-anonymous"]);
    let authority = Authority::new();
    authority.sign("other", "DNS:elsewhere.example", 2);
    authority.sign("expired", "IP:127.0.0.1", -1);
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    prepare(folder.path());
    for (certificate, trusted, words) in [
        ("server", None, "--ca-file"),
        ("other", Some(&authority), "another host"),
        ("expired", Some(&authority), "expired"),
    ] {
        let proxy = Proxy::nginx(server.address(), &authority, certificate);
        let output = run_script(folder.path(), &proxy.url(""), trusted, "lc run hello.py");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(125) && errors.contains("not trusted"),
            "{certificate}: {output:?}"
        );
        assert!(errors.contains(words), "{certificate}: {errors}");
        assert!(!errors.contains("livecode serve"), "a server does answer: {errors}");
    }
    let proxy = Proxy::nginx(server.address(), &authority, "server");
    let by_variable = format!("SSL_CERT_FILE={} lc run hello.py", authority.certificate().display());
    let output = run_script(folder.path(), &proxy.url(""), None, &by_variable);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n", "{output:?}");
    for (file, words) in [("nothing.pem", "nothing.pem"), ("hello.py", "no certificate")] {
        let output = run_script(folder.path(), &proxy.url(""), None, &format!("lc ls --ca-file {file}"));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{output:?}");
    }
    let plain = format!("lc ls --server https://{}", server.address());
    let output = run_script(folder.path(), "", Some(&authority), &plain);
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not speak TLS"), "{output:?}");
}

#[test]
fn a_server_of_another_kind_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    prepare(folder.path());
    for (answer, words) in [
        (
            "200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            "not from a LiveCode server",
        ),
        ("404 Not Found\r\nContent-Length: 2\r\n\r\nno", "no LiveCode server"),
        ("502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "reaches no LiveCode server"),
        (
            "301 Moved\r\nLocation: https://live.example/sessions\r\nContent-Length: 0\r\n\r\n",
            "--server https://live.example\n",
        ),
        ("401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "name and password"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a bound address");
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client connects");
            let mut head = [0; 4096];
            let length = stream.read(&mut head).expect("a request");
            stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).expect("the client reads");
            String::from_utf8_lossy(&head[..length]).into_owned()
        });
        // Credentials of the URL go with the request, and are not printed.
        let url = format!("http://pupil:secret@{address}");
        let output = run_script(folder.path(), &url, None, "lc ls");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains(words) && !errors.contains("secret"), "{answer}: {errors}");
        let request = serving.join().expect("the thread does not panic").to_lowercase();
        assert!(
            request.contains("authorization: basic chvwawW6c2vjcmv0".to_lowercase().as_str()),
            "{request}"
        );
    }
}

#[test]
fn signals_end_the_command_while_the_server_is_away() {
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        prepare(folder.path());
        let mut server = Server::start();
        let script = format!(
            "set -m; lc run -v wait.py > out 2> notes & p=$!; await ready out; kill -9 {}; await 'reconnecting, 2nd try' notes; \
             kill -{signal} $p; wait $p; code=$?; cat notes; exit $code",
            server.pid()
        );
        let output = run_script(folder.path(), &server.url(""), None, &script);
        assert_eq!(output.status.code(), Some(status), "{signal}: {output:?}");
        let notes = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(notes.contains("Ctrl-C leaves") && notes.contains("livecode attach"), "{notes}");
        server.kill();
        server.start_again();
        // The words that were printed lead back to the program.
        let attach =
            notes.lines().find_map(|line| line.split_once("livecode attach ")).expect("how to attach").1;
        let back = run_script(
            folder.path(),
            "",
            None,
            &format!("set -m; lc attach {attach} > out2 & p=$!; await ready out2; kill $p; wait $p"),
        );
        assert_eq!(back.status.code(), Some(143), "{back:?}");
    }
}

#[test]
fn the_time_without_a_server_can_be_bounded() {
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    prepare(folder.path());
    let mut server = Server::start();
    let script = format!(
        "lc run --quiet --reconnect-timeout 700 wait.py > out 2> notes & p=$!; await ready out; kill -9 {}; wait $p; code=$?; \
         cat notes; exit $code",
        server.pid()
    );
    let output = run_script(folder.path(), &server.url(""), None, &script);
    let notes = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(notes.contains("out of reach") && notes.contains("livecode attach"), "{notes}");
    assert_eq!(notes.lines().count(), 1, "--quiet leaves out the notes: {notes}");
    server.kill();
    server.start_again();
    let never = format!(
        "lc attach --reconnect-timeout 100 --server http://127.0.0.1:{} {}",
        free_port(),
        "0".repeat(32)
    );
    let output = run_script(folder.path(), "", None, &never);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
}

#[test]
fn the_examples_of_the_page_work() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    prepare(folder.path());
    let page = crate::docs::document("docs/command-line.md");
    let examples: Vec<_> =
        page.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("\n```")).collect();
    assert!(examples.len() >= 6, "the page has examples");
    for (example, _) in examples {
        let script = format!("set -e; livecode() {{ lc \"$@\"; }}; {example}");
        let output = run_script(folder.path(), &server.url(""), None, &script);
        assert!(output.status.success(), "{example}: {output:?}");
    }
}
