//! The setup of a sandbox from inside, in two parts: the steps that any session needs, done before
//! the session is known, and the steps that depend on the session.
//!
//! The order of the steps matters. Each is done while this process still has the privilege that
//! the step needs; whatever the filters forbid is done before the filters are installed.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write as _},
    os::{fd::AsFd, unix::fs::OpenOptionsExt as _},
    path::Path,
};

use livecode_protocol::{
    FileName,
    run_spec::{Contents, RunSpec, StoredFile},
};
use rustix::{
    fs::{Gid, Mode, Uid, fchown},
    net::SendFlags,
};

use crate::{
    WORKING_DIRECTORY, cgroup,
    handle::kernel_memory::KernelMemoryProbe,
    host::Host,
    init::{
        artefacts,
        context::{InitContext, InitProcess, ProgramFds},
    },
    init_wire::InitEvent,
    kernel::{
        fault_switch::is_not_disabled_by_test,
        fd_passing, landlock, namespace_limits,
        privileges::{self, SessionIds},
        rlimits, sys,
    },
    rootfs::{accounts::AccountFiles, disk_size::DiskSize, mounts},
    setup_error::{SetupContext, SetupError},
};

/// Does the setup steps that any session needs. Returns the files that depend on the session's
/// uid.
pub(super) fn set_up_sandbox(init: &InitProcess<'_>) -> Result<AccountFiles, SetupError> {
    let InitContext { host, layout, fds, .. } = init.context;
    sys::reset_signals();
    if is_not_disabled_by_test("masks") {
        // The process that was cloned into this one has the server's settings in its command line.
        sys::replace_command_line(c"init").context("replace the command line")?;
    }
    // The session's user must be able to read what is created here, whatever umask the server has.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    if host.is_rootless {
        map_ids(host.inner_id(0), host.own_ids)?;
    }
    for tasks_file in &fds.tasks_files {
        cgroup::join_v1_group(tasks_file).context("enter the cgroup")?;
    }
    sys::unshare_cgroup_namespace().context("make a cgroup namespace")?;
    if host.is_rootless && is_not_disabled_by_test("limits") {
        namespace_limits::lower();
    }
    rustix::system::sethostname(b"livecode").context("set the host name")?;
    if is_not_disabled_by_test("network") {
        sys::bring_loopback_up().context("bring the loopback device up")?;
    }
    let account_files = mounts::enter_root(&host.staging, &host.mounts, layout)?;
    // Without it, a session that needs another size finds no warm sandbox, but any other runs.
    if let Ok(disk) = DiskSize::open() {
        let event = InitEvent::DiskSize.encode();
        let _ = fd_passing::send(init.control, &event, &[disk.as_fd()], SendFlags::empty());
    }
    let is_memory_sampled = host.cgroups.unenforced().memory;
    if is_memory_sampled {
        let probe = KernelMemoryProbe::open().context("open what measures kernel memory")?;
        let descriptors: Vec<_> = probe.iter().map(AsFd::as_fd).collect();
        let event = InitEvent::KernelMemoryProbe.encode();
        fd_passing::send(init.control, &event, &descriptors, SendFlags::empty())
            .context("send what measures kernel memory")?;
    }
    if is_not_disabled_by_test("limits") {
        rlimits::set_sandbox_limits()?;
    }
    if is_not_disabled_by_test("privileges") {
        privileges::prevent_gaining()?;
    }
    rustix::process::chdir(WORKING_DIRECTORY).context("enter the working directory")?;
    if host.has_landlock {
        landlock::confine().context("restrict files by Landlock")?;
    }
    if is_not_disabled_by_test("seccomp") {
        let listener = host
            .seccomp_profile
            .install(is_memory_sampled, host.is_order_exact)
            .context("install the seccomp filter")?;
        // The supervisor alone keeps it. Sending it and closing it are calls that do not notify.
        if let Some(listener) = listener {
            let event = InitEvent::SeccompListener.encode();
            fd_passing::send(init.control, &event, &[listener.as_fd()], SendFlags::empty())
                .context("send the listener of the seccomp filter")?;
        }
    }
    Ok(account_files)
}

