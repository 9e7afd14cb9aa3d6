//! Real programs in every language, with threads, processes and several files, under the seccomp
//! filter that is shipped.

use serde_json::json;

use crate::common::{Server, is_root};

const PROGRAMS: [(&str, &str); 9] = [
    (
        "python",
        "import threading, subprocess\nt = threading.Thread(target=print, args=('thread',))\nt.start(); t.join()\nprint(subprocess.run(['echo', 'process'], capture_output=True, text=True).stdout, end='')",
    ),
    (
        "javascript",
        "const { Worker } = require('worker_threads');\nnew Worker(\"require('fs').writeSync(1, 'thread\\\\n')\", {eval: true}).on('exit', () =>\n  process.stdout.write(require('child_process').execSync('echo process')));",
    ),
    (
        "c",
        "#include <pthread.h>\n#include <stdio.h>\n#include <stdlib.h>\nvoid *run(void *x) { puts(\"thread\"); return x; }\nint main(void) { pthread_t t; pthread_create(&t, 0, run, 0); pthread_join(t, 0); fflush(stdout); return system(\"echo process\"); }",
    ),
    (
        "cpp",
        "#include <cstdlib>\n#include <iostream>\n#include <thread>\nint main() { std::thread([] { std::cout << \"thread\" << std::endl; }).join(); return std::system(\"echo process\"); }",
    ),
    (
        "go",
        "package main\nimport (\"fmt\"; \"os/exec\")\nfunc main() { c := make(chan bool); go func() { fmt.Println(\"thread\"); c <- true }(); <-c; out, err := exec.Command(\"echo\", \"process\").Output(); fmt.Print(string(out)); if err != nil { panic(err) } }",
    ),
    (
        "rust",
        "fn main() { std::thread::spawn(|| println!(\"thread\")).join().unwrap(); let out = std::process::Command::new(\"echo\").arg(\"process\").output().unwrap(); print!(\"{}\", String::from_utf8_lossy(&out.stdout)); }",
    ),
    ("bash", "(echo thread) & wait\n/bin/echo process"),
    (
        "javascript-canvas",
        "import { Worker } from 'worker_threads';\nnew Worker(\"require('fs').writeSync(1, 'thread\\\\n')\", {eval: true}).on('exit', () =>\n  process.stdout.write(require('child_process').execSync('echo process')));",
    ),
    (
        "python-canvas",
        "import threading\nthreading.Thread(target=print, args=('thread',)).start()\nimport os\nos.system('echo process')",
    ),
];

#[test]
fn threads_and_processes_run_in_every_language() {
    let server = Server::start();
    let runtimes = server.get("/runtimes").json();
    for (runtime, code) in PROGRAMS {
        let known = runtimes.as_array().expect("a list").iter().find(|known| known["name"] == runtime);
        if known.expect("a runtime")["available"] == false {
            assert!(!is_root(), "{runtime} is missing");
            // On some machines rustup's toolchain is in root's home, which an ordinary user cannot
            // read.
            continue;
        }
        let run = server.run_code(runtime, code);
        assert_eq!((&*run.stdout, run.exitstatus), ("thread\nprocess\n", 0), "{runtime}: {}", run.stderr);
    }
}

#[test]
fn mypy_reports_a_type_error() {
    let server = Server::start();
    let run = server.run_code("mypy", "def double(n: int) -> int:\n    return 2 * n\n\ndouble('two')\n");
    assert_eq!(run.exitstatus, 1, "{run:?}");
    assert!(run.stdout.contains("main.py:4: error"), "{run:?}");
}

#[test]
fn several_files_are_one_program() {
    let server = Server::start();
    let files = |name: &str, main: &str, other: &str, code: &str| {
        json!({"runtime": name, "files": [{"filename": main.split('|').next(), "contents": main.split('|').nth(1)},
                                           {"filename": other, "contents": code}]})
    };
    let c = files(
        "c",
        "main.c|#include <stdio.h>\nint f(void);\nint main(void) { printf(\"%d\\n\", f()); }",
        "f.c",
        "int f(void) { return 7; }",
    );
    let go = files(
        "go",
        "main.go|package main\nfunc main() { println(f()) }",
        "f.go",
        "package main\nfunc f() int { return 7 }",
    );
    assert_eq!(server.run(&c).stdout, "7\n");
    assert_eq!(server.run(&go).stderr, "7\n");
}
