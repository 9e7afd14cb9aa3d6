use serde_json::{Value, json};

use super::*;

fn catalogue() -> Catalogue {
    let data = tempfile::tempdir().unwrap();
    Catalogue::load(data.path(), None).unwrap()
}

fn try_resolve(request: Value, endpoint: Endpoint) -> Result<ResolvedSpec, BadField> {
    let request: CreateSession = serde_json::from_value(request).unwrap();
    resolve(&request, &catalogue(), &LimitSettings::default(), endpoint)
}

fn ok(request: Value) -> ResolvedSpec {
    try_resolve(request, Endpoint::Sessions).unwrap()
}

fn stdin(request: Value, endpoint: Endpoint) -> Option<Contents> {
    try_resolve(request, endpoint).unwrap().stdin
}

#[test]
fn the_smallest_request_gets_all_defaults() {
    let resolved = ok(json!({"runtime": "py", "code": "x"}));
    assert_eq!(
        (&*resolved.runtime, &*resolved.run.argv),
        ("python", &["python".to_owned(), "main.py".to_owned()][..])
    );
    assert_eq!(resolved.files[0].name.as_str(), "main.py");
    assert_eq!(resolved.stdin, None);
    assert_eq!(resolved.limits.wall_ms, 600_000);
    assert!(resolved.env.contains(&("HOME".into(), "/code".into())));
}

#[test]
fn standard_input_is_taken_from_four_places() {
    let text = |text: &str| Some(Contents::Text(text.into()));
    let code = || json!({"runtime": "python", "code": ""});
    let with = |name: &str, value: Value| {
        let mut request = code();
        request[name] = value;
        request
    };
    assert_eq!(stdin(code(), Endpoint::Sessions), None);
    assert_eq!(stdin(code(), Endpoint::V01), text(""));
    assert_eq!(stdin(with("stdin", json!("a")), Endpoint::Sessions), text("a"));
    let file = json!([{"filename": "stdin", "contents": "b"}]);
    assert_eq!(stdin(with("files", file.clone()), Endpoint::V01), text("b"));
    let env = json!({"FALCON_STDIN": "1\\n\\u00e9\n"});
    assert_eq!(stdin(with("env", env), Endpoint::V01), text("1\né\n"));
    let mut both = with("files", file);
    both["stdin"] = json!("a");
    assert_eq!(try_resolve(both, Endpoint::V01).unwrap_err().field, "stdin");
}

#[test]
fn the_file_to_run_can_be_chosen() {
    let files = json!([{"filename": "a.c", "contents": ""}, {"filename": "main.c", "contents": ""},
                       {"filename": "x/b.c", "contents": ""}]);
    let all = ok(json!({"runtime": "c", "files": files}));
    assert!(all.compile[0].argv.windows(2).any(|words| words == ["main.c", "a.c"]));
    assert!(!all.compile[0].argv.contains(&"x/b.c".to_owned()));
    let one = ok(json!({"runtime": "c", "files": files, "env": {"FALCON_SOURCE_FILE": "a.c"}}));
    assert!(
        one.compile[0].argv.contains(&"a.c".to_owned())
            && !one.compile[0].argv.contains(&"main.c".to_owned())
    );
    let own = ok(json!({"runtime": "c", "files": files, "command": ["ls"], "args": ["-l"]}));
    assert!(own.compile.is_empty());
    assert_eq!(own.run.argv, ["ls", "-l"]);
}

#[test]
fn search_paths_are_joined_and_other_variables_replaced() {
    let env =
        json!({"PATH": "/code/bin", "PYTHONPATH": "lib", "PYTHONDONTWRITEBYTECODE": "", "HOME": "/tmp"});
    let resolved = ok(json!({"runtime": "python", "code": "", "env": env}));
    let value = |name| &*resolved.env.iter().find(|(known, _)| known == name).unwrap().1;
    assert_eq!(value("PATH"), "/code/bin:/livecode/python/bin:/usr/local/bin:/usr/bin:/bin");
    assert_eq!(value("PYTHONPATH"), "lib:/livecode/python/lib");
    assert_eq!((value("PYTHONDONTWRITEBYTECODE"), value("HOME")), ("", "/tmp"));
}

#[test]
fn an_error_names_the_wrong_field() {
    let deep: Vec<_> =
        (0..900).map(|n| json!({"filename": format!("{n}/a/b/c/x"), "contents": ""})).collect();
    let cases = [
        (json!({"code": ""}), "runtime"),
        (json!({"runtime": "cobol", "code": ""}), "runtime"),
        (json!({"runtime": "python"}), "code"),
        (json!({"runtime": "python", "files": []}), "code"),
        (json!({"runtime": "python", "code": "", "code_filename": "../x"}), "code_filename"),
        (json!({"runtime": "python", "files": [{"filename": "/x", "contents": ""}]}), "files[0].filename"),
        (
            json!({"runtime": "python", "code": "", "files": [{"filename": "main.py", "contents": ""}]}),
            "files[0].filename",
        ),
        (
            json!({"runtime": "python", "code": "", "files": [{"filename": "main.py/x", "contents": ""}]}),
            "files",
        ),
        (json!({"runtime": "python", "files": [{"filename": "other.py", "contents": ""}]}), "files"),
        (
            json!({"runtime": "python", "code": "", "files": [{"filename": "x", "contents": "%", "encoding": "base64"}]}),
            "files[0].contents",
        ),
        (json!({"runtime": "python", "code": "", "command": []}), "command"),
        (json!({"runtime": "python", "code": "", "args": ["a\u{0}b"]}), "args"),
        (json!({"runtime": "python", "code": "", "args": ["x".repeat(70_000)]}), "args"),
        (json!({"runtime": "python", "code": "", "env": {"1X": ""}}), "env.1X"),
        (json!({"runtime": "python", "code": "", "env": {"X": "\u{0}"}}), "env.X"),
        (json!({"runtime": "python", "code": "", "env": {"X": "x".repeat(70_000)}}), "env"),
        (json!({"runtime": "python", "code": "", "env": {"LIVECODE_FD": "9"}}), "env.LIVECODE_FD"),
        (json!({"runtime": "python", "code": "", "env": {"FALCON_STDIN": "\\x"}}), "env.FALCON_STDIN"),
        (json!({"runtime": "mypy", "code": "", "mode": "test"}), "mode"),
        (json!({"runtime": "python", "code": "", "timeout": 0}), "timeout"),
        (json!({"runtime": "python", "code": "", "timeout": 3_600_001}), "timeout"),
        (json!({"runtime": "python", "code": "", "limits": {"cpu_ms": u64::MAX}}), "limits.cpu_ms"),
        (json!({"runtime": "python", "code": "xxx", "limits": {"disk_bytes": 2}}), "limits.disk_bytes"),
        (json!({"runtime": "python", "code": "x".repeat(17_000), "limits": {"disk_bytes": 16_384}}), "code"),
        (json!({"runtime": "python", "code": "", "command": ["a\u{0}b"]}), "command"),
        (json!({"runtime": "python", "files": deep}), "files"),
    ];
    for (request, field) in cases {
        let error = try_resolve(request.clone(), Endpoint::Sessions).unwrap_err();
        assert_eq!(error.field, field, "{request}: {}", error.detail);
    }
}
