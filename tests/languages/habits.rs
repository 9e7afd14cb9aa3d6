//! Forms that programs of one language may have, beyond what all languages have in common.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::LARGE;
use crate::common::{Run, Server, binary, is_root};

/// Whether the runtime can be tried here. For root, as whom the tests run in CI, only large ones
/// may be missing.
fn is_here(server: &Server, runtime: &str) -> bool {
    let runtimes = server.get("/runtimes").json();
    let known = runtimes.as_array().expect("a list").iter().find(|known| known["name"] == runtime);
    let is_available = known.expect("a runtime")["available"] == true;
    assert!(is_available || LARGE.contains(&runtime) || !is_root(), "{runtime} is not installed");
    is_available
}

/// Runs the first of some files; each is a name and its contents. `None` if the runtime is not
/// here.
fn run(server: &Server, runtime: &str, files: &[(&str, &str)]) -> Option<Run> {
    let (name, code) = files[0];
    let beside: Vec<Value> =
        files[1..].iter().map(|(name, text)| json!({"filename": name, "contents": text})).collect();
    let request = json!({
        "runtime": runtime, "code": code, "code_filename": name, "files": beside, "args": ["one"], "stdin": "",
    });
    is_here(server, runtime).then(|| server.run(&request))
}

/// Runs the first of some files, and expects this output, and nothing on standard error.
fn prints(server: &Server, runtime: &str, files: &[(&str, &str)], stdout: &str) {
    if let Some(run) = run(server, runtime, files) {
        assert_eq!((&*run.stdout, &*run.stderr, run.exitstatus), (stdout, "", 0), "{runtime}: {files:?}");
    }
}

