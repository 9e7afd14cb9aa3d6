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

/// How long a program of a check may take, besides its own limits.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(180);
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
    /// The program was ended by something that is not its own, as the end of the server.
    #[error("the program of the check was ended from outside")]
    Interrupted,
    /// The server failed.
    #[error("the server failed")]
    Server(#[source] io::Error),
}

/// What a program has done until its end.
#[derive(Debug)]
pub(super) struct ProgramEnd {
    pub exitstatus: i32,
    pub outcome: Outcome,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    has_messages: bool,
}

impl ProgramEnd {
    /// What it wrote on standard output.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// What it wrote, on standard output first.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.stdout(), String::from_utf8_lossy(&self.stderr))
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
            Kind::Stderr => add(&mut self.stderr),
            Kind::Message => self.has_messages = true,
            Kind::Exit => {
                if let Ok(closing) = serde_json::from_slice::<ClosingEntry>(&entry.data) {
                    (self.exitstatus, self.outcome) = (closing.exitstatus, closing.outcome);
                }
            }
        }
    }
}
