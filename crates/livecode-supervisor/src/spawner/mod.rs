//! The spawner: a single-threaded process that forks workers, which become supervisors.
//!
//! The server starts it as `livecode spawner`, with a sequenced-packet socket. The spawner first
//! sends one datagram, a [`SpawnerReady`], which says what this machine cannot enforce, or why no
//! sandbox can be made at all. After that, each datagram from the server is a
//! [`livecode_protocol::control::SpawnerRequest`] with a socket attached: either to start a
//! supervisor, whose first connection that socket becomes, or to sweep up after a dead supervisor.
//! There is no reply. When a sweep is done, or a fork has failed, the spawner closes the socket,
//! and the server reads end-of-file.
//!
//! Requests for sessions of another layout than the usual one come on a second socket, the
//! **layout socket**, as [`livecode_protocol::control::LayoutRequest`]. The spawner receives them
//! itself, and gives each to a worker that has a warm sandbox of this layout, if there is one.
//!
//! Most requests are not received by the spawner itself, but by an idle worker of its [`Pool`],
//! which has a warm sandbox already. The first processes of these sandboxes are cloned by a
//! zygote. It is either forked from the spawner, or it is an interpreter zygote. The server first
//! sends the spawner the layout socket, and in the second case also a socket to that zygote, and
//! its pidfd; the spawner waits for them before it sends [`SpawnerReady`].
//!
//! The spawner ends when the server closes the socket. Supervisors keep running: each is the
//! leader of a session of its own (setsid(2)), and the kernel reaps it.

mod channels;
mod host;
mod layout_pools;
mod pool;
mod requests;
mod retry;
mod sweep;
mod worker;
mod zygotes;

use std::{io, os::fd::OwnedFd};

use livecode_protocol::{control::SpawnerReady, warm::SpawnerSettings};
use livecode_sandbox::{Forked, Host, ZygoteClient, doctor::Finding, fd_passing};
use rustix::net::RecvFlags;

pub use crate::spawner::zygotes::serve_interpreter_zygote;
use crate::{
    identity::{self, ProcessIdentity},
    spawner::{host::open_host, pool::Pool, requests::send_ready, worker::SpawnerContext},
};

/// Runs the spawner until the server closes the socket `server`. It also returns in each forked
/// worker, once that worker is done. Returns the status for the process to exit with.
pub fn run(server: OwnedFd, settings: &SpawnerSettings) -> i32 {
    // In a session of its own the spawner receives no signals of the server's terminal. It ends
    // when the server does.
    let _ = rustix::process::setsid();
    livecode_sandbox::report::set_up(settings.is_log_json);
    let (host, layout_socket, interpreter_zygote) = match prepare(&server, settings) {
        Ok(prepared) => prepared,
        Err(error) => {
            send_ready(
                &server,
                &SpawnerReady { error: Some(with_causes(&*error)), ..SpawnerReady::default() },
            );
            return 1;
        }
    };
    profile_working_set(&host, interpreter_zygote.as_ref(), settings);
    // The kernel reaps the children of a process that ignores SIGCHLD (wait(2)).
    livecode_sandbox::reap_children_automatically(true);
    if settings.interpreter_zygote.is_none() {
        sweep_in_background(&host, settings);
    }
    let zygote = match (interpreter_zygote, &settings.warm) {
        (None, Some(_)) => match zygotes::fork_zygote(&host) {
            Ok(zygote) => Some(zygote),
            Err(error) => {
                eprintln!("livecode spawner: cannot fork a zygote, so no worker is reused: {error}");
                None
            }
        },
        (zygote, _) => zygote,
    };
    let (degraded, inexact) = (host.unenforced(), host.inexact());
    send_ready(&server, &SpawnerReady { degraded, inexact, error: None });
    let context = SpawnerContext { host, settings, zygote };
    match Pool::new(&context, server, layout_socket) {
        Ok(pool) => pool.run(),
        Err(error) => {
            eprintln!("livecode spawner: cannot start the pool of workers: {error}");
            1
        }
    }
}

/// Receives the layout socket, examines the machine, and connects to the interpreter zygote if the
/// settings name one.
fn prepare(
    server: &OwnedFd,
    settings: &SpawnerSettings,
) -> Result<(Host, OwnedFd, Option<ZygoteClient>), Box<dyn std::error::Error>> {
    let (_, descriptors) = fd_passing::receive(server, &mut [0], RecvFlags::empty())?;
    let mut descriptors = descriptors.into_iter();
    let layout_socket = descriptors.next().ok_or("the server sent no layout socket")?;
    let host = open_host(settings)?;
    let Some(interpreter) = &settings.interpreter_zygote else {
        // Only the default spawner tries whether sandboxes can be made; the others rely on that.
        if livecode_sandbox::doctor::missing_capabilities(&host).is_some() {
            let refused = io::Error::from(io::ErrorKind::PermissionDenied);
            return Err(why_no_sandbox(&host, &refused).into());
        }
        livecode_sandbox::try_sandbox(&host).map_err(|error| why_no_sandbox(&host, &error))?;
        return Ok((host, layout_socket, None));
    };
    let (Some(socket), Some(process)) = (descriptors.next(), descriptors.next()) else {
        return Err("the server sent no interpreter zygote".into());
    };
    zygotes::connect_interpreter_zygote(&socket)?;
    let zygote = ZygoteClient::new(Some(interpreter.clone()), socket, process);
    Ok((host, layout_socket, Some(zygote)))
}

/// Explains why no sandbox can be made, in the words of `livecode doctor`.
fn why_no_sandbox(host: &Host, error: &dyn std::error::Error) -> String {
    let obstacles: Vec<_> = livecode_sandbox::doctor::obstacles(host).iter().map(Finding::sentence).collect();
    if obstacles.is_empty() { with_causes(error) } else { obstacles.join("\n") }
}

/// Finds the working set of a small program of the interpreter zygote. Without that profile,
/// programs only start more slowly.
fn profile_working_set(host: &Host, zygote: Option<&ZygoteClient>, settings: &SpawnerSettings) {
    // The call also reads the boot id, once for all workers that are forked later.
    let own = identity::own_identity();
    if let (Some(zygote), Some(warm), Ok(own)) = (zygote, &settings.warm, own) {
        let cgroup_name = ProcessIdentity::from(&own).cgroup_name();
        if let Err(error) = zygote.profile_working_set(host, &cgroup_name, &warm.layout, &warm.limits) {
            eprintln!("livecode spawner: {error}: {}", error.source);
        }
    }
}

/// Sweeps up after all dead supervisors of the data directory. A child does that, so that workers
/// can be forked meanwhile. Only the default spawner needs to sweep.
fn sweep_in_background(host: &Host, settings: &SpawnerSettings) {
    match livecode_sandbox::fork() {
        Ok(Forked::Parent(_)) => {}
        Ok(Forked::Child) => {
            sweep::sweep_all(host, &settings.data_dir);
            livecode_sandbox::exit_now(0);
        }
        Err(error) => eprintln!("livecode spawner: cannot fork to sweep: {error}"),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
