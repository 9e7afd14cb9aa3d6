//! Roles and limits in the claims of JWTs.

use super::*;
use crate::quotas::within_a_day;

fn signed(site: &Site, key: &Key, claim: &str, value: Value) -> String {
    site.sign(key, &with(claim, value), &Value::Null)
}

fn limits_of(server: &Server, jwt: &str) -> Value {
    let (status, document) = User::with(server, jwt).get("/quota");
    assert_eq!(status, 200, "{document}");
    let quotas = document["quotas"].as_array().expect("an array").iter();
    quotas
        .map(|quota| (quota["quota"].as_str().expect("a name").to_owned(), quota["limit"].clone()))
        .collect()
}

#[test]
fn a_claim_lowers_limits_and_raises_none() {
    within_a_day(lower_limits);
}

fn lower_limits() {
    let site = Site::new();
    let key = site.ed25519();
    let more = ["--user-cpu-ms-per-day", "1000", "--user-creations-per-min", "2"];
    let mut server = start(&site, &key, &more);
    let jwt = |limits: Value| signed(&site, &key, "livecode_limits", limits);
    assert_eq!(limits_of(&server, &jwt(json!({"cpu_ms_per_day": 7})))["cpu_ms_per_day"], 7);
    let higher = jwt(json!({"cpu_ms_per_day": 5000, "creations_per_min": 50, "output_bytes_per_day": 9}));
    let limits = limits_of(&server, &higher);
    assert_eq!((&limits["cpu_ms_per_day"], &limits["creations_per_min"]), (&json!(1000), &json!(2)));
    assert_eq!(limits["output_bytes_per_day"], 9);
    // Usage counts for the user, whatever JWT comes next.
    let post = |jwt: &str| {
        User::with(&server, jwt).request(
            "POST",
            "/sessions",
            &json!({"runtime": "bash", "code": "echo 123456789"}),
        )
    };
    let (status, document) = post(&higher);
    assert_eq!(status, 201, "{document}");
    let quota = eventually("the output is counted", || {
        let (status, problem) = post(&jwt(json!({"output_bytes_per_day": 8})));
        (status == 429).then_some(problem)
    });
    assert!(
        ["output_bytes_per_day", "creations_per_min"].contains(&quota["quota"].as_str().expect("a name")),
        "{quota}"
    );
    // Nothing at all may be left.
    let (status, problem) = post(&jwt(json!({"cpu_ms_per_day": 0})));
    assert_eq!((status, &problem["quota"]), (429, &json!("cpu_ms_per_day")));
    for name in ["creations_per_min", "sessions_running_max"] {
        let none = jwt(json!({name: 0}));
        let (status, problem) = post(&none);
        assert_eq!((status, &problem["quota"]), (429, &json!(name)), "{problem}");
        assert_eq!(limits_of(&server, &none)[name], 0);
    }

    // A ticket gives no more than its JWT.
    let low = jwt(json!({"creations_per_min": 1, "cpu_ms_per_day": 0}));
    let (_, document) = User::with(&server, &low).request("POST", "/tickets", &Value::Null);
    let ticket = document["ticket"].as_str().expect("a ticket").to_owned();
    server.stop();
    server.start_again();
    let mut websocket = server.websocket(&format!("/livecode?ticket={ticket}"));
    websocket.send(&json!({"msgtype": "exec", "runtime": "bash", "code": "echo hello"}));
    let error = websocket.next_of("error");
    assert!(
        error["data"]
            .as_str()
            .or(error["error"].as_str())
            .is_some_and(|text| text.contains("0 ms of CPU time")),
        "{error}"
    );
}

#[test]
fn a_malformed_claim_makes_a_jwt_invalid_and_the_log_says_why() {
    let site = Site::new();
    let key = site.ed25519();
    let file = site.write("key", &key.public);
    let logged = LoggedServer::start(&arguments(&["--jwt-key-file", text(&file)], &[]));
    let malformed = [
        json!("much"),
        json!([1, 2, 3, 4]),
        json!(null),
        json!({"cpu_ms": 5}),
        json!({"cpu_ms_per_day": -5}),
        json!({"cpu_ms_per_day": 1.5}),
        json!({"cpu_ms_per_day": "5"}),
    ];
    for claim in &malformed {
        let jwt = signed(&site, &key, "livecode_limits", claim.clone());
        assert_eq!(status(&logged.server, &jwt), 401, "{claim}");
    }
    let reasons = eventually("the reasons are logged", || {
        let lines = logged.lines();
        let reasons = lines.iter().filter(|line| line.contains("claim livecode_limits is wrong")).count();
        (reasons >= malformed.len()).then_some(reasons)
    });
    assert_eq!(reasons, malformed.len());
    assert_eq!(status(&logged.server, &signed(&site, &key, "livecode_limits", json!({}))), 200);
}

#[test]
fn a_claim_names_roles_of_the_configuration() {
    let site = Site::new();
    let key = site.ed25519();
    site.write("key", &key.public);
    let settings = format!(
        "auth = 'jwt'\njwt_issuer = '{ISSUER}'\njwt_audience = 'livecode'\njwt_key_file = '{}'\n\
         jwt_role_claim = 'role'\n[roles.pupil]\ncreations_per_min = 5\n[roles.tutor]\ncreations_per_min = 50\n",
        site.path("key").display()
    );
    let file = site.write("livecode.toml", &settings);
    let mut server = Server::start_with(&["--config", text(&file)]);
    let role = |server: &Server, role: Value| {
        let (status, document) = User::with(server, &signed(&site, &key, "role", role)).get("/quota");
        assert_eq!(status, 200, "{document}");
        document["role"].as_str().expect("a name").to_owned()
    };
    let cases = [
        (json!("pupil"), "pupil"),
        (json!(["staff", "tutor", "pupil"]), "tutor"),
        (json!("guest"), "user"),
        (json!("local"), "user"),
        (json!("king"), "user"),
        (json!("admin"), "user"),
        (json!(["admin", "pupil"]), "pupil"),
        (json!({"pupil": true}), "user"),
    ];
    for (claim, expected) in cases {
        assert_eq!(role(&server, claim.clone()), expected, "{claim}");
    }
    // Once the configuration does not name the role any more, a ticket gives that of users.
    let jwt = signed(&site, &key, "role", json!("tutor"));
    let (_, document) = User::with(&server, &jwt).request("POST", "/tickets", &Value::Null);
    let ticket = document["ticket"].as_str().expect("a ticket").to_owned();
    server.stop();
    let (settings, _) = settings.split_once("[roles.pupil]").expect("the tables");
    site.write("livecode.toml", &format!("user_cpu_ms_per_day = 1\njwt_allow_admin = true\n{settings}"));
    server.start_again();
    assert_eq!(role(&server, json!("tutor")), "user");
    assert_eq!(role(&server, json!(["pupil", "admin"])), "admin");
    let mut websocket = server.websocket(&format!("/livecode?ticket={ticket}"));
    websocket.send(&json!({"msgtype": "exec", "runtime": "bash", "code": "for i in {1..20000}; do :; done"}));
    websocket.next_of("exitstatus");
    let used_up = || {
        User::with(&server, &jwt).get("/quota").1["quotas"].as_array().and_then(|quotas| {
            quotas.iter().find(|quota| quota["quota"] == "cpu_ms_per_day" && quota["left"] == 0).cloned()
        })
    };
    eventually("the CPU time is counted", used_up);
}
