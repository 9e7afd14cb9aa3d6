//! Starts spawner processes, which are this very binary again, and the templates that make sandboxes for some.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use livecode_protocol::warm::{InterpreterZygote, SpawnerSettings};
use livecode_sandbox::fd_passing;
use livecode_server::runner::spawner::SpawnerProcess;
use rustix::{
    net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair},
    process::{Pid, PidfdFlags, pidfd_open},
};

/// What an interpreter loads, and how it comes to.
const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/livecode_zygote.so"));
const HOOK: &[u8] = include_bytes!("../../livecode-zygote/src/hook.py");

/// Starts a spawner with a socket to it as its standard input; first, where it is to have one, the template that makes its
/// sandboxes.
pub fn spawner(settings: &SpawnerSettings) -> io::Result<SpawnerProcess> {
    let text = serde_json::to_string(settings)?;
    let template = settings.template.as_ref();
    let template =
        template.map(|template| start_template(template, &settings.data_dir, &text)).transpose()?;

    let (ours, theirs) = pair()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("livecode").args(["spawner", "--settings", &text]).env_clear();
    command.stdin(Stdio::from(theirs)).stdout(Stdio::null());
    let child = start(command)?;
    // Not waited for yet, it cannot be mistaken for another.
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    if let Some((socket, process)) = &template {
        fd_passing::send(&ours, &[0], &[socket.as_fd(), process.as_fd()], SendFlags::empty())?;
    }
    // It ends when `ours` is closed.
    wait_for(child)?;
    Ok(SpawnerProcess { socket: ours, pidfd, zygote_pidfd: template.map(|(_, process)| process) })
}

/// Starts a template, for a spawner to ask, with which it ends: the socket to it, and its process.
fn start_template(
    template: &InterpreterZygote,
    data_dir: &Path,
    settings: &str,
) -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = pair()?;
    let mut command = interpreter(template, data_dir)?;
    command.stdin(Stdio::from(theirs));
    let mut child = start(command)?;
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    // With the server's standard error, for what it has to say.
    fd_passing::send(&ours, settings.as_bytes(), &[io::stderr().as_fd()], SendFlags::empty())?;
    tell_of(&mut child)?;
    wait_for(child)?;
    Ok((ours, pidfd))
}

fn start(mut command: Command) -> io::Result<Child> {
    // The attack suite's switch (`livecode_sandbox::without`), by which it shows that it can fail.
    #[cfg(debug_assertions)]
    command.envs(std::env::vars_os().filter(|(name, _)| name == "LIVECODE_TEST_WITHOUT"));
    command.spawn()
}

/// Somebody must hear of its end.
fn wait_for(mut child: Child) -> io::Result<()> {
    thread::Builder::new().name("spawner".into()).stack_size(64 * 1024).spawn(move || child.wait()).map(drop)
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// The interpreter as it would be in a sandbox, but for what makes a template of it. Its standard streams are of the kind
/// that a program's are, since it looks at them when it starts.
fn interpreter(template: &InterpreterZygote, data_dir: &Path) -> io::Result<Command> {
    let hook = unpack(data_dir)?;
    let mut command = Command::new(&template.interpreter);
    let inside = Path::new(livecode_sandbox::WORKING_DIRECTORY).join(&template.source);
    command.arg(inside).current_dir("/").env_clear();
    command.envs(template.env.iter().map(|(name, value)| (name, value)));
    command.env("PYTHONPATH", hook);
    command.env("LIVECODE_FD", livecode_sandbox::MESSAGE_FD.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// Puts what the interpreter needs into the data directory, and says where.
fn unpack(data_dir: &Path) -> io::Result<PathBuf> {
    let folder = data_dir.join("template");
    fs::create_dir_all(&folder)?;
    for (name, contents) in [("sitecustomize.py", HOOK), ("livecode_zygote.so", LIBRARY)] {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|there| there == contents) {
            continue;
        }
        // Another spawner may be reading the old one.
        let new = folder.join(format!(".{name}"));
        fs::write(&new, contents)?;
        fs::rename(new, path)?;
    }
    folder.canonicalize()
}

/// Passes on what an interpreter says before it has become a spawner.
fn tell_of(child: &mut Child) -> io::Result<()> {
    let Some(stderr) = child.stderr.take() else { return Ok(()) };
    drop(child.stdout.take());
    let tell = move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            tracing::warn!("a template says: {line}");
        }
    };
    thread::Builder::new().name("template".into()).stack_size(64 * 1024).spawn(tell).map(drop)
}
