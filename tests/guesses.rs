//! Guesses of tickets, tokens and ids.

use crate::{
    common::{Server, guest::Guest, id},
    users::{User, crc32c},
};

#[test]
fn guesses_are_limited_and_right_tokens_are_not() {
    let server = Server::start_with(&["--auth", "tokens"]);
    let ada = User::new(&server, "ada");
    let session = id(&ada.create("echo hello"));
    let stranger = Guest::at(7);
    let connection = stranger.connect(&server);
    let tries: Vec<_> = (0..4_000_u32)
        .map(|number| {
            let path = format!("/sessions/{session}/stream?ticket={number}.{number}");
            stranger.request_on(&connection, "GET", &path, &[]).status
        })
        .collect();
    assert!(tries.iter().all(|status| [401, 429].contains(status)), "{tries:?}");
    assert!(tries.iter().filter(|status| **status == 429).count() > 2_000);
    let of_stranger = stranger.with_token('0').request(&server, "GET", "/sessions", &[]);
    assert_eq!(of_stranger.status, 429);
    assert!(of_stranger.header("retry-after").is_some());
    let guess = |number: u32| {
        let text = format!("livecode_{number:040x}");
        User::with(&server, &format!("{text}{:08x}", crc32c(&text))).get("/sessions").0
    };
    let tokens: Vec<_> = (0..3_000).map(guess).collect();
    assert!(tokens.iter().all(|status| [401, 429].contains(status)) && tokens.contains(&429), "{tokens:?}");
    // A user who guesses ids is limited by name, and has its own sessions all the same.
    let guesses: Vec<_> = (0..3_000).map(|number| ada.get(&format!("/sessions/{number:032x}")).0).collect();
    assert!(guesses.iter().all(|status| [404, 429].contains(status)), "{guesses:?}");
    assert!(guesses.contains(&429));
    assert_eq!(ada.get(&format!("/sessions/{session}")).0, 200);
}
