//! A connection that is closed so that the client gets the last that was said.
//!
//! A socket that is closed while the client still sends is reset, and the reset takes along what the client has not read
//! yet: the 413, the 408, or the close frame that would have told it why. So the server stops writing first, and goes on
//! reading, and throwing away, for a little while (RFC 9112, section 9.6).

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

/// How long a client may go on sending what nobody wants.
const TIMEOUT: Duration = Duration::from_secs(5);
/// And how many bytes of it are taken: what a client in good faith has on its way, and no flood.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// How many clients at once; further ones are reset.
const MAX_LINGERING: usize = 256;
/// How long a client may take nothing at all of what it asked for: its connection is one of those that there are.
const STALL_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes thrown away at once.
const READ_BYTES: usize = 64 * 1024;

/// Room for connections that linger.
#[derive(Clone)]
pub(crate) struct Room(Arc<Semaphore>);

impl Room {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LINGERING)))
    }
}

/// A client's connection, with its right to be open.
pub(crate) struct Lingering {
    /// Gone only while it is dropped.
    stream: Option<TcpStream>,
    room: Room,
    /// Whether the client has closed its side.
    has_ended: bool,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl Lingering {
    pub fn new(stream: TcpStream, room: Room, permit: OwnedSemaphorePermit) -> Self {
        Self { stream: Some(stream), room, has_ended: false, stalled: None, _permit: permit }
    }

    /// Gives up what is written to a client that has taken nothing for too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_TIMEOUT)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let (Some(mut stream), false) = (self.stream.take(), self.has_ended) else { return };
        let (Ok(room), Ok(runtime)) =
            (self.room.0.clone().try_acquire_owned(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        runtime.spawn(async move {
            let _room = room;
            let rest = async {
                stream.shutdown().await?;
                let mut unwanted = vec![0; READ_BYTES];
                let mut rest = stream.take(MAX_BYTES);
                while rest.read(&mut unwanted).await? > 0 {}
                io::Result::Ok(())
            };
            let _ = tokio::time::timeout(TIMEOUT, rest).await;
        });
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = self.stream()?.poll_read(cx, buf);
        match &polled {
            Poll::Ready(Ok(())) if buf.filled().len() == before && buf.remaining() > 0 => {
                self.has_ended = true
            }
            Poll::Ready(Err(_)) => self.has_ended = true,
            _ => {}
        }
        polled
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(cx, buf);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(cx, bufs);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream over plain HTTP has no pings: one whose client lives but never reads would be kept for ever.
    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let mut lingering = Lingering::new(stream, Room::new(), permit);
        let began = tokio::time::Instant::now();
        let written = async {
            loop {
                if let Err(error) = lingering.write_all(&[0; 65536]).await {
                    return error;
                }
            }
        };
        let error = tokio::time::timeout(STALL_TIMEOUT * 2, written).await.expect("it waits for ever");
        assert_eq!((error.kind(), began.elapsed() >= STALL_TIMEOUT), (io::ErrorKind::TimedOut, true));
        client.read_exact(&mut [0; 65536]).await.unwrap(); // it was there all the time
    }
}
