//! The half of a connection that sends: the session's messages, answers to the client, and pings.

use std::{io, time::Duration};

use futures_util::{SinkExt as _, stream::SplitSink};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use super::{
    client_activity::ClientActivity,
    frame::{CloseReason, OutgoingFrame},
    upgrade::Websocket,
};
use crate::http::{
    app::App,
    encode::{
        Dialect, message_json,
        pieces::{MessagePieces, Piece},
    },
    notices::Notices,
};
use crate::sessions::{Batch, Follower};

/// How many pings a client may leave unanswered before it counts as disconnected.
pub(super) const MAX_UNANSWERED_PINGS: u32 = 3;
/// How long it may take to send one batch of messages, or one piece of a large message, to a
/// client that reads slowly.
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a connection waits, after its session has ended, for the answers to the client's last
/// messages.
const FINAL_ACK_TIMEOUT: Duration = Duration::from_secs(1);

/// The next thing to send.
enum Outgoing {
    Batch(Batch),
    Message(Message),
}

/// Why something was not sent.
enum SendError {
    /// The client has disconnected, or has not read for too long.
    Disconnected,
    /// A large message could not be read.
    Journal(io::Error),
}

/// Sends until the session ends or the connection must be closed.
///
/// Returns how to close the connection, or `None` if the client has disconnected.
pub(super) async fn send_loop(
    sink: &mut SplitSink<Websocket, Message>,
    app: &App,
    mut follower: Follower,
    mut notices: Notices,
    dialect: Dialect,
    mut frames: mpsc::Receiver<OutgoingFrame>,
    activity: &ClientActivity,
) -> Option<CloseReason> {
    let ping_interval = Duration::from_millis(app.config.ping_interval_ms);
    let mut pings = tokio::time::interval_at(Instant::now() + ping_interval, ping_interval);
    loop {
        let (progress, position) = (follower.watch(), follower.position());
        let outgoing = tokio::select! {
            batch = follower.next() => match batch {
                Ok(Some(batch)) => Outgoing::Batch(batch),
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
                OutgoingFrame::Text(text) | OutgoingFrame::Error { text, .. } => {
                    Outgoing::Message(Message::text(text))
                }
                OutgoingFrame::Close(reason) => return Some(reason),
            },
            notice = notices.next(position) => Outgoing::Message(Message::text(message_json(&notice))),
            _ = pings.tick() => {
                // Half an interval is added because the last ping was sent a little after its
                // tick.
                if activity.idle_time() > ping_interval * MAX_UNANSWERED_PINGS + ping_interval / 2 {
                    return None;
                }
                Outgoing::Message(Message::Ping(Default::default()))
            }
            () = app.stopped_for_reader(progress) => return Some(CloseReason::server_restart()),
        };
        let is_ping = matches!(outgoing, Outgoing::Message(Message::Ping(_)));
        let sent = match outgoing {
            Outgoing::Message(message) => in_time(sink.send(message)).await,
            Outgoing::Batch(batch) => send_batch(sink, batch, dialect, app, activity).await,
        };
        match sent {
            Ok(()) => {}
            Err(SendError::Disconnected) => return None,
            Err(SendError::Journal(error)) => {
                tracing::error!(%error, "cannot read a journal");
                return Some(CloseReason::unreadable_journal());
            }
        }
        if !is_ping {
            // A client that accepts output is active, although its pong may be late: it sends the
            // pong only after it has read the megabytes that were sent before the ping.
            activity.record();
        }
    }
}

/// Fails if sending takes longer than [`SEND_TIMEOUT`].
async fn in_time(send: impl Future<Output = tungstenite::Result<()>>) -> Result<(), SendError> {
    match timeout(SEND_TIMEOUT, send).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(SendError::Disconnected),
    }
}

/// Sends what a follower has read. Each message is encoded when the connection takes it, so a
/// client that does not read holds one encoded message at most, and of a large one a piece.
async fn send_batch(
    sink: &mut SplitSink<Websocket, Message>,
    batch: Batch,
    dialect: Dialect,
    app: &App,
    activity: &ClientActivity,
) -> Result<(), SendError> {
    let message = match batch {
        Batch::Items(items) => {
            let send = async {
                for item in items {
                    let text = dialect.message(&item);
                    app.metrics.count_sent(1, text.len());
                    sink.feed(Message::text(text)).await?;
                }
                sink.flush().await
            };
            return in_time(send).await;
        }
        Batch::LargeMessage(message) => message,
    };
    let mut pieces = MessagePieces::new(message, dialect, String::new(), "");
    while let Some(Piece { text, is_first, is_last }) = pieces.next().map_err(SendError::Journal)? {
        app.metrics.count_sent(is_last.into(), text.len());
        let code = if is_first { Data::Text } else { Data::Continue };
        let frame = Frame::message(text, OpCode::Data(code), is_last);
        in_time(sink.send(Message::Frame(frame))).await?;
        activity.record();
    }
    Ok(())
}

/// Sends the answers to the client's last messages, which the supervisor may have taken just
/// before the session ended. Returns when every message is answered, or `None` if the client has
/// disconnected.
async fn send_final_answers(
    sink: &mut SplitSink<Websocket, Message>,
    frames: &mut mpsc::Receiver<OutgoingFrame>,
    activity: &ClientActivity,
) -> Option<()> {
    let mut unanswered = activity.unanswered.subscribe();
    loop {
        let all_answered = async { drop(unanswered.wait_for(|count| *count == 0).await) };
        tokio::select! {
            biased;
            Some(frame) = frames.recv() => match frame {
                OutgoingFrame::Text(text) | OutgoingFrame::Error { text, .. } => {
                    sink.feed(Message::text(text)).await.ok()?;
                }
                OutgoingFrame::Close(..) => return Some(()),
            },
            () = all_answered => return Some(()),
        }
    }
}
