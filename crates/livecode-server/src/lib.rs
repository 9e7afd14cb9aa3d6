//! The server: HTTP routes, owners, sessions, runtimes and settings. It does not depend on how a
//! sandbox isolates a program; that is decided in other processes, which it only starts and talks
//! to.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`config`] | the settings, from defaults, file, environment and flags |
//! | [`audit`] | who did what, when, and from where |
//! | [`auth`] | who makes a request, and what this caller may do |
//! | [`catalogue`] | which runtimes there are, and whether this machine can run them |
//! | `checks` | whether the hello of each runtime runs here |
//! | [`spec`] | how a request becomes a run spec |
//! | `compile_cache` | where results of compile steps are kept, and how much space they take |
//! | [`sessions`] | one session: its folder, its state and its followers |
//! | [`lifecycle`] | all sessions: created, found, recovered, deleted, retained |
//! | [`runner`] | how a session is run: spawners, the session's driver, the supervisor client |
//! | [`held_bytes`] | how many bytes are held in memory for clients, in all and for each payer |
//! | `serving_time` | whose connection the server's threads work for next |
//! | [`personal_data`] | what the server has of one user: handed out, or deleted |
//! | [`metrics`] | what is counted for Prometheus |
//! | `http` | the routes, on top of all the others |
//! | `hex`, `rfc3339`, `settings_macro` | small leaves that several modules use |
//! | [`bench`] | what `benches/` measures |

pub mod audit;
pub mod auth;
pub mod bench;
pub mod catalogue;
mod checks;
mod compile_cache;
pub mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod held_bytes;
mod hex;
mod http;
pub mod lifecycle;
pub mod metrics;
pub mod personal_data;
mod rfc3339;
pub mod runner;
mod serving_time;
pub mod sessions;
mod settings_macro;
pub mod spec;

use std::{io, sync::Arc, time::Duration};

pub use http::{ADMIN_SOCKET, token_document};
use livecode_store::{ControlStore, ControlStoreError};
pub use rfc3339::rfc3339;
pub use sessions::{blocking::BLOCKING_THREAD_TIMEOUT, is_data_dir_taken};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    audit::Audit,
    auth::{Credentials, PeerUsers, Policy, UsersError},
    catalogue::{Catalogue, CatalogueError, CurrentCatalogue},
    checks::RuntimeChecks,
    config::{AuthMode, Config, ListenAddress},
    held_bytes::ByteBudget,
    lifecycle::{Quotas, Registry},
    metrics::Metrics,
    runner::{
        reload::CatalogueReloader,
        spawner::{SpawnerError, SpawnerLauncher},
        spawner_set::SpawnerSet,
    },
    serving_time::ServingTime,
    sessions::{Store, StoreError},
};

/// Why a server could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runtimes cannot be read.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The disk of the sessions can never have as much free space as a new session needs.
    #[error(
        "a setting is wrong: disk_min_free_bytes: {min_free_bytes} is more than the whole disk of \
         {data_dir} has, which is {total_bytes}: no session could ever be created"
    )]
    DiskTooSmall {
        /// The data directory.
        data_dir: std::path::PathBuf,
        /// The setting.
        min_free_bytes: u64,
        /// The size of the disk.
        total_bytes: u64,
    },
    /// No spawner can be started, or no sandbox can be made.
    #[error(transparent)]
    Spawner(#[from] SpawnerError),
    /// The control store cannot be used.
    #[error(transparent)]
    ControlStore(#[from] ControlStoreError),
    /// The control store, or the keys of JWTs, cannot be used.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The server cannot listen on an address.
    #[error(transparent)]
    Listen(#[from] http::ListenError),
    /// A thread or descriptor that must exist before the first connection cannot be made.
    #[error("cannot prepare for connections")]
    Prepare(#[source] io::Error),
    /// Strangers may reach the server, it knows no users, and nobody has said that this is wanted.
    #[error(
        "the server does not start, because strangers may reach it ({public_by}) and auth is \"open\": \
         everybody could run programs on this machine.\n  - Only users whom you know: --auth tokens \
         (docs/users.md).\n  - Everybody, as a guest with sessions of its own and the limits of \
         guests: --allow-anonymous.{only_here}"
    )]
    Anonymous {
        /// By which setting strangers may reach it.
        public_by: String,
        /// How nobody else reaches it, in a line of its own; empty if no flag does that.
        only_here: String,
    },
    /// Strangers may reach the address, and this machine cannot enforce every limit.
    #[error(
        "the server does not listen on {address}, because other machines may reach it and this \
         machine cannot enforce every limit of a session:\n{}\n`livecode doctor` tells what to do \
         about this; --allow-degraded makes the server listen anyway; --listen 127.0.0.1:{} makes it \
         listen for this machine alone",
        list(degraded), address.port()
    )]
    Degraded {
        /// The address.
        address: std::net::SocketAddr,
        /// The limits that cannot be enforced, a sentence each.
        degraded: Vec<String>,
    },
}

