//! Accepts connections and serves each of them, within the limits that apply to connections
//! rather than to single requests.

use std::{io, os::fd::AsFd, pin::pin, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::SendFlags;
use tower::Service as _;

use crate::http::{
    app::App,
    router::router,
    transport::{
        acceptor::{Accepted, Acceptor},
        connections::{ConnectionPermit, Connections},
        emergency::EmergencyThreads,
        linger::{LingeringStream, linger},
        listeners::Listeners,
        stream::ClientStream,
    },
};
use crate::{
    auth::{Payer, PeerAddress},
    metrics::CONNECTIONS,
};

/// How long connections may stay open after the server was asked to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection is silent before TCP keepalive probes it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// The time between two keepalive probes. Linux drops the connection after nine without an answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// The pause after a failed accept, for example because there are no descriptors left.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The body of the response on a connection that is refused. It is the problem document of
/// [`ErrorCode::TooManyConnections`](livecode_protocol::ErrorCode), written out because there is
/// no request to answer.
const REFUSAL: &str = "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
    \"code\":\"too_many_connections\",\
    \"detail\":\"you have as many connections as you may have; close some first\"}";

/// Serves until the server is asked to stop, then closes the open connections. Programs go on
/// running.
///
/// # Errors
/// If what is made ahead of connections cannot be made.
pub(crate) async fn serve(app: App, listeners: Listeners) -> io::Result<()> {
    let connections = Connections::new(&app.config, app.policy.has_local_user());
    let (builder, router) = (http1_builder(&app), router(app.clone()));
    let emergency_threads = EmergencyThreads::start(&builder, &router)?;
    let server = ConnectionServer { builder, router, app: app.clone(), connections, emergency_threads };
    let acceptor = Acceptor::new(listeners)?;
    tokio::select! {
        () = accept(&acceptor, &server) => {}
        () = app.stopped() => {}
    }
    drop(acceptor);
    // Each connection, websockets included, holds its permit until it is closed or lingers.
    // An answer of v0.1 may take an hour. Its program ends when the timeout cuts the connection.
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, server.connections.all_closed()).await;
    Ok(())
}

/// HTTP/1.1 only. To tell other versions apart, hyper would have to wait for the first bytes of a
/// connection, and that wait has no timeout.
fn http1_builder(app: &App) -> http1::Builder {
    let mut builder = http1::Builder::new();
    let header_timeout = Duration::from_millis(app.config.header_timeout_ms);
    // The time begins when the connection is open or the last request was answered, so an idle
    // connection is closed after it too.
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    builder.max_buf_size(MAX_BUFFER_BYTES);
    builder
}

async fn accept(acceptor: &Acceptor, server: &ConnectionServer) {
    while let Some(permit) = server.connections.acquire().await {
        match acceptor.accept().await {
            Ok((accepted, address)) => match (accepted, server.connections.admit(address.ip(), permit)) {
                (Accepted::Registered(stream), Some(permit)) => server.serve(stream, address, permit),
                (Accepted::Registered(stream), None) => server.refuse(stream, address),
                (Accepted::Unregistered(stream), Some(permit)) => {
                    let peer = server.app.peer(&stream, address);
                    server.emergency_threads.serve(stream, peer, permit);
                }
                (Accepted::Unregistered(_), None) => {}
            },
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
fn enable_keepalive(stream: &impl AsFd) {
    use rustix::net::sockopt;
    // Errors are ignored: the connection works without keepalive too.
    let _ = sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE);
    let _ = sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL);
    let _ = sockopt::set_socket_keepalive(stream, true);
}

/// Bytes of an answer that one connection holds before its body is asked for more, and the most
/// that the headers of a request may have.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// Everything that is needed to serve one connection.
struct ConnectionServer {
    builder: http1::Builder,
    router: Router,
    app: App,
    connections: Connections,
    emergency_threads: EmergencyThreads,
}

impl ConnectionServer {
    /// Serves a connection in a task of its own.
    fn serve(&self, stream: ClientStream, address: PeerAddress, permit: ConnectionPermit) {
        if let ClientStream::Tcp(stream) = &stream {
            // Without Nagle's algorithm a message is sent at once, not when more bytes have
            // gathered.
            let _ = stream.set_nodelay(true);
            enable_keepalive(stream);
        }
        let (app, builder, router) = (self.app.clone(), self.builder.clone(), self.router.clone());
        let (serving_time, charged_permit) = (app.serving_time.clone(), permit.clone());
        let peer = app.peer(&stream, address);
        // The local user does not wait for guests of its own address.
        let payer = move || match peer.is_own_user && !charged_permit.is_charged() {
            true => Payer::Local,
            false => charged_permit.payer(),
        };
        let work = async move {
            let connection_permit = permit.clone();
            let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(peer);
                request.extensions_mut().insert(connection_permit.clone());
                router.clone().call(request)
            });
            let stream = LingeringStream::new(stream, permit);
            let mut connection =
                pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
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
        };
        tokio::spawn(serving_time.serve(payer, work));
    }

    /// Closes a connection whose address has too many, and says so. Its request is not read.
    fn refuse(&self, stream: ClientStream, address: PeerAddress) {
        self.app.metrics.count_refusal(CONNECTIONS);
        let response = format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 5\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{REFUSAL}",
            REFUSAL.len()
        );
        // A new socket has room for this response, so the write does not wait.
        let _ = rustix::net::send(&stream, response.as_bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        linger(stream, self.connections.linger(address.ip()));
    }
}
