//! `livecode serve`: wires the server together and runs it until it is asked to stop.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use clap::Args;
use livecode_server::{
    Phase,
    config::{Config, Flags},
};
use rustix::process::{Resource, Rlimit};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use crate::{Failure, scope, start};

/// Starts the server. It needs no settings: it listens on 127.0.0.1:8000 and keeps its data in the user's state directory.
///
/// Each setting below can also stand in the configuration file (with '_' for '-') and in the environment (LIVECODE_ and
/// its name in capitals); a flag wins over the environment, and that over the file. RUST_LOG says what is logged.
#[derive(Args)]
pub struct Serve {
    /// When asked to stop, refuse new sessions and wait until those that run have ended. Asked again, stop at once.
    #[arg(long)]
    drain: bool,
    #[command(flatten)]
    flags: Flags,
}

impl Serve {
    pub fn run(self) -> Result<(), Failure> {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        // A span that is logged at all says at its end how long it took.
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(io::stderr)
            .with_target(false)
            .init();
        raise_descriptor_limit();
        let (config, unknown) = Config::load(&self.flags).map_err(usage)?;
        for name in unknown {
            tracing::warn!("{name} is set, but there is no such setting");
        }
        if !config.no_systemd_scope {
            scope::enter();
        }
        let drain = self.drain;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let (say, phase) = watch::channel(Phase::Serving);
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::spawn(async move {
                let mut asked = async || {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                };
                asked().await;
                if drain {
                    tracing::info!("draining: no new sessions; ask again to stop at once");
                    let _ = say.send(Phase::Draining);
                    asked().await;
                }
                tracing::info!("stopping; programs run on, and the next server finds them");
                let _ = say.send(Phase::Stopping);
                std::future::pending::<()>().await; // keeps the sender
            });
            livecode_server::run(config, Arc::new(start::spawner), phase, announce)
                .await
                .map_err(Failure::from)
        })
    }
}

/// As many descriptors as may be had: the usual soft limit of 1,024 is for programs that use select(2), and each watcher
/// takes two.
fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    // Where that is refused, the server serves as many as it can.
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// A wrong setting is a wrong command line.
fn usage(error: impl Into<anyhow::Error>) -> Failure {
    Failure { error: error.into(), code: 2 }
}

fn announce(address: std::net::SocketAddr, degraded: &[String]) {
    for sentence in degraded {
        tracing::warn!("DEGRADED: {sentence}");
    }
    if !degraded.is_empty() {
        tracing::warn!(
            "DEGRADED: not every limit of a session is enforced; `livecode doctor` says what to do about it"
        );
    }
    // Nobody need listen to that.
    let _ = writeln!(io::stdout(), "LiveCode listens on http://{address}");
}
