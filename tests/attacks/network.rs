//! Rows about the network, and what passes between sessions.

use serde_json::json;

use crate::{
    common::{Server, id},
    suite::{Attack, Place, Verdict, Way, assert_held, attack},
};

pub fn attacks() -> Vec<Attack> {
    use Way::Check;
    vec![
        attack(7, "connect to loopback, the server, metadata, DNS", Check(network)),
        attack(18, "pass data to another session", Check(between_sessions)),
        attack(19, "the environment, both ways", Check(environment)),
    ]
}

fn network(place: &Place) -> Verdict {
    let port = place.server.address().rsplit(':').next().expect("a port");
    assert_held(&place.run("python", include_str!("programs/r07_network.py"), json!({"args": [port]})).0);
    Verdict::Holds
}

fn between_sessions(place: &Place) -> Verdict {
    let first = id(&place.start("python", include_str!("programs/r18_leave.py"), json!({})));
    place.server.stream(&first, "").read_until("ready");
    assert_held(&place.run("python", include_str!("programs/r18_look.py"), json!({})).0);
    assert_eq!(place.server.delete(&format!("/sessions/{first}")).status, 204);
    // And nothing stays for who comes after.
    assert_held(&place.run("python", include_str!("programs/r18_look.py"), json!({})).0);
    Verdict::Holds
}

fn environment(place: &Place) -> Verdict {
    let server = Server::start_with_environment(&[("ATTACK_SECRET", "secret-of-the-server")]);
    let place_of_its_own = Place { server, column: place.column.clone() };
    let env = json!({"env": {"LD_PRELOAD": "/code/nowhere.so", "PYTHONWARNINGS": "ignore"}});
    let (run, _) = place_of_its_own.run("python", include_str!("programs/r19_environment.py"), env);
    // The dynamic linker complains inside, and nowhere else.
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
        place.server.post("/sessions", &json!({"runtime": "python", "code": "", "env": env})).problem(422);
    }
    Verdict::Holds
}
