//! Serves connections without the async runtime's poller, for the time in which it can watch no
//! further connection ([`super::acceptor`]).
//!
//! A few threads, started with the server, serve one connection each by poll(2), which needs no
//! registration. Thus a client can still list sessions and end the one that uses up the machine.
//! A connection gets one answer and no websocket, and is closed after [`CONNECTION_TIMEOUT`].

use std::{
    cell::Cell,
    io,
    os::fd::OwnedFd,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::IntoResponse as _,
};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use livecode_protocol::ErrorCode;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::{SendFlags, Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower::Service as _;

use crate::{
    auth::Peer,
    http::{problem::ApiError, transport::connections::ConnectionPermit},
};

/// Threads, and so connections that are served at once in this way.
const THREADS: usize = 8;
/// Connections that wait for a thread. Further ones are closed.
const MAX_WAITING: usize = 64;
/// How long one connection may take in all. The longest answer is that to a DELETE, which waits
/// until the session's processes are gone.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the head of the request may take. It is short, since the threads are few.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to serve.
struct Job {
    stream: OwnedFd,
    peer: Peer,
    /// Held until the connection is closed.
    _permit: ConnectionPermit,
}

/// The threads that serve connections in an emergency. They end when this is dropped.
pub(super) struct EmergencyThreads(SyncSender<Job>);

impl EmergencyThreads {
    /// Starts the threads. To be called on the async runtime: handlers use its timers and tasks.
    ///
    /// # Errors
    /// If an event descriptor or a thread cannot be made.
    pub fn start(builder: &http1::Builder, router: &Router) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut builder = builder.clone();
        builder.keep_alive(false).header_read_timeout(HEADER_TIMEOUT);
        for _ in 0..THREADS {
            let runtime = tokio::runtime::Handle::current();
            let (builder, router, receiver) = (builder.clone(), router.clone(), receiver.clone());
            // Made ahead of time, since descriptors may be scarce later.
            let alarm = Arc::new(Alarm(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?));
            std::thread::Builder::new().name("emergency".into()).spawn(move || {
                let _runtime = runtime.enter();
                while let Some(job) = next_job(&receiver) {
                    serve(job, &builder, &router, &alarm);
                }
            })?;
        }
        Ok(Self(sender))
    }

    /// Has a thread serve `stream`, whose operations must not block. Closes it if too many
    /// connections wait already.
    pub fn serve(&self, stream: OwnedFd, peer: Peer, permit: ConnectionPermit) {
        if self.0.try_send(Job { stream, peer, _permit: permit }).is_err() {
            tracing::warn!(%peer, "too many connections wait for a thread; one was closed");
        }
    }
}

/// Waits for the next job. Returns `None` once the server stops.
fn next_job(receiver: &Mutex<Receiver<Job>>) -> Option<Job> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Serves one connection to its end.
fn serve(job: Job, builder: &http1::Builder, router: &Router, alarm: &Arc<Alarm>) {
    let peer = job.peer;
    let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let mut router = router.clone();
        async move {
            if request.headers().contains_key(header::UPGRADE) {
                return Ok(websockets_unavailable().into_response());
            }
            router.call(request).await
        }
    });
    let interest = Rc::new(Cell::new(PollFlags::empty()));
    let stream = PolledStream { stream: &job.stream, interest: interest.clone() };
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    match drive(connection, &job.stream, &interest, alarm) {
        Some(Err(error)) => tracing::debug!(%peer, %error, "a connection ended with an error"),
        Some(Ok(())) => {}
        None => tracing::debug!(%peer, "a connection took too long and was closed"),
    }
}

fn websockets_unavailable() -> ApiError {
    let detail = "the server cannot keep a websocket open now, because the programs of its user watch too many descriptors; try again later";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::OutOfResources, detail)
        .with_header(header::RETRY_AFTER, "5")
}

/// Polls `future` whenever it asks for that, or `stream` is ready for what `interest` names.
/// Returns `None` after [`CONNECTION_TIMEOUT`].
fn drive<F: Future>(
    future: F,
    stream: &OwnedFd,
    interest: &Cell<PollFlags>,
    alarm: &Arc<Alarm>,
) -> Option<F::Output> {
    let deadline = Instant::now() + CONNECTION_TIMEOUT;
    let waker = Waker::from(alarm.clone());
    let mut future = pin!(future);
    loop {
        // Each poll of the future tells anew what it waits for.
        interest.set(PollFlags::empty());
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        let rest = deadline.checked_duration_since(Instant::now())?;
        let mut fds = [PollFd::new(&alarm.0, PollFlags::IN), PollFd::new(stream, interest.get())];
        // An interruption by a signal only polls the future once more than needed.
        let _ = poll(&mut fds, Timespec::try_from(rest).ok().as_ref());
        alarm.clear();
        // A connection that broke is reported whatever is waited for. If the future waits for
        // neither direction, it would be polled again and again.
        if fds[1].revents().intersects(PollFlags::ERR | PollFlags::HUP) && interest.get().is_empty() {
            return None;
        }
    }
}

/// An event descriptor that interrupts poll(2) when the future can make progress.
struct Alarm(OwnedFd);

impl Alarm {
    fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]); // it fails if there was no alarm
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        // This fails only if the counter is full, and then poll(2) returns anyway.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

/// A stream that tells [`drive`] what it waits for.
struct PolledStream<'s> {
    stream: &'s OwnedFd,
    interest: Rc<Cell<PollFlags>>,
}

impl PolledStream<'_> {
    /// Turns the result of an operation that would block into a wait for `flags`.
    fn or_wait<T>(&self, result: io::Result<T>, flags: PollFlags) -> Poll<io::Result<T>> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.interest.set(self.interest.get() | flags);
                Poll::Pending
            }
            other => Poll::Ready(other),
        }
    }
}

impl AsyncRead for PolledStream<'_> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = rustix::io::read(self.stream, buf.initialize_unfilled()).map_err(io::Error::from);
        self.or_wait(result, PollFlags::IN).map_ok(|length| buf.advance(length))
    }
}

impl AsyncWrite for PolledStream<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = rustix::net::send(self.stream, bytes, SendFlags::NOSIGNAL);
        self.or_wait(result.map_err(io::Error::from), PollFlags::OUT)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(self.stream, Shutdown::Write).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
    };

    use super::*;
    use crate::auth::PeerAddress;

    /// Sends `request` on a connection that an emergency thread serves. Returns the response.
    async fn answer(router: Router, request: &str) -> String {
        let mut builder = http1::Builder::new();
        builder.timer(hyper_util::rt::TokioTimer::new());
        let threads = EmergencyThreads::start(&builder, &router).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, address) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let permit = crate::http::transport::connections::tests::permit();
        threads.serve(stream.into(), Peer { address: PeerAddress::Tcp(address), is_own_user: false }, permit);
        let request = request.to_owned();
        let exchange = move || {
            client.write_all(request.as_bytes()).unwrap();
            let mut response = String::new();
            client.read_to_string(&mut response).unwrap();
            response
        };
        tokio::task::spawn_blocking(exchange).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_is_answered_and_the_connection_closed() {
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            "x".repeat(4 << 20)
        };
        let router = Router::new().route("/slow", axum::routing::get(slow));
        let response = answer(router, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("connection: close"), "{head}");
        assert_eq!(body.len(), 4 << 20);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_websocket_is_refused() {
        let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        let response = answer(Router::new(), request).await;
        assert!(response.starts_with("HTTP/1.1 503") && response.contains("out_of_resources"), "{response}");
    }
}
