//! Starts spawners, and the interpreter zygotes that some spawners use. A spawner is a process of
//! this same binary; an interpreter zygote is a process of an interpreter of the machine.

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

/// The shared object that makes an interpreter a zygote (crate `livecode-zygote`).
const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/livecode_zygote.so"));
/// The file that makes an interpreter load [`LIBRARY`].
const HOOK: &[u8] = include_bytes!("../../livecode-zygote/src/hook.py");

/// Stack size of the threads here, in bytes.
const THREAD_STACK_BYTES: usize = 64 * 1024;

/// Starts a spawner with a socket to it as its standard input. Where the spawner is to have an
/// interpreter zygote, that is started first.
pub fn spawner(settings: &SpawnerSettings) -> io::Result<SpawnerProcess> {
    let settings_json = serde_json::to_string(settings)?;
    let zygote = settings.interpreter_zygote.as_ref();
    let zygote = zygote
        .map(|zygote| start_interpreter_zygote(zygote, &settings.data_dir, &settings_json))
        .transpose()?;

    let (server_end, spawner_end) = socket_pair()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("livecode").args(["spawner", "--settings", &settings_json]).env_clear();
    command.stdin(Stdio::from(spawner_end)).stdout(Stdio::null());
    let child = spawn(command)?;
    // No thread waits for the child yet, so its pid cannot belong to another process.
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let (layout_socket, spawner_layout_end) = socket_pair()?;
    let mut descriptors = vec![spawner_layout_end.as_fd()];
    descriptors.extend(zygote.iter().flat_map(|(socket, pidfd)| [socket.as_fd(), pidfd.as_fd()]));
    fd_passing::send(&server_end, &[0], &descriptors, SendFlags::empty())?;
    // The spawner exits when `server_end` is closed.
    reap_in_background(child)?;
    let zygote_pidfd = zygote.map(|(_, pidfd)| pidfd);
    Ok(SpawnerProcess { socket: server_end, layout_socket, pidfd, zygote_pidfd })
}

/// Starts an interpreter zygote, which exits when its spawner does. Returns the socket by which
/// the spawner sends it requests, and its pidfd.
fn start_interpreter_zygote(
    zygote: &InterpreterZygote,
    data_dir: &Path,
    settings_json: &str,
) -> io::Result<(OwnedFd, OwnedFd)> {
    let (spawner_end, zygote_end) = socket_pair()?;
    let mut command = interpreter_command(zygote, data_dir)?;
    command.stdin(Stdio::from(zygote_end));
    let mut child = spawn(command)?;
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    // The server's standard error is attached: the zygote prints its errors there.
    let stderr = io::stderr();
    fd_passing::send(&spawner_end, settings_json.as_bytes(), &[stderr.as_fd()], SendFlags::empty())?;
    log_stderr(&mut child)?;
    reap_in_background(child)?;
    Ok((spawner_end, pidfd))
}

fn spawn(mut command: Command) -> io::Result<Child> {
    // The attack suite sets this variable to switch off a part of the isolation, which shows that
    // the suite can fail (`livecode_sandbox`, `kernel::fault_switch`).
    #[cfg(debug_assertions)]
    command.envs(std::env::vars_os().filter(|(name, _)| name == "LIVECODE_TEST_WITHOUT"));
    command.spawn()
}

/// Starts a thread that waits for the child, so that the child does not stay a zombie.
fn reap_in_background(mut child: Child) -> io::Result<()> {
    let thread = thread::Builder::new().name("spawner".into()).stack_size(THREAD_STACK_BYTES);
    thread.spawn(move || child.wait()).map(drop)
}

fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// The command that starts an interpreter as in a sandbox, except for what makes it a zygote. Its
/// standard output and error are pipes as a program's are, since the interpreter checks their
/// kind when it starts.
fn interpreter_command(zygote: &InterpreterZygote, data_dir: &Path) -> io::Result<Command> {
    let hook_folder = unpack_hook(data_dir)?;
    let mut command = Command::new(&zygote.interpreter);
    let source = Path::new(livecode_sandbox::WORKING_DIRECTORY).join(&zygote.source);
    command.arg(source).current_dir("/").env_clear();
    command.envs(zygote.env.iter().map(|(name, value)| (name, value)));
    command.env("PYTHONPATH", hook_folder);
    command.env("LIVECODE_FD", livecode_sandbox::MESSAGE_FD.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// Writes the files that make an interpreter a zygote into the data directory. Returns their
/// folder.
fn unpack_hook(data_dir: &Path) -> io::Result<PathBuf> {
    let folder = data_dir.join("template");
    fs::create_dir_all(&folder)?;
    for (name, contents) in [("sitecustomize.py", HOOK), ("livecode_zygote.so", LIBRARY)] {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|present| present == contents) {
            continue;
        }
        // The file is replaced as a whole, since another interpreter may be reading it.
        let new_path = folder.join(format!(".{name}"));
        fs::write(&new_path, contents)?;
        fs::rename(new_path, path)?;
    }
    folder.canonicalize()
}

/// Starts a thread that logs what an interpreter prints before it has become a zygote.
fn log_stderr(child: &mut Child) -> io::Result<()> {
    let Some(stderr) = child.stderr.take() else { return Ok(()) };
    drop(child.stdout.take());
    let log_lines = move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            tracing::warn!("an interpreter zygote printed: {line}");
        }
    };
    let thread = thread::Builder::new().name("zygote-stderr".into()).stack_size(THREAD_STACK_BYTES);
    thread.spawn(log_lines).map(drop)
}
