//! Rows about the network, and about data that passes between sessions.

use serde_json::json;

use crate::{
    attack::{Attack, Method, Verdict, attack},
    common::{Server, id},
    fixture::{Fixture, assert_held},
};

pub fn attacks() -> Vec<Attack> {
    use Method::Check;
    vec![
        attack(7, "connect to loopback, the server, metadata, DNS", Check(network)),
        attack(18, "pass data to another session", Check(between_sessions)),
        attack(19, "the environment, both ways", Check(environment)),
    ]
}

/// A program reaches no address outside of its sandbox.
fn network(fixture: &Fixture) -> Verdict {
    let port = fixture.server.address().rsplit(':').next().expect("a port");
    assert_held(&fixture.run("python", include_str!("programs/r07_network.py"), json!({"args": [port]})).0);
    Verdict::Holds
}

/// A session finds nothing that another session has left or holds.
fn between_sessions(fixture: &Fixture) -> Verdict {
    let first = id(&fixture.start("python", include_str!("programs/r18_leave.py"), json!({})));
    fixture.server.stream(&first, "").read_until("ready");
    assert_held(&fixture.run("python", include_str!("programs/r18_look.py"), json!({})).0);
    assert_eq!(fixture.server.delete(&format!("/sessions/{first}")).status, 204);
    // The next session finds nothing either after the first one was deleted.
    assert_held(&fixture.run("python", include_str!("programs/r18_look.py"), json!({})).0);
    Verdict::Holds
}

/// The server's environment does not reach a program, and a request's environment only the
/// program.
fn environment(fixture: &Fixture) -> Verdict {
    let server = Server::start_with_environment(&[("ATTACK_SECRET", "secret-of-the-server")]);
    let own_fixture = Fixture { server, column: fixture.column.clone() };
    let env = json!({"env": {"LD_PRELOAD": "/code/nowhere.so", "PYTHONWARNINGS": "ignore"}});
    let (run, _) = own_fixture.run("python", include_str!("programs/r19_environment.py"), env);
    // Only the program's dynamic linker sees `LD_PRELOAD`. Its complaint is on standard error.
    assert_eq!((&*run.stdout, run.exitstatus), ("held\n", 0), "{run:?}");
    let large = "x".repeat(1 << 20);
    let many: serde_json::Map<_, _> = (0..2000).map(|n| (format!("V{n}"), json!("x".repeat(100)))).collect();
    for env in [
        json!({"A": "a\0b"}),
        json!({"A": large}),
        json!(many),
        json!({"A=B": "x"}),
        json!({"": "x"}),
        json!({"A\0": "x"}),
    ] {
        fixture.server.post("/sessions", &json!({"runtime": "python", "code": "", "env": env})).problem(422);
    }
    Verdict::Holds
}
