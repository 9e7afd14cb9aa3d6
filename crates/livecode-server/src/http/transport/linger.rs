//! A connection that is closed in such a way that the client still gets the last bytes.
//!
//! A socket that is closed while the client is sending is reset, and a reset discards what the
//! client has not read yet: the 413, the 408 or the close frame that tells it the reason. The
//! server therefore shuts down its writing side first, and for a short time goes on reading and
//! discarding what the client sends (RFC 9112, section 9.6).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::{Sleep, sleep},
};

use crate::{
    auth::Portion,
    http::transport::{connections::ConnectionPermit, stream::ClientStream},
};

/// How long a closed connection lingers while its client goes on sending.
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
/// How many bytes a lingering connection reads and discards. A well-behaved client has no more
/// than this on its way; a flood is cut off.
const MAX_LINGER_BYTES: u64 = 16 * 1024 * 1024;
/// How long a write may make no progress. A client that does not read occupies one of the limited
/// connections, so the write fails after this time.
const STALL_TIMEOUT: Duration = Duration::from_secs(300);
/// Size of the buffer for discarded bytes.
const DISCARD_BUFFER_BYTES: usize = 64 * 1024;

/// A client's connection, which lingers when it is dropped. It holds its permit to be open until
/// then; how many linger is limited apart from it.
pub(crate) struct LingeringStream {
    /// `None` only while `drop` runs.
    stream: Option<ClientStream>,
    /// Whether reading has come to its end: the client closed its side, or the connection broke.
    read_has_ended: bool,
    /// Runs while a write makes no progress.
    stall_timer: Option<Pin<Box<Sleep>>>,
    permit: ConnectionPermit,
}

impl LingeringStream {
    pub fn new(stream: ClientStream, permit: ConnectionPermit) -> Self {
        Self { stream: Some(stream), read_has_ended: false, stall_timer: None, permit }
    }

    /// Makes a write fail with `TimedOut` once writes have made no progress for [`STALL_TIMEOUT`].
    fn with_stall_timeout<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stall_timer = None;
            return write;
        }
        let timer = self.stall_timer.get_or_insert_with(|| Box::pin(sleep(STALL_TIMEOUT)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn stream(&mut self) -> io::Result<Pin<&mut ClientStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for LingeringStream {
    fn drop(&mut self) {
        let (Some(stream), false) = (self.stream.take(), self.read_has_ended) else { return };
        linger(stream, self.permit.linger());
    }
}

/// Closes a connection, with the right `portion` to linger; without it the connection is reset.
pub(super) fn linger(mut stream: ClientStream, portion: Option<Portion>) {
    let (Some(portion), Ok(runtime)) = (portion, tokio::runtime::Handle::try_current()) else { return };
    runtime.spawn(async move {
        let _portion = portion;
        let linger = async {
            stream.shutdown().await?;
            let mut buffer = vec![0; DISCARD_BUFFER_BYTES];
            let mut rest = stream.take(MAX_LINGER_BYTES);
            while rest.read(&mut buffer).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(LINGER_TIMEOUT, linger).await;
    });
}

impl AsyncRead for LingeringStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = self.stream()?.poll_read(cx, buf);
        match &polled {
            Poll::Ready(Ok(())) if buf.filled().len() == before && buf.remaining() > 0 => {
                self.read_has_ended = true
            }
            Poll::Ready(Err(_)) => self.read_has_ended = true,
            _ => {}
        }
        polled
    }
}

impl AsyncWrite for LingeringStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let write = self.stream()?.poll_write(cx, buf);
        self.with_stall_timeout(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = self.stream()?.poll_write_vectored(cx, bufs);
        self.with_stall_timeout(cx, write)
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

    /// Plain HTTP has no pings. Without the timeout a connection whose client is alive but never
    /// reads would stay open for ever.
    #[tokio::test(start_paused = true)]
    async fn a_write_to_a_client_that_does_not_read_times_out() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let permit = crate::http::transport::connections::tests::permit();
        let mut lingering = LingeringStream::new(ClientStream::Tcp(stream), permit);
        let began = tokio::time::Instant::now();
        let write_until_error = async {
            loop {
                if let Err(error) = lingering.write_all(&[0; 65536]).await {
                    return error;
                }
            }
        };
        let error = tokio::time::timeout(STALL_TIMEOUT * 2, write_until_error).await.expect("no timeout");
        assert_eq!((error.kind(), began.elapsed() >= STALL_TIMEOUT), (io::ErrorKind::TimedOut, true));
        client.read_exact(&mut [0; 65536]).await.unwrap(); // the client was connected all the time
    }
}
