//! One program of a check: a session that is in nobody's list, and is deleted at its end.

use std::{io, sync::Arc, time::Duration};

use livecode_journal::Kind;
use livecode_protocol::{SessionId, control::ClosingEntry, session::Outcome};

use crate::{
    auth::{Caller, Owner, Payer},
    lifecycle::{CreateError, Registry, SessionSpec},
    sessions::{Batch, FollowError, Item},
    spec::{BadField, ResolvedSpec},
};

/// How long a program of a check may take from its start, besides its own limits.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(180);
/// How long a program of a check may wait in the run queue. Without a start nothing is known of the
/// toolchain.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// The output that is kept of each stream, in bytes.
const MAX_OUTPUT_BYTES: usize = 256 * 1024;
/// The longest text from standard error that tells why a hello has failed, in characters.
const MAX_LAST_WORDS_CHARS: usize = 400;

/// Why a runtime was not checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// There is no such runtime.
    #[error("there is no runtime {0:?}")]
    NoSuchRuntime(String),
    /// This machine lacks what the runtime requires.
    #[error(transparent)]
    Unfit(#[from] BadField),
    /// No session can be created now.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The output cannot be read.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The program had to wait too long for its turn.
    #[error("the program of the check has not started in time, since the server runs as many as it may")]
    NotStarted,
    /// The hello took too long, where it ran before with the same toolchain.
    #[error("the check took too long this time; the result of the last one holds")]
    TooSlow,
    /// Too many requests wait for a check.
    #[error("too many requests wait until a runtime has said its version; try again in a moment")]
    Busy,
    /// The program was ended by something that is not its own, as the end of the server.
    #[error("the program of the check was ended from outside")]
    Interrupted,
    /// The server failed.
    #[error("the server failed")]
    Server(#[source] io::Error),
}

/// The output of a program, and how it ended.
#[derive(Debug)]
pub(super) struct ProgramEnd {
    pub exitstatus: i32,
    pub outcome: Outcome,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    has_messages: bool,
}

impl ProgramEnd {
    /// Its standard output.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its answer: its standard output, or else its standard error, as `java -version` has it;
    /// nothing if it has failed, since an error is no answer.
    pub fn answer(&self) -> String {
        match self.stdout() {
            _ if self.exitstatus != 0 || self.outcome != Outcome::Exited => String::new(),
            stdout if stdout.trim().is_empty() => String::from_utf8_lossy(&self.stderr).into_owned(),
            stdout => stdout,
        }
    }

    /// Whether it wrote something for its user.
    pub fn has_output(&self) -> bool {
        self.has_messages || !self.stdout.is_empty()
    }

    /// The end of what it wrote on standard error, in one line.
    pub fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let joined: Vec<char> = lines.join("; ").chars().filter(|letter| !letter.is_control()).collect();
        let start = joined.len().saturating_sub(MAX_LAST_WORDS_CHARS);
        joined[start..].iter().collect()
    }
}

/// Deletes a session when it is dropped.
struct Deleted<'r>(&'r Arc<Registry>, SessionId);

impl Drop for Deleted<'_> {
    fn drop(&mut self) {
        self.0.delete_in_background(self.1);
    }
}

/// Runs a program to its end.
pub(super) async fn run_program(
    registry: &Arc<Registry>,
    resolved: ResolvedSpec,
) -> Result<ProgramEnd, CheckError> {
    let spec = SessionSpec {
        owner: Owner::Local,
        is_private: true,
        account: registry.roles().account(&Caller::Local, Payer::Local),
        client: None,
        resolved,
        is_ephemeral: true,
        idempotency: None,
    };
    let (session, _) = registry.create(spec).await?;
    let _deleted = Deleted(registry, session.id);
    let mut end = ProgramEnd {
        exitstatus: 255,
        outcome: Outcome::Lost,
        stdout: vec![],
        stderr: vec![],
        has_messages: false,
    };
    let mut follower = registry.follow(&session, 0);
    let mut progress = session.watch();
    let started = progress.wait_for(|progress| progress.started_us.is_some() || progress.ended.is_some());
    // An error means that the session has ended, as the follower tells.
    let _ = tokio::time::timeout(START_TIMEOUT, started).await.map_err(|_| CheckError::NotStarted)?;
    let read = async {
        while let Some(batch) = follower.next().await? {
            match batch {
                Batch::Items(items) => items.iter().for_each(|item| end.add(item)),
                Batch::LargeMessage(_) => end.has_messages = true,
            }
        }
        Ok::<_, FollowError>(())
    };
    match tokio::time::timeout(PROGRAM_TIMEOUT, read).await {
        Ok(read) => read?,
        Err(_) => end.outcome = Outcome::Timeout,
    }
    match end.outcome {
        Outcome::Lost | Outcome::Cancelled => Err(CheckError::Interrupted),
        _ => Ok(end),
    }
}

impl ProgramEnd {
    fn add(&mut self, item: &Item) {
        let Item::Entry(entry) = item else { return };
        let add = |kept: &mut Vec<u8>| {
            let room = MAX_OUTPUT_BYTES.saturating_sub(kept.len());
            kept.extend_from_slice(&entry.data[..entry.data.len().min(room)]);
        };
        match entry.kind {
            Kind::Stdout => add(&mut self.stdout),
            Kind::Stderr | Kind::CompilerOutput => add(&mut self.stderr),
            Kind::Message => self.has_messages = true,
            Kind::Exit => {
                if let Ok(closing) = serde_json::from_slice::<ClosingEntry>(&entry.data) {
                    (self.exitstatus, self.outcome) = (closing.exitstatus, closing.outcome);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_no_answer() {
        let answer = |exitstatus, outcome, stdout: &str, stderr: &str| {
            let (stdout, stderr) = (stdout.into(), stderr.into());
            ProgramEnd { exitstatus, outcome, stdout, stderr, has_messages: false }.answer()
        };
        assert_eq!(answer(0, Outcome::Exited, "tool 4.5\n", "warning 18\n"), "tool 4.5\n");
        assert_eq!(answer(0, Outcome::Exited, "\n", "openjdk 17\n"), "openjdk 17\n");
        assert_eq!(answer(1, Outcome::Exited, "", "bash: line 18: no tool\n"), "");
        assert_eq!(answer(137, Outcome::Memory, "tool 4.5\n", ""), "");
    }
}
