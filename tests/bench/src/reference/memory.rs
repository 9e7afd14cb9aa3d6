//! An upper bound of the streaming rate: a websocket server that sends bytes from its memory.

use std::io::Write as _;

use anyhow::Result;
use axum::{
    Router,
    extract::{
        WebSocketUpgrade,
        ws::{Message, Utf8Bytes, WebSocket},
    },
    routing::get,
};

use crate::text::LINE;

/// The length of a frame's payload, in bytes.
const FRAME_BYTES: usize = 64 * 1024;

/// Prints the server's address, and serves until the process is killed. Each client is sent
/// `bytes` bytes, rounded up to whole frames.
pub fn serve(bytes: usize) -> Result<()> {
    let text = Utf8Bytes::from(LINE.repeat(FRAME_BYTES.div_ceil(LINE.len())));
    let text = Utf8Bytes::from(&text.as_str()[..FRAME_BYTES]);
    let frames = bytes.div_ceil(FRAME_BYTES);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{}", listener.local_addr()?)?;
        stdout.flush()?;
        let upgrade = get(move |upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(move |websocket| send(websocket, text, frames))
        });
        axum::serve(listener, Router::new().route("/", upgrade)).await?;
        Ok(())
    })
}

/// Sends `frames` frames, and then a close frame.
async fn send(mut websocket: WebSocket, text: Utf8Bytes, frames: usize) {
    for _ in 0..frames {
        if websocket.send(Message::Text(text.clone())).await.is_err() {
            return; // the client has disconnected
        }
    }
    let _ = websocket.send(Message::Close(None)).await;
}
