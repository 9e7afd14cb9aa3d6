//! The half of a connection that sends: the session's messages, answers to the client, and pings.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::{SinkExt as _, stream::SplitSink};
use tokio::{sync::mpsc, time::Instant};

use super::{
    client_activity::ClientActivity,
    frame::{CloseReason, OutgoingFrame},
};
use crate::http::{app::App, encode::Dialect};
use crate::sessions::Follower;

/// How many pings a client may leave unanswered before it counts as disconnected.
pub(super) const MAX_UNANSWERED_PINGS: u32 = 3;
/// How long it may take to send one batch of messages to a client that reads slowly.
const SEND_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a connection waits, after its session has ended, for the answers to the client's last
/// messages.
const FINAL_ACK_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends until the session ends or the connection must be closed.
///
/// Returns how to close the connection, or `None` if the client has disconnected.
pub(super) async fn send_loop(
    sink: &mut SplitSink<WebSocket, Message>,
    app: &App,
    mut follower: Follower,
    dialect: Dialect,
    mut frames: mpsc::Receiver<OutgoingFrame>,
    activity: &ClientActivity,
) -> Option<CloseReason> {
    let ping_interval = Duration::from_millis(app.config.ping_interval_ms);
    let mut pings = tokio::time::interval_at(Instant::now() + ping_interval, ping_interval);
    loop {
        let progress = follower.watch();
        let messages: Vec<Message> = tokio::select! {
            items = follower.next() => match items {
                Ok(Some(items)) => {
                    let texts: Vec<String> = items.iter().map(|item| dialect.message(item)).collect();
                    app.metrics.count_sent(texts.len(), texts.iter().map(String::len).sum());
                    texts.into_iter().map(Message::text).collect()
                }
                Ok(None) => {
                    let answers = send_final_answers(sink, &mut frames, activity);
                    tokio::time::timeout(FINAL_ACK_TIMEOUT, answers).await.unwrap_or(Some(()))?;
                    return Some(CloseReason::session_ended());
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read a journal");
                    return Some(CloseReason::unreadable_journal());
                }
            },
            Some(frame) = frames.recv() => match frame {
                OutgoingFrame::Text(text) => vec![Message::text(text)],
                OutgoingFrame::Close(reason) => return Some(reason),
            },
            _ = pings.tick() => {
                // Half an interval is added because the last ping was sent a little after its
                // tick.
                if activity.idle_time() > ping_interval * MAX_UNANSWERED_PINGS + ping_interval / 2 {
                    return None;
                }
                vec![Message::Ping(Default::default())]
            }
            () = app.stopped_for_reader(progress) => return Some(CloseReason::server_restart()),
        };
        let is_ping = matches!(&*messages, [Message::Ping(_)]);
        let send = async {
            for message in messages {
                sink.feed(message).await?;
            }
            sink.flush().await
        };
        tokio::time::timeout(SEND_TIMEOUT, send).await.ok()?.ok()?;
        if !is_ping {
            // A client that accepts output is active, although its pong may be late: it sends the
            // pong only after it has read the megabytes that were sent before the ping.
            activity.record();
        }
    }
}

/// Sends the answers to the client's last messages, which the supervisor may have taken just
/// before the session ended. Returns when every message is answered, or `None` if the client has
/// disconnected.
async fn send_final_answers(
    sink: &mut SplitSink<WebSocket, Message>,
    frames: &mut mpsc::Receiver<OutgoingFrame>,
    activity: &ClientActivity,
) -> Option<()> {
    let mut unanswered = activity.unanswered.subscribe();
    loop {
        let all_answered = async { drop(unanswered.wait_for(|count| *count == 0).await) };
        tokio::select! {
            biased;
            Some(frame) = frames.recv() => match frame {
                OutgoingFrame::Text(text) => sink.feed(Message::text(text)).await.ok()?,
                OutgoingFrame::Close(..) => return Some(()),
            },
            () = all_answered => return Some(()),
        }
    }
}
