//! The way out: standard output and standard error, written by a thread of their own, so that a reader who stands still
//! holds up the session's messages but neither Ctrl-C nor what is typed.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
};

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::{mpsc, oneshot};

/// Pieces that wait to be written; while there are more, no message is read.
const QUEUED_PIECES: usize = 16;

/// Where a piece goes.
pub enum To {
    Stdout,
    Stderr,
}

/// What became of the way out.
pub enum Event {
    /// There is room for another piece.
    Room,
    /// Standard output cannot be written to.
    Failed(io::Error),
}

/// Some bytes for one of the outputs.
type Piece = (To, Vec<u8>);

/// The two outputs.
pub struct Output {
    queue: mpsc::Sender<Piece>,
    /// How writing ended: at once where it failed, else when everything is written.
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Output {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where there can be no further descriptor or thread.
    pub fn start() -> io::Result<Self> {
        let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let mut stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let (queue, mut queued) = mpsc::channel::<Piece>(QUEUED_PIECES);
        let (sender, ended) = oneshot::channel();
        std::thread::Builder::new().name("output".into()).spawn(move || {
            let mut written = Ok(());
            while written.is_ok()
                && let Some((to, bytes)) = queued.blocking_recv()
            {
                match to {
                    To::Stdout => written = write_all(&mut stdout, &bytes),
                    // A program runs on without a standard error, and so do we.
                    To::Stderr => drop(write_all(&mut stderr, &bytes)),
                }
            }
            let _ = sender.send(written); // nobody asks any more
        })?;
        Ok(Self { queue, ended })
    }

    /// Whether a piece can be put at once.
    pub fn has_room(&self) -> bool {
        self.queue.capacity() > 0
    }

    /// Has a piece written, after all before it. There must be room.
    pub fn put(&self, to: To, bytes: Vec<u8>) {
        // Where writing has failed, `changed` says so.
        let _ = self.queue.try_send((to, bytes));
    }

    /// Waits for a failure, or for room where there is none.
    pub async fn changed(&mut self) -> Event {
        let is_full = !self.has_room();
        tokio::select! {
            ended = &mut self.ended => Event::Failed(ended.unwrap_or(Ok(())).err().unwrap_or_else(gone)),
            Ok(_) = self.queue.reserve(), if is_full => Event::Room,
        }
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// Where standard output cannot be written to.
    pub async fn finish(self) -> io::Result<()> {
        drop(self.queue);
        self.ended.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that writes it has ended")
}

/// Writes everything, and waits where the descriptor does not: a terminal that is shared may be set so.
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
