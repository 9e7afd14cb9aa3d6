//! The bytes that a client sends on a websocket: charged to its payer while a message is not
//! complete or not handled, given up when a message takes too long, and discarded unparsed once
//! the connection is being closed.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::frame_scanner::FrameScanner;
use crate::held_bytes::{HeldBytes, OverBudget};

/// The most frames of one message. Each frame costs work even if it is empty.
const MAX_FRAMES_OF_A_MESSAGE: u32 = 16 * 1024;
/// How many bytes are read and discarded while the client has yet to read our close frame.
const MAX_DISCARDED_BYTES: u64 = 16 * 1024 * 1024;
/// Size of the buffer for discarded bytes.
const DISCARD_BUFFER_BYTES: usize = 16 * 1024;

/// The reason for reading no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageRefused {
    /// The byte budget has no room for the message.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The message did not arrive within `body_timeout_ms`.
    #[error("the message did not arrive in time")]
    TooSlow,
    /// The message has more than [`MAX_FRAMES_OF_A_MESSAGE`] frames.
    #[error("the message has too many frames")]
    TooManyFrames,
}

/// The state that the stream shares with the code that handles its messages.
struct Shared {
    held: HeldBytes,
    /// The part of `held` that belongs to a message that is not complete.
    unfinished_bytes: u64,
    /// How long bytes are discarded from now on; `None` as long as messages are read.
    discard: Option<Duration>,
}

/// The charge for one connection's messages. Clones share it.
#[derive(Clone)]
pub(crate) struct MessageMeter(Arc<Mutex<Shared>>);

impl MessageMeter {
    pub fn new(held: HeldBytes) -> Self {
        Self(Arc::new(Mutex::new(Shared { held, unfinished_bytes: 0, discard: None })))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over the charge of the messages that are complete.
    pub fn take_complete(&self) -> HeldBytes {
        let mut shared = self.shared();
        let unfinished_bytes = shared.unfinished_bytes;
        shared.held.split_off(unfinished_bytes)
    }

    /// From now on no byte is parsed. The client is told that nothing more will be sent, and what
    /// it sends is discarded for at most so long.
    pub fn discard_for(&self, time: Duration) {
        self.shared().discard = Some(time);
    }
}

/// A client's connection below its websocket.
pub(crate) struct MeteredStream<S> {
    inner: S,
    meter: MessageMeter,
    scanner: FrameScanner,
    /// How long a message may take.
    timeout: Duration,
    /// Runs while a message is not complete.
    deadline: Option<Pin<Box<Sleep>>>,
    /// When the last bytes were passed on. The client is not to blame for the time from then until
    /// the next are asked for.
    read_at: Option<Instant>,
    discarding: Option<Discarding>,
}

/// The state after [`MessageMeter::discard_for`].
struct Discarding {
    timer: Pin<Box<Sleep>>,
    bytes_left: u64,
    has_shut_down: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> MeteredStream<S> {
    pub fn new(inner: S, meter: MessageMeter, timeout: Duration) -> Self {
        let scanner = FrameScanner::default();
        Self { inner, meter, scanner, timeout, deadline: None, read_at: None, discarding: None }
    }

    /// Charges new bytes, and starts or stops the deadline.
    fn account(&mut self, bytes: &[u8]) -> Result<(), MessageRefused> {
        let scanned = self.scanner.scan(bytes);
        let mut shared = self.meter.shared();
        shared.held.grow(scanned.message_bytes)?;
        shared.unfinished_bytes = self.scanner.unfinished_bytes();
        drop(shared);
        if self.scanner.unfinished_frames() > MAX_FRAMES_OF_A_MESSAGE {
            return Err(MessageRefused::TooManyFrames);
        }
        if scanned.has_completed || !self.scanner.is_unfinished() {
            self.deadline = None;
        }
        if self.scanner.is_unfinished() && self.deadline.is_none() {
            self.deadline = Some(Box::pin(sleep(self.timeout)));
        }
        Ok(())
    }

    /// Reads and discards until the client closes its side, or has had its time or bytes. All of
    /// this is the end of the stream.
    fn poll_discard(&mut self, cx: &mut Context<'_>, time: Duration) -> Poll<io::Result<()>> {
        let discarding = self.discarding.get_or_insert_with(|| Discarding {
            timer: Box::pin(sleep(time)),
            bytes_left: MAX_DISCARDED_BYTES,
            has_shut_down: false,
        });
        if discarding.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !discarding.has_shut_down {
            // The close frame is sent already, so the client reads it before the end.
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            discarding.has_shut_down = true;
        }
        let mut buffer = [0; DISCARD_BUFFER_BYTES];
        loop {
            let mut unused = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut unused))?;
            let length = unused.filled().len() as u64;
            discarding.bytes_left = discarding.bytes_left.saturating_sub(length);
            if length == 0 || discarding.bytes_left == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for MeteredStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let discard = this.meter.shared().discard;
        if let Some(time) = discard {
            return this.poll_discard(cx, time);
        }
        if let (Some(read_at), Some(deadline)) = (this.read_at.take(), &mut this.deadline) {
            let later = deadline.deadline() + read_at.elapsed();
            deadline.as_mut().reset(later);
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                let now = Instant::now();
                this.read_at = Some(now);
                this.account(&buffer.filled()[before..]).map_err(io::Error::other)?;
                // A client that sends without a pause lets the timer have no turn.
                if this.deadline.as_ref().is_some_and(|deadline| deadline.deadline() <= now) {
                    return Poll::Ready(Err(io::Error::other(MessageRefused::TooSlow)));
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if let Some(deadline) = &mut this.deadline {
                    ready!(deadline.as_mut().poll(cx));
                    return Poll::Ready(Err(io::Error::other(MessageRefused::TooSlow)));
                }
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MeteredStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