fn list(sentences: &[String]) -> String {
    sentences.iter().map(|sentence| format!("  - {sentence}")).collect::<Vec<_>>().join("\n")
}

/// The phase of its life in which the server is asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Serve requests.
    Serving,
    /// Refuse new sessions, and stop when all running sessions have ended.
    Draining,
    /// Stop now. The programs of the sessions go on running.
    Stopping,
    /// End all sessions, and stop: nothing can outlive this process.
    Ending,
}

/// How often it is looked whether an upgrade of the machine has changed what runtimes mount, or the
/// interpreter of a zygote.
const REVIEW_INTERVAL: Duration = Duration::from_secs(60);
/// How long a server that is asked to end its sessions waits for their ends. Containers are often
/// killed 10 s after they are asked to stop.
const ENDING_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves requests until `phase` asks the server to stop, and reloads the runtimes at each notice
/// of `reload`. Calls `announce` with the addresses and the limits that cannot be enforced, just
/// before requests are answered.
///
/// # Errors
/// See [`ServeError`].
pub async fn run(
    config: Config,
    start_spawner: SpawnerLauncher,
    phase: watch::Receiver<Phase>,
    reload: Arc<Notify>,
    announce: impl FnOnce(&[ListenAddress], &[String]),
) -> Result<(), ServeError> {
    check_strangers(&config)?;
    let (mut listeners, addresses) = http::Listeners::bind(&config).await?;
    let listed = addresses.iter().map(ListenAddress::to_string).collect::<Vec<_>>().join(" and ");
    // The data directory is locked before anything is written into it.
    let store = Store::open(&config.data_dir, &listed)?;
    check_disk(&config, &store)?;
    if config.auth.knows_users() {
        listeners.bind_admin_socket(&config.data_dir)?;
    }
    let control_store = match config.auth.knows_users() {
        true => Some(ControlStore::open(&config.data_dir).await?),
        false => store_for_guests(&config).await,
    };
    let credentials = Arc::new(Credentials::open(&config, control_store.clone()).await?);
    let audit = Arc::new(Audit::new(&config, control_store.clone()));
    let quotas = Arc::new(Quotas::load(&config, control_store.clone()).await);
    if let Some(users) = credentials.users().and_then(auth::Users::by_token) {
        users.warn_of_unknown_roles(quotas.roles()).await?;
    }
    let catalogue = Arc::new(Catalogue::load(&config.data_dir, config.runtimes_dir.as_deref())?);
    for warning in config.warnings().iter().chain(catalogue.warnings()) {
        tracing::warn!("{warning}");
    }
    let names = catalogue.iter().map(|runtime| runtime.name.clone());
    let metrics = Arc::new(Metrics::new(names.collect()));
    let spawners = Arc::new(tokio::task::block_in_place(|| {
        SpawnerSet::new(&start_spawner, &catalogue, &config, &metrics)
    })?);
    let spawner = spawners.default_spawner().clone();
    let public = config.listen.iter().find_map(|address| match address {
        ListenAddress::Tcp(tcp) if !address.is_local() => Some(*tcp),
        _ => None,
    });
    if let Some(address) = public
        && !spawner.degraded().is_empty()
        && !config.allow_degraded
    {
        // The error names the configured address and not that of the listener: with port 0 the
        // latter is another one at the next start.
        return Err(ServeError::Degraded { address, degraded: spawner.degraded().to_vec() });
    }
    let registry = Registry::open(&config, store, spawners.clone(), metrics.clone(), quotas.clone())?;

    let policy = Arc::new(Policy::new(&config));
    let peer_users = policy.asks_for_users().then(|| Arc::new(PeerUsers::prepare()));
    policy.log();
    let config = Arc::new(config);
    let catalogue = CurrentCatalogue::new(catalogue);
    let reloader = Arc::new(CatalogueReloader::new(
        catalogue.clone(),
        config.clone(),
        start_spawner,
        spawners,
        metrics.clone(),
    ));
    let reload_task = tokio::spawn({
        let reloader = reloader.clone();
        async move {
            loop {
                tokio::select! {
                    () = reload.notified() => drop(reloader.reload().await), // it has logged the error
                    () = tokio::time::sleep(REVIEW_INTERVAL) => reloader.review().await,
                }
            }
        }
    });
    let thread_keeper = sessions::blocking::keep_thread().await;
    let checks = Arc::new(RuntimeChecks::new(registry.clone(), catalogue.clone(), config.clone()));
    let checker = tokio::spawn(checks.clone().run_in_background());
    let retention = tokio::spawn(registry.clone().retain(config.clone()));
    let start_pacer = tokio::spawn({
        let registry = registry.clone();
        async move { registry.end_pauses().await }
    });
    let refusal_log = tokio::spawn({
        let registry = registry.clone();
        async move { registry.log_refusals().await }
    });
    let share_keeper = tokio::spawn({
        let (credentials, registry) = (credentials.clone(), registry.clone());
        async move { credentials.shares().forget_at_intervals(|id| registry.get(id).is_some()).await }
    });
    let usage_writer = tokio::spawn({
        let quotas = quotas.clone();
        async move { quotas.write_at_intervals().await }
    });
    let audit_writer = tokio::spawn({
        let audit = audit.clone();
        async move { audit.write_at_intervals().await }
    });
    let audit_keeper = tokio::spawn({
        let audit = audit.clone();
        async move { audit.forget_at_intervals().await }
    });
    let usage_keeper = tokio::spawn({
        let store = control_store.clone();
        async move { Quotas::forget_at_intervals(store).await }
    });
    announce(&addresses, spawner.degraded());
    let (stop, stopping) = watch::channel(None);
    let stopper = tokio::spawn(stop_when_asked(registry.clone(), phase, stop));
    let held_bytes = ByteBudget::new(&config, metrics.clone());
    let serving_time = ServingTime::new(&config);
    let app = http::App {
        audit: audit.clone(),
        registry,
        catalogue,
        reloader,
        checks,
        config,
        policy,
        peer_users,
        credentials,
        control_store,
        guesses: Arc::default(),
        default_spawner: spawner,
        metrics,
        held_bytes,
        serving_time,
        parse_permits: http::ParsePermits::default(),
        stopping,
    };
    let served = http::serve(app, listeners).await;
    stopper.abort();
    reload_task.abort();
    checker.abort();
    retention.abort();
    refusal_log.abort();
    start_pacer.abort();
    share_keeper.abort();
    // The writers are not interrupted while they write.
    quotas.close().await;
    usage_writer.abort();
    audit_keeper.abort();
    usage_keeper.abort();
    let _ = audit.write().await;
    audit_writer.abort();
    thread_keeper.abort();
    served.map_err(ServeError::Prepare)
}

