//! Starts spawner processes: this very binary again, or an interpreter with the spawner loaded into it.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use livecode_protocol::warm::{SpawnerSettings, Template};
use livecode_server::spawner::Process;
use rustix::{
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
        sendmsg, socketpair,
    },
    process::{Pid, PidfdFlags, pidfd_open},
};

/// What an interpreter loads, and how it comes to.
const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/livecode_template.so"));
const HOOK: &[u8] = include_bytes!("../../livecode-template/src/hook.py");

/// Starts a spawner with a socket to it as its standard input.
pub fn spawner(settings: &SpawnerSettings) -> io::Result<Process> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let text = serde_json::to_string(settings)?;
    let mut command = match &settings.template {
        None => {
            let mut command = Command::new("/proc/self/exe");
            command.arg0("livecode").args(["spawner", "--settings", &text]).env_clear();
            command.stdout(Stdio::null());
            command
        }
        Some(template) => interpreter(template, &settings.data_dir)?,
    };
    // The attack suite's switch (`livecode_sandbox::without`), by which it shows that it can fail.
    #[cfg(debug_assertions)]
    command.envs(std::env::vars_os().filter(|(name, _)| name == "LIVECODE_TEST_WITHOUT"));
    let mut child = command.stdin(Stdio::from(theirs)).spawn()?;
    // Not waited for yet, it cannot be mistaken for another.
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    if settings.template.is_some() {
        tell(&ours, text.as_bytes())?;
        tell_of(&mut child)?;
    }
    // It ends when `ours` is closed; somebody must hear of it.
    thread::Builder::new().name("spawner".into()).stack_size(64 * 1024).spawn(move || child.wait())?;
    Ok(Process { socket: ours, pidfd })
}

/// The interpreter as it would be in a sandbox, but for what makes a template of it. Its standard streams are of the kind
/// that a program's are, since it looks at them when it starts.
fn interpreter(template: &Template, data_dir: &Path) -> io::Result<Command> {
    let hook = unpack(data_dir)?;
    let mut command = Command::new(&template.interpreter);
    let inside = Path::new(livecode_sandbox::WORKING_DIRECTORY).join(&template.source);
    command.arg(inside).current_dir("/").env_clear();
    command.envs(template.env.iter().map(|(name, value)| (name, value)));
    command.env("PYTHONPATH", hook);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// Puts what the interpreter needs into the data directory, and says where.
fn unpack(data_dir: &Path) -> io::Result<PathBuf> {
    let folder = data_dir.join("template");
    fs::create_dir_all(&folder)?;
    for (name, contents) in [("sitecustomize.py", HOOK), ("livecode_template.so", LIBRARY)] {
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

/// Sends the settings, and the server's standard error for what the spawner and its supervisors have to say.
fn tell(spawner: &OwnedFd, settings: &[u8]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut attached = SendAncillaryBuffer::new(&mut space);
    let stderr = io::stderr();
    let descriptors = [stderr.as_fd()];
    attached.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(spawner, &[IoSlice::new(settings)], &mut attached, SendFlags::NOSIGNAL)?;
    Ok(())
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
