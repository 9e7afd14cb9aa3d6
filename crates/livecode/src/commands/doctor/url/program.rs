//! The program that the examination runs: it prints a line, is silent for a time, and prints
//! another line.

use std::{
    thread,
    time::{Duration, Instant},
};

use livecode_protocol::session::{CreateSession, SessionDocument, SessionState};

use super::{
    outcome::{Outcome, words},
    remedies,
    tried_sessions::TriedSessions,
};
use crate::client::ServerClient;

/// The name of the finding about the session.
const SESSION: &str = "session";
/// How long the program is silent. Many proxies cut off a connection that is idle for 60 s.
pub const SILENCE: Duration = Duration::from_secs(70);
/// The program's line before the silence.
pub const FIRST_LINE: &str = "before the silence";
/// The program's line after the silence.
pub const LAST_LINE: &str = "after the silence";
/// How long the program may wait until it is started.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the session's state is asked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Runs the program, and waits until it runs. `Err` is the finding that there is no such session.
pub fn start(server: &ServerClient, sessions: &TriedSessions) -> Result<(SessionDocument, Outcome), Outcome> {
    let missing = |found: String| Outcome::missing(SESSION, found, remedies::server());
    let runtimes = server.runtimes().map_err(|error| missing(words(&error)))?;
    let known = programs();
    let found = known
        .iter()
        .find(|(name, _)| runtimes.iter().any(|runtime| runtime.available && runtime.name == *name));
    let Some((runtime, code)) = found else {
        let names = known.map(|(name, _)| name).join(", ");
        return Err(missing(format!("none could be tried: the server can run none of {names}")));
    };
    let request = CreateSession {
        runtime: Some((*runtime).to_owned()),
        code: Some(code.clone()),
        ..CreateSession::default()
    };
    let session = sessions.create(&request).map_err(|error| missing(words(&error)))?;
    await_start(server, &session).map_err(missing)?;
    Ok((session, Outcome::ok(SESSION, format!("a program in {runtime} runs"))))
}

/// The program in some languages, by the names of their runtimes.
fn programs() -> [(&'static str, String); 3] {
    let (s, ms) = (SILENCE.as_secs(), SILENCE.as_millis());
    [
        ("bash", format!("echo {FIRST_LINE}; sleep {s}; echo {LAST_LINE}")),
        (
            "python",
            format!("import time\nprint('{FIRST_LINE}', flush=True)\ntime.sleep({s})\nprint('{LAST_LINE}')"),
        ),
        (
            "javascript",
            format!("console.log('{FIRST_LINE}'); setTimeout(() => console.log('{LAST_LINE}'), {ms})"),
        ),
    ]
}

/// Waits until the program has started, so that no stream that is opened then waits for a place to
/// run.
fn await_start(server: &ServerClient, session: &SessionDocument) -> Result<(), String> {
    let until = Instant::now() + START_TIMEOUT;
    loop {
        let document: SessionDocument =
            server.get_json(&format!("/sessions/{}", session.id)).map_err(|error| words(&error))?;
        match document.state {
            SessionState::Running => return Ok(()),
            SessionState::Ended => {
                let outcome = document.outcome.map_or("unknown", |outcome| outcome.as_str());
                return Err(format!("the program ended before it could be read (outcome {outcome})"));
            }
            SessionState::Queued if Instant::now() > until => {
                let place = document.queue_position.map(|place| format!(" at place {place}"));
                let place = place.unwrap_or_default();
                return Err(format!("the program waits{place} and did not start within {START_TIMEOUT:?}"));
            }
            SessionState::Queued => thread::sleep(POLL_INTERVAL),
        }
    }
}