/// Ends every session of a data directory that no server uses, without serving it. Their journals
/// are kept. Returns the number of sessions that had not ended.
///
/// # Errors
/// As for [`run`].
pub async fn end_sessions(config: Config, start_spawner: SpawnerLauncher) -> Result<usize, ServeError> {
    // No program is going to run, so no sandbox is made ahead, and queued sessions get no permit.
    let config = Config { warm: config::Switch::Off, sessions_running_max: 0, ..config };
    let store = Store::open(&config.data_dir, "no address, to end its sessions")?;
    let catalogue = Arc::new(Catalogue::load(&config.data_dir, config.runtimes_dir.as_deref())?);
    let names = catalogue.iter().map(|runtime| runtime.name.clone());
    let metrics = Arc::new(Metrics::new(names.collect()));
    let spawners = Arc::new(tokio::task::block_in_place(|| {
        SpawnerSet::new(&start_spawner, &catalogue, &config, &metrics)
    })?);
    let control_store = match Quotas::need_store(&config) {
        true => store_for_guests(&config).await,
        false => None,
    };
    let quotas = Arc::new(Quotas::load(&config, control_store).await);
    let registry = Registry::open(&config, store, spawners, metrics, quotas.clone())?;
    registry.close();
    let ended = registry.end_all().await;
    quotas.close().await;
    Ok(ended)
}