/// Does the setup steps that depend on the session: gives up all privileges, writes the session's
/// files, and unpacks the artefacts of `cache_entry`. In root mode init then has a uid of its own.
/// The contents of files that `run_spec` holds are taken from it.
pub(super) fn set_up_session(
    host: &Host,
    run_spec: &mut RunSpec,
    contents_file: Option<File>,
    cache_entry: Option<File>,
    account_files: AccountFiles,
    program_fds: ProgramFds,
) -> Result<(), SetupError> {
    account_files.assign_to(host.inner_id(run_spec.slot))?;
    let ids = host.session_ids(run_spec.slot);
    if let Some(SessionIds { program, .. }) = &ids {
        // The kernel asks for the owner of a pipe when a program opens /dev/stdin or /dev/stdout.
        let owner = (Some(Uid::from_raw(*program)), Some(Gid::from_raw(*program)));
        for fd in [program_fds.stdin, program_fds.stdout, program_fds.stderr] {
            fchown(fd, owner.0, owner.1).context("own the program's pipes")?;
        }
    }
    match ids {
        Some(ids) => ids.drop_all_as_init()?,
        None => drop_capabilities()?,
    }
    for file in &mut run_spec.files {
        let name = &file.name;
        let contents = std::mem::replace(&mut file.contents, Contents::Text(String::new()));
        let bytes = contents.into_bytes().map_err(io::Error::other).context(format!("decode {name}"))?;
        create_file(name).and_then(|mut file| file.write_all(&bytes)).context(format!("write {name}"))?;
    }
    if let (Some(stored), Some(contents_file)) = (&run_spec.stored, contents_file) {
        write_stored_files(&stored.files, contents_file)?;
    }
    if let Some(entry) = cache_entry {
        artefacts::unpack(&entry).context("write the cached artefacts")?;
    }
    ids.map_or(Ok(()), SessionIds::take_init_uid)
}

/// Becomes the session's user and drops every privilege, in a pre-forked program.
pub(super) fn become_user(host: &Host, run_spec: &RunSpec) -> Result<(), SetupError> {
    match host.session_ids(run_spec.slot) {
        Some(ids) => ids.drop_all_as_program(),
        None => drop_capabilities(),
    }
}

fn drop_capabilities() -> Result<(), SetupError> {
    if is_not_disabled_by_test("privileges") { privileges::drop_capabilities() } else { Ok(()) }
}

/// Maps `inner`, the only uid and gid of this user namespace, to the uid and gid outside
/// (user_namespaces(7): one line in each map, and setgroups(2) denied).
pub(crate) fn map_ids(inner: u32, (uid, gid): (u32, u32)) -> Result<(), SetupError> {
    fs::write("/proc/self/setgroups", "deny").context("give up setgroups")?;
    fs::write("/proc/self/uid_map", format!("{inner} {uid} 1")).context("map the user")?;
    fs::write("/proc/self/gid_map", format!("{inner} {gid} 1")).context("map the group")
}

/// Creates the files whose contents stand in the contents file, one after the other. The kernel
/// copies the bytes, so that this process holds none of them.
fn write_stored_files(files: &[StoredFile], mut contents: File) -> Result<(), SetupError> {
    contents.rewind().context("read the contents of files")?;
    for StoredFile { name, bytes } in files {
        let copy = |mut file: File| io::copy(&mut (&contents).take(*bytes), &mut file);
        let copied = create_file(name).and_then(copy).context(format!("write {name}"))?;
        if copied != *bytes {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).context(format!("read {name}"));
        }
    }
    Ok(())
}

/// Creates a file and its parent folders in the working directory. No program has run in this
/// folder, so it holds no links, and the name was checked: the path cannot lead outside.
fn create_file(name: &FileName) -> io::Result<File> {
    for parent in name.parents() {
        match fs::create_dir(parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    File::options().write(true).create_new(true).mode(0o644).open(Path::new(name.as_str()))
}
