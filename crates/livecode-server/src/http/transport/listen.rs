//! Accepts connections and serves each, within the limits that no single request sees.

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
    App, router,
    transport::linger::{Lingering, Room},
};

/// How long answers under way may still take once the server is asked to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// After how long a silent connection is asked for, and how often; Linux gives up after nine times.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long nobody is accepted where there are no descriptors left for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the server is asked to stop; then closes what is open, and leaves programs running.
pub(crate) async fn serve(app: App, listener: TcpListener) {
    let max = u32::try_from(app.config.connections_max).unwrap_or(u32::MAX);
    let permits = Arc::new(Semaphore::new(max as usize));
    let connections = Connections {
        builder: builder(&app),
        router: router(app.clone()),
        app: app.clone(),
        room: Room::new(),
    };
    tokio::select! {
        () = accept(&listener, &permits, &connections) => {}
        () = app.stopped() => {}
    }
    drop(listener);
    // Each connection holds its permit until it is closed, and so does each websocket.
    let closed = permits.acquire_many(max);
    // An answer of v0.1 may take an hour; its program ends with it.
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, closed).await;
}

fn builder(app: &App) -> http1::Builder {
    // HTTP/1.1 alone: to tell other versions apart, the first bytes would be waited for without a limit.
    let mut builder = http1::Builder::new();
    let header_timeout = Duration::from_millis(app.config.header_timeout_ms);
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    builder
}

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>, connections: &Connections) {
    while let Ok(permit) = permits.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => connections.serve(stream, peer, permit),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted now");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Whether only one client has gone before it was accepted (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Has the kernel find out when a silent client has vanished: a stream of lines says nothing by itself while its program
/// says nothing.
fn watch_over(stream: &TcpStream) {
    use rustix::net::sockopt;
    // A socket that takes none of these is one whose end shows some other way.
    let _ = sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE);
    let _ = sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL);
    let _ = sockopt::set_socket_keepalive(stream, true);
}

struct Connections {
    builder: http1::Builder,
    router: Router,
    app: App,
    room: Room,
}

impl Connections {
    fn serve(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        // A message is sent when it is there, not when more has come together.
        let _ = stream.set_nodelay(true);
        watch_over(&stream);
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().call(request)
        });
        let connection = self
            .builder
            .serve_connection(TokioIo::new(Lingering::new(stream, self.room.clone(), permit)), service)
            .with_upgrades();
        let app = self.app.clone();
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = app.stopped() => {
                    // What is being answered is answered.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "a connection ended");
            }
        });
    }
}
