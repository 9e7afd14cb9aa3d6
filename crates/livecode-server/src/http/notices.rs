//! Notices: messages of the server on a stream, besides the session's entries, for clients that ask
//! for them (`?notices=1`).

use std::{sync::Arc, time::Duration};

use livecode_protocol::stream::ServerMessage;
use tokio::sync::watch;

use crate::{http::app::App, sessions::Session};

/// The least time between two notices of one stream about the place in the queue.
const QUEUED_INTERVAL: Duration = Duration::from_secs(1);

/// The notices of one stream: the session's place in the queue of those that wait to run, and each
/// later place.
pub(crate) struct Notices {
    app: App,
    session: Arc<Session>,
    /// Changes whenever the queue does; `None` if there are no notices any more.
    queue_changes: Option<watch::Receiver<()>>,
    /// The place that was told last.
    told: Option<u64>,
}

impl Notices {
    /// The notices of a stream of `session`, if the client wants them.
    pub fn new(app: &App, session: &Arc<Session>, are_wanted: bool) -> Self {
        let queue_changes = are_wanted.then(|| app.registry.queue_changes());
        Self { app: app.clone(), session: session.clone(), queue_changes, told: None }
    }

    /// Waits for the next notice. Once there are none any more, this never returns.
    pub async fn next(&mut self) -> ServerMessage<'static> {
        loop {
            let Some(changes) = &mut self.queue_changes else { std::future::pending().await };
            changes.mark_unchanged();
            match self.app.registry.queue_position(&self.session) {
                None => self.queue_changes = None,
                Some(position) if self.told == Some(position) => {
                    // An error means that the server is about to end.
                    let _ = changes.changed().await;
                    tokio::time::sleep(QUEUED_INTERVAL).await;
                }
                Some(position) => {
                    self.told = Some(position);
                    return ServerMessage::Queued { position };
                }
            }
        }
    }
}
