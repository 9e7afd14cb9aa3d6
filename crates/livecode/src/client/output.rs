//! Writes standard output and standard error in a separate thread, so that a slow reader of the
//! output does not delay the handling of Ctrl-C. The session's messages and standard input are
//! delayed: while the queue of chunks is full, nothing is read from the server, so
//! acknowledgements are not received, and at most one more message of standard input is sent.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
};

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::{mpsc, oneshot};

/// Chunks that may wait to be written. While the queue is full, no message is read from the
/// server.
const MAX_QUEUED_CHUNKS: usize = 16;

/// The stream that a chunk is written to.
pub enum OutputStream {
    Stdout,
    Stderr,
}

/// What has changed at the output thread.
pub enum OutputEvent {
    /// There is room for another chunk.
    HasRoom,
    /// Standard output cannot be written to.
    Failed(io::Error),
}

/// Bytes for one of the two streams.
type Chunk = (OutputStream, Vec<u8>);

/// The handle to the output thread.
pub struct Output {
    queue: mpsc::Sender<Chunk>,
    /// The result of the thread. It arrives at once after a failed write, and otherwise when all
    /// chunks are written.
    result: oneshot::Receiver<io::Result<()>>,
}

impl Output {
    /// Starts the thread.
    ///
    /// # Errors
    /// If a descriptor cannot be duplicated or the thread cannot be started.
    pub fn start() -> io::Result<Self> {
        let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let mut stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let (queue, mut chunks) = mpsc::channel::<Chunk>(MAX_QUEUED_CHUNKS);
        let (result_sender, result) = oneshot::channel();
        std::thread::Builder::new().name("output".into()).spawn(move || {
            let mut written = Ok(());
            while written.is_ok()
                && let Some((stream, bytes)) = chunks.blocking_recv()
            {
                match stream {
                    OutputStream::Stdout => written = write_all(&mut stdout, &bytes),
                    // A closed standard error does not end a program, so it does not end the
                    // command either.
                    OutputStream::Stderr => drop(write_all(&mut stderr, &bytes)),
                }
            }
            let _ = result_sender.send(written); // fails only if the viewer has ended already
        })?;
        Ok(Self { queue, result })
    }

    /// Whether the queue has room for a chunk.
    pub fn has_room(&self) -> bool {
        self.queue.capacity() > 0
    }

    /// Queues a chunk to be written after all earlier ones. The queue must have room.
    pub fn write(&self, stream: OutputStream, bytes: Vec<u8>) {
        // If the thread has ended, `next_event` reports why.
        let _ = self.queue.try_send((stream, bytes));
    }

    /// Waits for a failure and, if `wants_room`, for room. The caller decides this by the value of
    /// [`Self::has_room`] by which it also decides whether to read from the server: the output
    /// thread may make room at any time, and with two different values nothing would be awaited.
    pub async fn next_event(&mut self, wants_room: bool) -> OutputEvent {
        tokio::select! {
            result = &mut self.result => {
                OutputEvent::Failed(result.unwrap_or(Ok(())).err().unwrap_or_else(thread_ended))
            }
            Ok(_) = self.queue.reserve(), if wants_room => OutputEvent::HasRoom,
        }
    }

    /// Waits until all chunks are written.
    ///
    /// # Errors
    /// If standard output cannot be written to.
    pub async fn finish(self) -> io::Result<()> {
        drop(self.queue);
        self.result.await.unwrap_or_else(|_| Err(thread_ended()))
    }
}

fn thread_ended() -> io::Error {
    io::Error::other("the output thread has ended")
}

/// Writes all bytes. The descriptor may be non-blocking, since another process can have set this
/// for a shared terminal; then the function waits until the descriptor is writable.
fn write_all(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(file, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
