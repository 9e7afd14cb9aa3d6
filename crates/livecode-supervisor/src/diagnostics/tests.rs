use super::*;

/// The places that are found in `written` with these files, as `file:line:column severity text`.
fn found(files: &[&str], written: &str) -> Vec<String> {
    let names: Vec<FileName> = files.iter().map(|name| name.parse().unwrap()).collect();
    let read_in = |size: usize| {
        let mut diagnostics = Diagnostics::new(names.iter());
        let mut messages: Vec<_> =
            written.as_bytes().chunks(size).flat_map(|part| diagnostics.read(part)).collect();
        messages.extend(diagnostics.finish());
        messages
    };
    let messages = read_in(written.len().max(1));
    assert_eq!(read_in(1), messages, "byte by byte");
    let shown = messages.iter().map(|message| {
        let message: serde_json::Value = serde_json::from_slice(message).unwrap();
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(message["msgtype"], "diagnostic");
        let column = message["column"].as_u64().map(|column| format!(":{column}")).unwrap_or_default();
        format!("{}:{}{column} {} {}", text("file"), message["line"], text("severity"), text("message"))
    });
    shown.collect()
}

#[test]
fn python() {
    let trace = r#"Traceback (most recent call last):
  File "/code/main.py", line 9, in <module>
    f()
    ~^^
  File "/code/lib/a.py", line 2, in f
    json.loads("x")
  File "/usr/lib/python3.13/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/code/main.py", line 11, in <module>
    raise KeyError
KeyError
"#;
    assert_eq!(
        found(&["main.py", "lib/a.py"], trace),
        [
            "lib/a.py:2 error json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
            "main.py:11 error KeyError"
        ]
    );
    let syntax =
        "  File \"/code/main.py\", line 1\n    print(\n         ^\nSyntaxError: '(' was never closed\n";
    assert_eq!(found(&["main.py"], syntax), ["main.py:1 error SyntaxError: '(' was never closed"]);
    assert!(found(&["other.py"], syntax).is_empty());
}

#[test]
fn c_and_cpp() {
    let gcc = "main.c: In function 'main':\n\
        main.c:3:5: error: 'x' undeclared (first use in this function)\n    3 |     x = 1;\n      |     ^\n\
        main.c:3:5: note: each undeclared identifier is reported only once\n\
        lib/a.h:1:10: fatal error: b.h: No such file or directory\n\
        main.c:2:9: warning: unused variable 'y' [-Wunused-variable]\n\
        /usr/include/stdio.h:1:1: error: not of the session\n\
        program: main.c:7: main: Assertion `n > 0' failed.\n";
    assert_eq!(
        found(&["main.c", "lib/a.h"], gcc),
        [
            "main.c:3:5 error 'x' undeclared (first use in this function)",
            "lib/a.h:1:10 error b.h: No such file or directory",
            "main.c:2:9 warning unused variable 'y' [-Wunused-variable]",
            "main.c:7 error Assertion `n > 0' failed."
        ]
    );
    let coloured = "\x1b[01m\x1b[Kmain.c:3:5:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kno\n";
    assert_eq!(found(&["main.c"], coloured), ["main.c:3:5 error no"]);
}

#[test]
fn rust() {
    let rustc = "warning: unused variable: `y`\n --> main.rs:2:9\n  |\n\nerror[E0425]: cannot find value `x`\n  --> main.rs:12:20\n\
        error: aborting due to 1 previous error\n\n --> main.rs:1:1\n";
    assert_eq!(
        found(&["main.rs"], rustc),
        ["main.rs:2:9 warning unused variable: `y`", "main.rs:12:20 error cannot find value `x`"]
    );
    let panics = "\nthread 'main' panicked at main.rs:3:5:\nindex out of bounds: the len is 1\nnote: run with\n\
        \nthread 'main' (7) panicked at /code/main.rs:4:7:\nno\n";
    assert_eq!(
        found(&["main.rs"], panics),
        ["main.rs:3:5 error index out of bounds: the len is 1", "main.rs:4:7 error no"]
    );
}

#[test]
fn go() {
    let build =
        "# command-line-arguments\n./main.go:4:2: undefined: x\n./main.go:5:2: declared and not used: y\n";
    assert_eq!(
        found(&["main.go"], build),
        ["main.go:4:2 error undefined: x", "main.go:5:2 error declared and not used: y"]
    );
    let panic = "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.f(...)\n\
        \t/usr/lib/go/src/x.go:2 +0x1\nmain.main()\n\t/code/main.go:6 +0x1d\nexit status 2\n";
    assert_eq!(
        found(&["main.go"], panic),
        ["main.go:6 error panic: runtime error: index out of range [5] with length 3"]
    );
}

#[test]
fn java() {
    let javac = "Hello.java:3: error: ';' expected\n        int x = 1\n                 ^\n\
        Hello.java:4: warning: [x] old\nHello.java:5: error: last";
    assert_eq!(
        found(&["Main.java"], javac),
        ["Main.java:3:18 error ';' expected", "Main.java:4 warning [x] old", "Main.java:5 error last"]
    );
    let trace = "Exception in thread \"main\" java.lang.ArithmeticException: / by zero\n\
        \tat java.base/java.util.X.f(X.java:1)\n\tat Main.f(Main.java:7)\n\tat Main.main(Main.java:3)\n\
        java.lang.IllegalStateException\n\tat a.B.f(B.java:2)\n";
    assert_eq!(
        found(&["Main.java", "a/B.java"], trace),
        [
            "Main.java:7 error java.lang.ArithmeticException: / by zero",
            "a/B.java:2 error java.lang.IllegalStateException"
        ]
    );
}

#[test]
fn javascript() {
    let thrown = "/code/main.js:3\n    foo();\n    ^\n\nReferenceError: foo is not defined\n    at Object.<anonymous> (/code/main.js:3:5)\n";
    assert_eq!(found(&["main.js"], thrown), ["main.js:3:5 error ReferenceError: foo is not defined"]);
    let syntax = "file:///code/main.mjs:2\nlet x = ;\n        ^\n\nSyntaxError: Unexpected token ';'\n";
    assert_eq!(found(&["main.mjs"], syntax), ["main.mjs:2:9 error SyntaxError: Unexpected token ';'"]);
}

#[test]
fn a_flood_is_bounded() {
    let line = "main.c:3:5: error: x\n";
    assert_eq!(found(&["main.c"], &line.repeat(3 * MAX_DIAGNOSTICS)).len(), MAX_DIAGNOSTICS);
    let long = format!("main.c:3:5: error: {}\nmain.c:4:1: error: y\n", "é".repeat(100_000));
    let both = found(&["main.c"], &long);
    assert!(both[0].len() <= MAX_TEXT_BYTES + 30 && both[1] == "main.c:4:1 error y", "{both:?}");
    for line in [
        "main.c:0:1: error: x\n",
        "main.c:+3:1: error: x\n",
        "main.c:99999999999:1: error: x\n",
        ":::: \n",
        "\x1b[\n",
    ] {
        assert!(found(&["main.c"], line).is_empty(), "{line}");
    }
}
