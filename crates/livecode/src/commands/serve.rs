//! `livecode serve`: wires the server together and runs it until it is asked to stop.

use std::{
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
};

use clap::Args;
use livecode_server::{
    Phase,
    config::{Config, Flags},
    spawner::Process,
};
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    process::{Pid, PidfdFlags, Resource, Rlimit, pidfd_open},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use crate::{Failure, scope};

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
        let (data_dir, drain) = (config.data_dir.clone(), self.drain);
        let start_spawner = Box::new(move || start_spawner(&data_dir));
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
            livecode_server::run(config, start_spawner, phase, announce).await.map_err(Failure::from)
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

/// Starts this very binary again as the spawner, with a socket to it as its standard input.
fn start_spawner(data_dir: &Path) -> io::Result<Process> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("livecode").args(["spawner", "--data-dir"]).arg(data_dir);
    command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).env_clear();
    // The attack suite's switch (`livecode_sandbox::without`), by which it shows that it can fail.
    #[cfg(debug_assertions)]
    command.envs(std::env::vars_os().filter(|(name, _)| name == "LIVECODE_TEST_WITHOUT"));
    let mut child = command.spawn()?;
    // Not waited for yet, it cannot be mistaken for another.
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    // It ends when `ours` is closed; somebody must hear of it.
    std::thread::Builder::new().name("spawner".into()).stack_size(64 * 1024).spawn(move || child.wait())?;
    Ok(Process { socket: ours, pidfd })
}