/// The control store of a server that takes guests, whose sessions need none of it. A server
/// without it is better than no server: quotas count from nothing then, and tickets end with the
/// server.
async fn store_for_guests(config: &Config) -> Option<ControlStore> {
    let opened = ControlStore::open(&config.data_dir).await;
    let report = |error: &ControlStoreError| {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the server goes on without its control store: what it counts and hands out ends with it"
        );
    };
    opened.inspect_err(report).ok()
}

/// Refuses to let strangers in who are known by nothing, unless the operator wants that.
fn check_strangers(config: &Config) -> Result<(), ServeError> {
    match config.is_public_by() {
        Some(public_by) if config.auth == AuthMode::Open && !config.allow_anonymous => {
            let beyond_loopback = config.listen.iter().find(|address| !address.is_local());
            let port = beyond_loopback.and_then(ListenAddress::port);
            let only_here = port.map(|port| format!("\n  - This machine alone: --listen 127.0.0.1:{port}."));
            Err(ServeError::Anonymous { public_by, only_here: only_here.unwrap_or_default() })
        }
        _ => Ok(()),
    }
}

/// Refuses a disk on which no session could ever be created, and warns of one on which none can be
/// created now.
fn check_disk(config: &Config, store: &Store) -> Result<(), ServeError> {
    let (disk, min_free_bytes) = (store.disk_space()?, config.disk_min_free_bytes);
    // Some file systems do not tell their size.
    if disk.total_bytes > 0 && min_free_bytes > disk.total_bytes {
        let (data_dir, total_bytes) = (config.data_dir.clone(), disk.total_bytes);
        return Err(ServeError::DiskTooSmall { data_dir, min_free_bytes, total_bytes });
    }
    if disk.free_bytes < min_free_bytes {
        tracing::warn!(
            free_bytes = disk.free_bytes,
            disk_min_free_bytes = min_free_bytes,
            "the disk of the sessions is too full, so new sessions are refused until it has room"
        );
    }
    Ok(())
}

/// Waits until the server is asked to stop and, if it is draining, until no session runs any more;
/// if it is to end its sessions, until they have ended.
/// Then sets `stop`, which makes the server close its connections.
async fn stop_when_asked(
    registry: Arc<Registry>,
    mut phase: watch::Receiver<Phase>,
    stop: watch::Sender<Option<Instant>>,
) {
    // An error means that the sender is gone. The server then stops at once.
    let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
    registry.close();
    if *phase.borrow() == Phase::Draining {
        tokio::select! {
            () = registry.drain() => {}
            _ = phase.wait_for(|phase| matches!(phase, Phase::Stopping | Phase::Ending)) => {}
        }
    }
    let is_ending = *phase.borrow() == Phase::Ending;
    if is_ending && tokio::time::timeout(ENDING_TIMEOUT, registry.end_all()).await.is_err() {
        tracing::warn!("not all sessions have ended in time; the next server ends the others");
    }
    let _ = stop.send(Some(Instant::now()));
}
