//! The server: routes, owners, sessions, runtimes, settings. It knows nothing of how isolation is made.
//!
//! | module | what |
//! | --- | --- |
//! | [`config`] | settings, from defaults, file, environment, flags |
//! | [`auth`] | who may do what |
//! | [`catalogue`] | the languages |
//! | `compile_cache` | what was compiled before, and how much of it |
//! | [`spec`] | from a request to an order |
//! | [`sessions`] | one session: its folder, its state and its readers |
//! | [`lifecycle`] | all sessions: created, found, recovered, deleted, retained |
//! | [`runner`] | how a session is run: spawners, the task that drives it, the supervisor's connection |
//! | [`metrics`] | what is counted |
//! | `http` | routes on top of all that |
//! | [`bench`] | what `benches/` measures |

pub mod auth;
pub mod bench;
pub mod catalogue;
mod compile_cache;
pub mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod http;
pub mod lifecycle;
pub mod metrics;
pub mod runner;
pub mod sessions;
pub mod spec;

use std::{io, sync::Arc};

use tokio::{net::TcpListener, sync::watch, time::Instant};

use crate::{
    auth::Policy,
    catalogue::{Catalogue, CatalogueError},
    config::Config,
    lifecycle::Registry,
    metrics::Metrics,
    runner::{
        spawner::{SpawnerError, SpawnerLauncher},
        spawner_set::SpawnerSet,
    },
    sessions::{Store, StoreError},
};

/// Why a server could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runtimes cannot be read.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// There is no spawner, or no sandbox.
    #[error(transparent)]
    Spawner(#[from] SpawnerError),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(std::net::SocketAddr, #[source] io::Error),
    /// Strangers may reach the address, and not every limit can be enforced.
    #[error(
        "will not listen on {address}, which others than this machine's users may reach, because this machine cannot \
         enforce every limit of a session:\n{}\n`livecode doctor` says what to do about it; --allow-degraded listens all the \
         same; --listen 127.0.0.1:{} listens for this machine alone",
        list(degraded), address.port()
    )]
    Degraded {
        /// The address.
        address: std::net::SocketAddr,
        /// What cannot be enforced.
        degraded: Vec<String>,
    },
}

fn list(sentences: &[String]) -> String {
    sentences.iter().map(|sentence| format!("  - {sentence}")).collect::<Vec<_>>().join("\n")
}

/// What the server is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// To serve.
    Serving,
    /// To make no new sessions, and to stop when all that run have ended.
    Draining,
    /// To stop now; programs run on.
    Stopping,
}

/// Serves as long as `phase` says. `announce` is told the address once requests are answered.
///
/// # Errors
/// See [`ServeError`].
pub async fn run(
    config: Config,
    start_spawner: SpawnerLauncher,
    phase: watch::Receiver<Phase>,
    announce: impl FnOnce(std::net::SocketAddr, &[String]),
) -> Result<(), ServeError> {
    let listen = |error| ServeError::Listen(config.listen, error);
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    // The data directory is locked before anything is written into it.
    let store = Store::open(&config.data_dir, address)?;
    let catalogue = Arc::new(Catalogue::load(&config.data_dir, config.runtimes_dir.as_deref())?);
    let metrics = Arc::new(Metrics::default());
    let spawners =
        tokio::task::block_in_place(|| SpawnerSet::new(&start_spawner, &catalogue, &config, &metrics))?;
    let spawner = spawners.default_spawner().clone();
    if !address.ip().is_loopback() && !spawner.degraded().is_empty() && !config.allow_degraded {
        // As asked for, not as given: port 0 is of no use to be told again.
        return Err(ServeError::Degraded { address: config.listen, degraded: spawner.degraded().to_vec() });
    }
    let registry = Registry::open(&config, store, spawners, metrics.clone())?;

    let policy = Arc::new(Policy { is_loopback: address.ip().is_loopback(), hosts: config.hosts.clone() });
    let config = Arc::new(config);
    let retention = tokio::spawn(registry.clone().retain(config.clone()));
    announce(address, spawner.degraded());
    let (stop, stopping) = watch::channel(None);
    let stopper = tokio::spawn(stop_when_asked(registry.clone(), phase, stop));
    let app = http::App { registry, catalogue, config, policy, spawner, metrics, stopping };
    http::serve(app, listener).await;
    stopper.abort();
    retention.abort();
    Ok(())
}

/// Follows the phases to the last: then connections are to be closed.
async fn stop_when_asked(
    registry: Arc<Registry>,
    mut phase: watch::Receiver<Phase>,
    stop: watch::Sender<Option<Instant>>,
) {
    let _ = phase.wait_for(|phase| *phase != Phase::Serving).await; // or whoever could ask is gone
    registry.close();
    if *phase.borrow() == Phase::Draining {
        tokio::select! {
            () = registry.drain() => {}
            _ = phase.wait_for(|phase| *phase == Phase::Stopping) => {}
        }
    }
    let _ = stop.send(Some(Instant::now()));
}
