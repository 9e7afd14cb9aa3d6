//! The server: routes, owners, sessions, runtimes, settings. It knows nothing of how isolation is made.
//!
//! | module | what |
//! | --- | --- |
//! | [`config`] | settings, from defaults, file, environment, flags |
//! | [`access`] | who may do what |
//! | [`catalogue`] | the languages |
//! | [`prepare`] | from a request to an order |
//! | [`sessions`] | all sessions, their tasks and readers |
//! | [`spawner`] | the process that starts supervisors |
//! | `http` | routes on top of all that |

pub mod access;
pub mod catalogue;
pub mod config;
mod http;
pub mod prepare;
pub mod sessions;
pub mod spawner;

use std::{io, sync::Arc};

use tokio::{net::TcpListener, sync::watch};

use crate::{
    access::Policy,
    catalogue::{Catalogue, CatalogueError},
    config::Config,
    sessions::{Registry, StoreError},
    spawner::{Spawner, SpawnerError, Start},
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
    /// The listener failed.
    #[error("the server failed")]
    Serve(#[source] io::Error),
}

/// Serves until `stopping` becomes true. `announce` is told the address once requests are answered.
///
/// # Errors
/// See [`ServeError`].
pub async fn run(
    config: Config,
    start_spawner: Start,
    stopping: watch::Receiver<bool>,
    announce: impl FnOnce(std::net::SocketAddr, &[String]),
) -> Result<(), ServeError> {
    let listen = |error| ServeError::Listen(config.listen, error);
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    // The data directory is locked before anything is written into it.
    let store = sessions::lock(&config.data_dir, address)?;
    let catalogue = Arc::new(Catalogue::load(&config.data_dir, config.runtimes_dir.as_deref())?);
    let spawner = Arc::new(tokio::task::block_in_place(|| Spawner::new(start_spawner))?);
    let registry = Registry::open(&config, store, spawner.clone())?;

    let policy = Arc::new(Policy { is_loopback: address.ip().is_loopback(), hosts: config.hosts.clone() });
    let config = Arc::new(config);
    let retention = tokio::spawn(registry.clone().retain(config.clone()));
    announce(address, spawner.degraded());
    let app = http::App { registry, catalogue, config, policy, spawner, stopping };
    let served = http::serve(app, listener).await;
    retention.abort();
    served.map_err(ServeError::Serve)
}
