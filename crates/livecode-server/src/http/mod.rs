//! HTTP and websockets on top of the sessions.
//!
//! | module | what |
//! | --- | --- |
//! | `linger` | a close that loses nothing |
//! | `listen` | connections: accepted, bounded, closed in the end |
//! | `problem` | every error a client can be told, and its status |
//! | `caller` | who asks, and under which address the server was reached |
//! | `sessions` | `/sessions` |
//! | `stream` | `/sessions/{id}/stream`: websocket, server-sent events, NDJSON |
//! | `socket` | the talk on a websocket, v0.1's and v0.2's |
//! | `encode` | entries as messages |
//! | `v01` | `/livecode`, `/exec`, `/runtimes/{runtime}` |
//! | `assets` | `/`, `/static/…`: the front page and the client's files, built into the binary |
//! | `metrics` | `/metrics` |
//! | `info` | `/runtimes`, `/healthz`, `/openapi.json` |

mod api;
mod caller;
mod encode;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod problem;
mod transport;
mod websocket;

use api::{assets, info, metrics, sessions, stream, v01};
pub(crate) use transport::listen::serve;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware,
    response::Response,
    routing::{any, get, post},
};
use tokio::{sync::watch, time::Instant};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use utoipa::OpenApi;

use crate::{
    auth::Policy, catalogue::Catalogue, config::Config, lifecycle::Registry, metrics::Metrics,
    runner::spawner::SpawnerClient, sessions::SessionProgress,
};

/// What every handler can reach.
#[derive(Clone)]
pub struct App {
    pub(crate) registry: Arc<Registry>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) config: Arc<Config>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) spawner: Arc<SpawnerClient>,
    pub(crate) metrics: Arc<Metrics>,
    /// Since when the server closes its connections, once it does.
    pub(crate) stopping: watch::Receiver<Option<Instant>>,
}

/// How long a reader of an ended session may still read once the server stops: it would come back for little.
const FINAL_READ_TIMEOUT: Duration = Duration::from_secs(2);

impl App {
    /// Waits until the server is asked to stop.
    pub(crate) async fn stopped(&self) {
        let _ = self.stopping.clone().wait_for(Option::is_some).await; // or until it is gone
    }

    /// Waits until the server is asked to stop, and in a session that has ended a little longer.
    pub(crate) async fn interrupted(&self, progress: watch::Receiver<SessionProgress>) {
        self.stopped().await;
        let stopping = *self.stopping.borrow();
        if progress.borrow().ended.is_some() {
            tokio::time::sleep_until(stopping.unwrap_or_else(Instant::now) + FINAL_READ_TIMEOUT).await;
        }
    }
}

/// The whole interface, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "LiveCode",
        description = "Runs programs in sandboxes and streams what they do. A session belongs to its program, not to a \
                       connection: whoever comes back misses nothing.",
        license(name = "MIT", identifier = "MIT")
    ),
    paths(
        assets::front_page, info::healthz, info::runtimes, info::openapi, metrics::metrics, assets::asset,
        sessions::create, sessions::list, sessions::show, sessions::delete,
        stream::stream, v01::livecode, v01::exec, v01::run,
    ),
    components(schemas(livecode_protocol::session::Problem)),
    tags(
        (name = "sessions", description = "Programs that run, or ran (v0.2)"),
        (name = "v0.1", description = "The endpoints of the first protocol, as its users know them"),
        (name = "server", description = "The server itself"),
    )
)]
struct Api;

/// Headers of answers that pages of other origins may read.
const EXPOSED: [&str; 5] =
    ["location", "retry-after", "idempotency-replayed", "x-falcon-exit-status", "x-falcon-time-taken"];

/// All routes.
pub fn router(app: App) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED.map(HeaderName::from_static));
    Router::new()
        .route("/", get(assets::front_page))
        .route("/healthz", get(info::healthz))
        .route("/openapi.json", get(info::openapi))
        .route("/metrics", get(metrics::metrics))
        .route("/static/{file}", get(assets::asset))
        .route("/runtimes", get(info::runtimes))
        .route("/runtimes/{runtime}", post(v01::run))
        .route("/exec", post(v01::exec))
        .route("/livecode", get(v01::livecode))
        .route("/sessions", get(sessions::list).post(sessions::create))
        .route("/sessions/{id}", get(sessions::show).delete(sessions::delete))
        .route("/sessions/{id}/stream", get(stream::stream))
        .fallback(any(problem::not_found))
        .method_not_allowed_fallback(problem::method_not_allowed)
        // Bodies are read by `caller::read_body`, which knows the configured limit.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), caller::identify))
        .layer(cors)
        .layer(middleware::map_response_with_state(app.clone(), add_headers))
        .with_state(app)
}

/// Headers of every answer; errors are counted.
async fn add_headers(State(app): State<App>, mut response: Response) -> Response {
    app.metrics.answered(response.status().as_u16());
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An entry as a websocket gets it.
pub(crate) fn entry_message(entry: &livecode_journal::Entry) -> String {
    encode::Dialect::V02 { with_seq: true }.entry(entry)
}

/// The document of the whole interface, as JSON.
fn openapi_json() -> String {
    Api::openapi().to_json().unwrap_or_default()
}
