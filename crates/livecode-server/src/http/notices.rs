//! Notices: messages of the server on a stream, besides the session's entries, for clients that ask
//! for them (`?notices=1`).

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use livecode_protocol::stream::{InputFile, ServerMessage};
use tokio::sync::watch;

use crate::{
    http::app::App,
    sessions::{Session, SessionProgress},
};

/// The least time between two notices of one stream about the place in the queue.
const QUEUED_INTERVAL: Duration = Duration::from_secs(1);

/// The notices of one stream.
pub(crate) struct Notices {
    places: QueuePlaces,
    waits: InputWaits,
}

impl Notices {
    /// The notices of a stream of `session`, if the client wants them.
    pub fn new(app: &App, session: &Arc<Session>, are_wanted: bool) -> Self {
        let changes = are_wanted.then(|| app.registry.queue_changes());
        let places = QueuePlaces { app: app.clone(), session: session.clone(), changes, told: None };
        let progress = are_wanted.then(|| session.watch());
        Self { places, waits: InputWaits { progress, told: None } }
    }

    /// Waits for the next notice to a client that has the session's entries up to the number
    /// `position`. Once there are none any more, this never returns.
    pub async fn next(&mut self, position: u64) -> ServerMessage<'static> {
        tokio::select! {
            position = self.places.next() => ServerMessage::Queued { position },
            is_waiting = self.waits.next(position) => {
                ServerMessage::Waiting { file: is_waiting.then_some(InputFile::Stdin) }
            }
        }
    }
}

/// The session's place in the queue of those that wait to run, and each later place.
struct QueuePlaces {
    app: App,
    session: Arc<Session>,
    /// Changes whenever the queue does; `None` if no more places are to be told.
    changes: Option<watch::Receiver<()>>,
    /// The place that was told last.
    told: Option<u64>,
}

impl QueuePlaces {
    async fn next(&mut self) -> u64 {
        loop {
            let Some(changes) = &mut self.changes else { std::future::pending().await };
            changes.mark_unchanged();
            match self.app.registry.queue_position(&self.session) {
                None => self.changes = None,
                Some(position) if self.told == Some(position) => {
                    // An error means that the server is about to end.
                    let _ = changes.changed().await;
                    tokio::time::sleep(QUEUED_INTERVAL).await;
                }
                Some(position) => {
                    self.told = Some(position);
                    return position;
                }
            }
        }
    }
}

/// Whether the program waits for standard input.
struct InputWaits {
    /// `None` if nothing more is to be told.
    progress: Option<watch::Receiver<SessionProgress>>,
    /// The number of the wait that was told last; `None` if the client believes that the program
    /// does not wait.
    told: Option<NonZeroU32>,
}

impl InputWaits {
    /// Waits until the client is to be told that the program waits, or that it does not any more.
    /// Each new wait is told. That one has ended is not, if the next one has begun by then. First
    /// the client must have what the program wrote before. The end of the session ends a wait,
    /// too, and its entry says so.
    async fn next(&mut self, position: u64) -> bool {
        loop {
            let Some(changes) = &mut self.progress else { std::future::pending().await };
            let progress = *changes.borrow_and_update();
            if progress.ended.is_none() && progress.wait != self.told && progress.entries <= position {
                self.told = progress.wait;
                return progress.wait.is_some();
            }
            if progress.ended.is_some() || changes.changed().await.is_err() {
                self.progress = None;
            }
        }
    }
}