/// Runs the first of some files, and expects an error that has this text.
fn fails(server: &Server, runtime: &str, files: &[(&str, &str)], text: &str) {
    if let Some(run) = run(server, runtime, files) {
        assert!(run.exitstatus != 0 && run.stderr.contains(text), "{runtime}: {run:?}");
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn main_of_haskell_has_any_type() {
    let server = Server::start();
    prints(&server, "haskell", &[("main.hs", "main = mapM print [1 .. 3]\n")], "1\n2\n3\n");
    let greeting = ("lesson/Greeting.hs", "module Greeting where\ngreeting = \"hi\"\n");
    let main = ("lesson/main.hs", "import Greeting\nmain = putStrLn greeting\n");
    prints(&server, "haskell", &[main, greeting], "hi\n");
}

#[test]
fn sources_of_java_may_be_from_windows_and_have_each_class_once() {
    let server = Server::start();
    let windows = "public class Hello\r\n{\r\n  public static void main(String[] args)\r\n  {\r\n    \
                   System.out.println(\"hi\");\r\n  }\r\n}\r\n";
    prints(&server, "java", &[("Main.java", windows)], "hi\n");
    fails(
        &server,
        "java",
        &[("Main.java", windows), ("Other.java", "public class Hello { }")],
        "class Hello",
    );
}

/// Since Java 25, `main` need not be static, nor in a class. One that is static comes first.
#[test]
fn main_of_java_is_what_its_version_takes_for_one() {
    let server = Server::start();
    let version = "class A { public static void main(String[] args) { \
                   System.out.print(Runtime.version().feature()); } }";
    let Some(run) = run(&server, "java", &[("Main.java", version)]) else { return };
    let version: u32 = run.stdout.parse().expect("a version");
    let in_class = "class A { void main() { System.out.println(\"hi\"); } }";
    for code in [in_class, "void main() { System.out.println(\"hi\"); }"] {
        if version < 25 {
            fails(&server, "java", &[("Main.java", code)], "Main.java");
        } else {
            prints(&server, "java", &[("Main.java", code)], "hi\n");
        }
    }
    let beside = "class B { public static void main(String[] args) { System.out.println(\"static\"); } }";
    prints(&server, "java", &[("Main.java", in_class), ("B.java", beside)], "static\n");
}

#[test]
fn virtual_machines_have_heaps_within_their_memory_and_start_and_compute_fast() {
    let server = Server::start();
    let main = "public class Main { public static void main(String[] args) { } }";
    for (runtime, code) in [("java", main), ("kotlin", "fun main() { }")] {
        if !is_here(&server, runtime) {
            continue;
        }
        let env = json!({"JAVA_TOOL_OPTIONS": "-XX:+PrintFlagsFinal -Xlog:cds"});
        let run = server.run(&json!({"runtime": runtime, "code": code, "env": env}));
        // Standard output is the program's. Its classes are mapped, and no pointer in them changed.
        let says = |text: &str| run.stdout.contains(text);
        assert!(says("Mapped static") && !says("alternative address"), "{runtime}: {}", run.stdout);
        let flag = |name: &str| run.stdout.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        let level = flag("TieredStopAtLevel").expect("the flag is printed");
        assert!(level.contains("= 4 "), "{runtime}: {level}");
        let text = run.stdout + &run.stderr;
        let heap = |line: &str| {
            let mut words = line.split_whitespace().skip_while(|word| *word != "MaxHeapSize").skip(2);
            words.next()?.parse::<u64>().ok()
        };
        let heaps: Vec<u64> = text.lines().filter_map(heap).collect();
        assert_eq!((heaps.len(), run.exitstatus), (2, 0), "{heaps:?}");
        assert!(heaps.iter().all(|bytes| *bytes < 1 << 30), "{heaps:?}");
    }
}

#[test]
fn main_of_the_first_file_of_kotlin_counts() {
    let server = Server::start();
    let first = ("main.kt", "package a.b\n\nfun main() {\n    println(\"first\")\n}\n");
    prints(&server, "kotlin", &[first, ("other.kt", "fun main() { println(\"other\") }\n")], "first\n");
}

#[test]
fn only_what_a_program_of_ocaml_uses_is_part_of_it() {
    let server = Server::start();
    let files = [
        ("main.ml", "let () = print_endline Greeting.text\n"),
        ("greeting.ml", "let text = Names.name\n"),
        ("names.ml", "let name = \"hi\"\n"),
        ("names.mli", "val name : string\n"),
        ("other.ml", "let () = print_endline \"another exercise\"\n"),
        ("broken one.ml", "let = (\n"),
    ];
    prints(&server, "ocaml", &files, "hi\n");
    let upper = ("main.ml", "let () = print_endline \"upper\"\n");
    let aid = ("lesson/aid.ml", "let text = \"lower\"\n");
    prints(
        &server,
        "ocaml",
        &[("lesson/main.ml", "let () = print_endline Aid.text\n"), aid, upper],
        "lower\n",
    );
    let aid = ("aid.ml", "let text = \"blank\"\n");
    prints(&server, "ocaml", &[("my main.ml", "let () = print_endline Aid.text\n"), aid], "blank\n");
    fails(&server, "ocaml", &[("main.ml", "let x = 1\n"), ("main.mli", "val x : string\n")], "main.ml");
}

#[test]
fn modules_of_typescript_are_of_every_kind() {
    let server = Server::start();
    let main = "import {text} from './text.js';\nconst all: string = await Promise.resolve(text);\nconsole.log(all);\n";
    let package = ("package.json", "{\"type\": \"module\"}");
    prints(
        &server,
        "typescript",
        &[("main.ts", main), ("text.ts", "export const text = 'hi';\n"), package],
        "hi\n",
    );
    prints(&server, "typescript", &[("main.mts", "console.log(await Promise.resolve('hi'));\n")], "hi\n");
    let common = "import fs = require('node:fs');\nconsole.log(typeof fs.readFileSync, process.argv[2]);\n";
    prints(&server, "typescript", &[("main.cts", common)], "function one\n");
    let plain =
        "import {text} from './text.js';\nimport more from './more.cjs';\nconsole.log(text, more.text);\n";
    let beside = [
        ("main.ts", plain),
        ("text.js", "export const text = 'hi';\n"),
        ("more.cjs", "module.exports = {text: 'there'};\n"),
    ];
    prints(&server, "typescript", &beside, "hi there\n");
}

#[test]
fn modules_of_fortran_are_found_however_they_are_named() {
    let server = Server::start();
    let greeting =
        "module greeting\ncontains\nsubroutine hi()\nprint '(a)', 'hi'\nend subroutine\nend module\n";
    let windows = "program p\r\nuse greeting ! say hello\r\ncall hi()\r\nend program\r\n";
    prints(&server, "fortran", &[("main.f90", windows), ("z greeting.f90", greeting)], "hi\n");
    let line = "program p; use, non_intrinsic :: greeting, only: hi; call hi(); end program\n";
    prints(&server, "fortran", &[("main.f90", line), ("z.f90", greeting)], "hi\n");
    let module = "module m\ninterface\nmodule subroutine hi()\nend subroutine\nend interface\nend module\n";
    let submodule =
        "submodule (m) s\ncontains\nmodule procedure hi\nprint '(a)', 'hi'\nend procedure\nend submodule\n";
    let main = ("main.f90", "program p\nuse m\ncall hi()\nend program\n");
    prints(&server, "fortran", &[main, ("a.f90", submodule), ("z.f90", module)], "hi\n");
}

#[test]
fn a_script_of_sqlite_has_any_name_and_no_arguments() {
    let server = Server::start();
    for name in ["my query.sql", "|echo bad.sql", "it's \"a\".sql"] {
        let request = json!({"runtime": "sqlite", "code": "SELECT 'hi';\n", "code_filename": name, "args": ["SELECT 'an argument'"]});
        if is_here(&server, "sqlite") {
            let run = server.run(&request);
            assert_eq!((&*run.stdout, &*run.stderr, run.exitstatus), ("hi\n", "", 0), "{name}");
        }
    }
}

#[test]
fn directives_of_assembly_have_any_case() {
    let server = Server::start();
    let code = "GLOBAL main\nextern puts\nsection .data\nhi: db 'hi', 0\nsection .text\nmain:\n  sub rsp, 8\n  \
                mov rdi, hi\n  call puts\n  xor eax, eax\n  add rsp, 8\n  ret\n";
    prints(&server, "assembly", &[("main.asm", code)], "hi\n");
}

#[test]
fn mistakes_that_end_a_program_of_assembly_by_a_signal_alone_have_warnings() {
    let server = Server::start();
    let warns = |code: &str, line: usize, text: &str, exitstatus: i64| {
        let Some(run) = run(&server, "assembly", &[("main.asm", code)]) else { return };
        let warning = format!("main.asm:{line}: warning: ");
        assert!(run.stderr.starts_with(&warning) && run.stderr.contains(text), "{code}: {run:?}");
        assert_eq!((run.stderr.lines().count(), run.exitstatus), (1, exitstatus), "{code}: {run:?}");
    };
    let start = "global _start\nsection .data\nhi: db 'int 80h', 10\n";
    for call in ["int 80h", "INT 0x80 ; exit", "exit: int 128"] {
        let code = format!("{start}section .text\n_start: ; int 80h\nmov eax, 1\n{call}\nint 80h\n");
        warns(&code, 7, "syscall", 159);
    }
    let exit = "_start:\nmov eax, 60\nxor edi, edi\nsyscall\n";
    for section in ["SECTION .TEXT", "[section .Text]"] {
        warns(&format!("{start}{section}\n{exit}"), 4, ".text", 139);
    }
    for section in ["SECTION .text", "section .TEXT exec", "section .textual exec"] {
        let code = format!("{start}{section}\n{exit}; section .TEXT\n");
        prints(&server, "assembly", &[("main.asm", &code)], "");
    }
}

#[test]
fn sources_of_assembly_have_either_ending() {
    let server = Server::start();
    if !is_here(&server, "assembly") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let code = "global _start\nsection .text\n_start:\nmov eax, 60\nmov edi, 7\nsyscall\n";
    for name in ["seven.asm", "seven.nasm"] {
        let path = folder.path().join(name);
        fs::write(&path, code).expect("the file can be written");
        let mut command = Command::new(binary());
        command.arg("run").arg(path).env("LIVECODE_SERVER", server.url("")).stdin(Stdio::null());
        let output = command.output().expect("the binary starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(7), ""), "{name}");
    }
}

#[test]
fn only_what_a_language_needs_of_its_configuration_is_seen() {
    let server = Server::start();
    let php = "<?php foreach (glob('/etc/php/*/*') as $path) echo basename($path), ' ';\n";
    prints(&server, "php", &[("main.php", php)], "cli mods-available ");
    let r = "cat(list.files('/etc/R'), commandArgs(TRUE))\n";
    prints(&server, "r", &[("main.R", r)], "ldpaths Makeconf Renviron repositories one");
    let csharp = "class Program { static void Main() { foreach (var path in System.IO.Directory.GetFileSystemEntries(\"/etc/mono\")) System.Console.WriteLine(path); } }";
    if let Some(run) = run(&server, "csharp", &[("main.cs", csharp)]) {
        let mut paths: Vec<_> = run.stdout.lines().collect();
        paths.sort_unstable();
        assert_eq!(paths, ["/etc/mono/4.5", "/etc/mono/config"], "{run:?}");
    }
}

#[test]
fn many_repetitions_of_a_shape_are_one_small_message() {
    let server = Server::start();
    let code = "s = circle(x=100) | repeat(1000, rotate(7) | translate(1, 2))\n\
                print(len(str(s._message())) < 300_000)\ns = circle() | repeat(1000, rotate(1))\n\
                print(s._message()['children'][999]['transform'])\n\
                try:\n    circle(r=float('nan'))\nexcept ValueError as error:\n    print(error)\n";
    prints(&server, "joy", &[("main.py", code)], "True\nrotate(-999)\na finite number is needed, not nan\n");
}
