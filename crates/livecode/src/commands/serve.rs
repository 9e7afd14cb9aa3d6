//! `livecode serve`: connects the parts of the server and runs it until it is asked to stop.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use livecode_sandbox::{doctor::Finding, return_free_pages, return_large_blocks};
use livecode_server::{
    Phase, ServeError,
    config::{Config, Flags, ListenAddress, LogFormat},
};
use rustix::process::{Resource, Rlimit, WaitOptions};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
};

use crate::{
    commands::doctor::proposals,
    failure::{CommandFailure, EXIT_USAGE},
    hangup::Terminal,
    log, readiness, scope, start,
};

/// Starts the server.
///
/// The server needs no settings: by default it listens on 127.0.0.1:8000 and keeps its data in the
/// user's state directory.
///
/// Each setting below can also be set in the configuration file (with '_' instead of '-') and in
/// the environment (LIVECODE_ and the name in capitals). A flag overrides the environment, and the
/// environment overrides the file. RUST_LOG sets what is logged.
///
/// SIGHUP makes the server read its runtimes again, as `livecode runtimes reload` does.
#[derive(Args)]
pub struct ServeCommand {
    /// On the first signal to stop, refuse new sessions and wait until the running ones have
    /// ended; on the second signal, stop at once.
    #[arg(long)]
    drain: bool,
    /// Instead of serving, end all sessions that a stopped server has left running, and exit. What
    /// they have written is kept.
    #[arg(long, conflicts_with = "drain")]
    end_sessions: bool,
    #[command(flatten)]
    flags: Flags,
}

impl ServeCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        let (config, unknown) = Config::load(&self.flags).map_err(usage_failure)?;
        let format = config.log_format;
        log::init(format);
        for name in unknown {
            tracing::warn!("{name} is set, but there is no such setting");
        }
        match self.serve(config) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(failure) if format == LogFormat::Json => {
                tracing::error!("{:#}", failure.error);
                Ok(ExitCode::from(failure.exit_code))
            }
            Err(failure) => Err(failure),
        }
    }

    fn serve(self, config: Config) -> Result<(), CommandFailure> {
        let missing = livecode_sandbox::doctor::unfit_place();
        if !missing.is_empty() {
            let sentences: Vec<_> = missing.iter().map(Finding::sentence).collect();
            return Err(anyhow::anyhow!("no program can be run here:\n{}", sentences.join("\n")).into());
        }
        raise_descriptor_limit();
        return_large_blocks();
        if !config.no_systemd_scope {
            scope::enter_if_possible();
        }
        let format = config.log_format;
        let announce =
            move |addresses: &[ListenAddress], degraded: &[String]| announce(format, addresses, degraded);
        let drain = self.drain;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_keep_alive(livecode_server::BLOCKING_THREAD_TIMEOUT)
            .build()?;
        if self.end_sessions {
            let count = runtime.block_on(livecode_server::end_sessions(config, Arc::new(start::spawner)))?;
            let _ = writeln!(io::stdout(), "{count} sessions ended");
            return Ok(());
        }
        thread::Builder::new().name("memory".into()).spawn(return_free_pages_at_intervals)?;
        let served = runtime.block_on(async {
            let (phase_sender, phase) = watch::channel(Phase::Serving);
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let (terminal, reload) = (Terminal::at_start(), Arc::new(Notify::new()));
            let mut hangup = signal(SignalKind::hangup())?;
            let reload_sender = reload.clone();
            tokio::spawn(async move {
                let mut stop_signal = async || loop {
                    tokio::select! {
                        _ = terminate.recv() => return,
                        _ = interrupt.recv() => return,
                        _ = hangup.recv() => match terminal.has_ended() {
                            true => return,
                            false => reload_sender.notify_one(),
                        },
                    }
                };
                stop_signal().await;
                if drain {
                    tracing::info!("draining: new sessions are refused; signal again to stop at once");
                    let _ = phase_sender.send(Phase::Draining);
                    stop_signal().await;
                }
                if is_first_process() {
                    tracing::info!("stopping; all sessions are ended, since they end with this container");
                    let _ = phase_sender.send(Phase::Ending);
                } else {
                    tracing::info!("stopping; running programs continue, and the next server recovers them");
                    let _ = phase_sender.send(Phase::Stopping);
                }
                // The task never ends, so that the sender is not dropped.
                std::future::pending::<()>().await;
            });
            let served = livecode_server::run(config, Arc::new(start::spawner), phase, reload, announce);
            served.await.map_err(explain)
        });
        drop(runtime);
        if is_first_process() {
            await_children();
        }
        served
    }
}

/// Adds what can be done about it to the refusal of a machine that cannot enforce every limit.
fn explain(error: ServeError) -> CommandFailure {
    let proposals = match &error {
        ServeError::Degraded { .. } => proposals(),
        _ => vec![],
    };
    if proposals.is_empty() {
        return error.into();
    }
    anyhow::anyhow!("{error}\n`livecode doctor` proposes:\n  - {}", proposals.join("\n  - ")).into()
}

/// Whether this is process 1 of a container. The kernel kills all others when it ends.
fn is_first_process() -> bool {
    std::process::id() == 1
}

/// How long the first process waits for its children before it ends.
const CHILDREN_TIMEOUT: Duration = Duration::from_secs(3);
const CHILDREN_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until the spawners and supervisors have removed what is not gone with the container: the
/// cgroups. They end by themselves when the server has closed its sockets.
fn await_children() {
    let until = Instant::now() + CHILDREN_TIMEOUT;
    while Instant::now() < until {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => thread::sleep(CHILDREN_POLL_INTERVAL),
            Err(_) => return, // there are none
        }
    }
}

/// How often free memory is given back to the kernel.
const RETURN_INTERVAL: Duration = Duration::from_secs(2);

/// Gives free memory back to the kernel for as long as the process lives.
fn return_free_pages_at_intervals() {
    loop {
        thread::sleep(RETURN_INTERVAL);
        return_free_pages();
    }
}

/// Raises the soft limit of open descriptors to the hard limit. The usual soft limit of 1,024
/// exists for programs that use select(2), and each connected client takes two descriptors.
fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    // If this fails, the server serves as many clients as the old limit allows.
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The failure for a wrong setting, which counts as a wrong command line.
fn usage_failure(error: impl Into<anyhow::Error>) -> CommandFailure {
    CommandFailure { error: error.into(), exit_code: EXIT_USAGE }
}

/// Prints the server's addresses once it listens, and tells systemd that it is ready. Before that,
/// it logs a warning for each limit that this machine cannot enforce.
fn announce(format: LogFormat, addresses: &[ListenAddress], degraded: &[String]) {
    for sentence in degraded {
        tracing::warn!("DEGRADED: {sentence}");
    }
    if !degraded.is_empty() {
        tracing::warn!(
            "DEGRADED: not every limit of a session is enforced; `livecode doctor` explains how to change that"
        );
    }
    let urls: Vec<_> = addresses.iter().map(ListenAddress::url).collect();
    let line = match format {
        LogFormat::Text => format!("LiveCode listens on {}", urls.join(" and ")),
        // systemd and containers put both streams into one log.
        LogFormat::Json => {
            let now = log::timestamp();
            serde_json::json!({"timestamp": now, "level": "INFO", "message": "LiveCode listens", "urls": urls})
                .to_string()
        }
    };
    // Standard output may be closed; the server runs all the same.
    let _ = writeln!(io::stdout(), "{line}");
    readiness::notify();
}
