//! Accepts connections and serves each of them, within the limits that apply to connections
//! rather than to single requests.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tower::Service as _;

use crate::http::{
    app::App,
    router::router,
    transport::{
        acceptor::{Accepted, Acceptor},
        emergency::EmergencyThreads,
        linger::{LingerPermits, LingeringStream},
    },
};

/// How long connections may stay open after the server was asked to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection is silent before TCP keepalive probes it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// The time between two keepalive probes. Linux drops the connection after nine without an answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// The pause after a failed accept, for example because there are no descriptors left.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the server is asked to stop, then closes the open connections. Programs go on
/// running.
///
/// # Errors
/// If what is made ahead of connections cannot be made.
pub(crate) async fn serve(app: App, listener: TcpListener) -> io::Result<()> {
    let max_connections = u32::try_from(app.config.connections_max).unwrap_or(u32::MAX);
    let permits = Arc::new(Semaphore::new(max_connections as usize));
    let (builder, router) = (http1_builder(&app), router(app.clone()));
    let emergency_threads = EmergencyThreads::start(&builder, &router)?;
    let linger_slots = LingerPermits::new();
    let server = ConnectionServer { builder, router, app: app.clone(), linger_slots, emergency_threads };
    let acceptor = Acceptor::new(listener)?;
    tokio::select! {
        () = accept(&acceptor, &permits, &server) => {}
        () = app.stopped() => {}
    }
    drop(acceptor);
    // Each connection, websockets included, holds its permit until it is closed or lingers.
    let all_closed = permits.acquire_many(max_connections);
    // An answer of v0.1 may take an hour. Its program ends when the timeout cuts the connection.
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, all_closed).await;
    Ok(())
}

/// HTTP/1.1 only. To tell other versions apart, hyper would have to wait for the first bytes of a
/// connection, and that wait has no timeout.
fn http1_builder(app: &App) -> http1::Builder {
    let mut builder = http1::Builder::new();
    let header_timeout = Duration::from_millis(app.config.header_timeout_ms);
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    builder
}

async fn accept(acceptor: &Acceptor, permits: &Arc<Semaphore>, server: &ConnectionServer) {
    while let Ok(permit) = permits.clone().acquire_owned().await {
        match acceptor.accept().await {
            Ok((Accepted::Registered(stream), peer)) => server.serve(stream, peer, permit),
            Ok((Accepted::Unregistered(stream), peer)) => {
                server.emergency_threads.serve(stream, peer, permit);
            }
            Err(error) if is_single_connection_error(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections at the moment");
                tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
            }
        }
    }
}

/// Whether accept(2) failed only because one client disconnected before it was accepted.
fn is_single_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Turns on TCP keepalive, so that the kernel notices a client that has vanished. A stream over
/// plain HTTP sends nothing while its program prints nothing, so a write may never fail.
fn enable_keepalive(stream: &TcpStream) {
    use rustix::net::sockopt;
    // Errors are ignored: the connection works without keepalive too.
    let _ = sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE);
    let _ = sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL);
    let _ = sockopt::set_socket_keepalive(stream, true);
}

/// Everything that is needed to serve one connection.
struct ConnectionServer {
    builder: http1::Builder,
    router: Router,
    app: App,
    linger_slots: LingerPermits,
    emergency_threads: EmergencyThreads,
}

impl ConnectionServer {
    /// Serves a connection in a task of its own.
    fn serve(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        // Without Nagle's algorithm a message is sent at once, not when more bytes have gathered.
        let _ = stream.set_nodelay(true);
        enable_keepalive(&stream);
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().call(request)
        });
        let stream = LingeringStream::new(stream, self.linger_slots.clone(), permit);
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let app = self.app.clone();
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let result = tokio::select! {
                result = connection.as_mut() => result,
                () = app.stopped() => {
                    // Requests that are being answered are answered to the end.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = result {
                tracing::debug!(%peer, %error, "a connection ended with an error");
            }
        });
    }
}
