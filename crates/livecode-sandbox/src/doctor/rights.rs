//! Findings about what a container may lack: capabilities, system calls, a new mount of /proc, and
//! devices.

use std::{fs, io, os::unix::fs::FileTypeExt as _, path::Path};

use rustix::{
    fs::CWD,
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change,
        move_mount, open_tree, unmount,
    },
    pipe::pipe,
    process::pivot_root,
    thread::{CapabilitySet, capabilities, capability_is_in_bounding_set},
};

use crate::{
    doctor::{
        attempt::{is_filtered, read_trimmed, run_in_namespaces, set_host_name, try_in_namespaces},
        container::Container,
        finding::{Finding, Verdict},
    },
    kernel::{
        mountinfo,
        sys::{self, MountFlags as AddedFlags},
    },
    rootfs::mounts::DEVICES,
    setup_error::SetupContext as _,
};

/// The capabilities that root needs to make a sandbox and to end it, without `CAP_`.
const NEEDED_CAPABILITIES: [(&str, CapabilitySet); 7] = [
    ("SYS_ADMIN", CapabilitySet::SYS_ADMIN),
    ("NET_ADMIN", CapabilitySet::NET_ADMIN),
    ("CHOWN", CapabilitySet::CHOWN),
    ("KILL", CapabilitySet::KILL),
    ("SETUID", CapabilitySet::SETUID),
    ("SETGID", CapabilitySet::SETGID),
    ("SETPCAP", CapabilitySet::SETPCAP),
];

/// Reports the capabilities that root lacks. An ordinary user needs none.
pub(super) fn capabilities_of_root(container: Container) -> Finding {
    const NAME: &str = "capabilities";
    let own = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let missing: Vec<_> =
        NEEDED_CAPABILITIES.iter().filter(|(_, flag)| !own.contains(*flag)).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Finding::ok(NAME, "root has those that make a sandbox");
    }
    let names: Vec<_> = missing.iter().map(|name| format!("CAP_{name}")).collect();
    let found = format!("root lacks {}", names.join(", "));
    let remedy = match container {
        Container::Unknown => {
            "give them to the server: in a systemd unit by CapabilityBoundingSet, in a container by flags"
        }
        _ => "give them to the container",
    };
    Finding::new(NAME, Verdict::Missing, found).with_remedy(remedy, &container.with_capabilities(&missing))
}

/// A path at which there is nothing, so that a permitted call fails in another way than a refused
/// one.
const NOWHERE: &str = "/proc/self/nothing";

/// A call that changes nothing outside of the process's namespaces.
type CallTrial = fn() -> io::Result<()>;

/// System calls that make a sandbox.
const NEEDED_CALLS: [(&str, CallTrial); 7] = [
    ("sethostname", || set_host_name().map_err(|error| error.source)),
    ("mount", || Ok(mount("none", NOWHERE, "tmpfs", MountFlags::empty(), None)?)),
    ("umount2", || Ok(unmount(NOWHERE, UnmountFlags::DETACH)?)),
    ("pivot_root", || Ok(pivot_root(NOWHERE, NOWHERE)?)),
    ("open_tree", || Ok(open_tree(CWD, NOWHERE, OpenTreeFlags::OPEN_TREE_CLONE).map(drop)?)),
    ("move_mount", || Ok(move_mount(CWD, NOWHERE, CWD, NOWHERE, MoveMountFlags::empty())?)),
    ("mount_setattr", || sys::set_mount_flags(pipe()?.0, AddedFlags::NODEV, false)),
];

/// Whether a filter or a security module has refused the call.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS))
}

/// Reports the system calls that are refused although this process, or the user namespace that it
/// makes, has the capabilities for them.
pub(super) fn system_calls(container: Container, rootless: bool) -> Finding {
    const NAME: &str = "system calls";
    let flags = libc::CLONE_NEWNS | libc::CLONE_NEWUTS;
    // The exit code has a bit for each call.
    let refused = run_in_namespaces(rootless, flags, |_| {
        let refused = NEEDED_CALLS
            .iter()
            .enumerate()
            .filter(|(_, (_, call))| call().is_err_and(|error| is_refused(&error)));
        refused.map(|(place, _)| 1 << place).sum()
    });
    let names: Vec<_> = match refused {
        Ok(bits) => {
            let refused = NEEDED_CALLS.iter().enumerate().filter(|(place, _)| bits & (1 << place) != 0);
            refused.map(|(_, (name, _))| *name).collect()
        }
        Err(error) if is_refused(&error.source) => vec!["clone", "clone3", "unshare"],
        // The findings about namespaces explain it.
        Err(_) => vec![],
    };
    if names.is_empty() {
        return Finding::ok(NAME, "those that make a sandbox are permitted");
    }
    let found = format!("not permitted: {}", names.join(", "));
    let finding = Finding::new(NAME, Verdict::Missing, found);
    if !is_filtered() {
        let profile = read_trimmed("/proc/self/attr/current").unwrap_or_default();
        let what = format!("a security module refuses them (AppArmor's profile: {profile}); permit them");
        return finding.with_remedy(&what, &container.command("--security-opt apparmor=unconfined"));
    }
    with_filter_remedies(finding, container, &names)
}

/// Adds the ways to let system calls pass the filter of a container.
pub(super) fn with_filter_remedies(finding: Finding, container: Container, names: &[&str]) -> Finding {
    let has_admin = capability_is_in_bounding_set(CapabilitySet::SYS_ADMIN).unwrap_or(false);
    match container {
        Container::Podman | Container::Docker if !has_admin => finding
            .with_remedy(
                "the engine's filter permits them to a container with this capability",
                &container.with_capabilities(&["SYS_ADMIN"]),
            )
            .with_remedy("or run the container without a filter", &container.with_system_calls(names)),
        Container::Unknown => finding.with_remedy(
            "a filter refuses them; permit them: in a systemd unit by SystemCallFilter, in a container by flags",
            &container.with_system_calls(names),
        ),
        _ => finding.with_remedy("the container's filter refuses them; permit them", &container.with_system_calls(names)),
    }
}

/// Reports whether a new /proc can be mounted. In a user namespace the kernel permits that only if
/// no part of the existing one is covered. If system calls are refused (`can_mount` is false), a
/// failure is reported only if there is such a part.
pub(super) fn new_proc(container: Container, rootless: bool, can_mount: bool) -> Option<Finding> {
    const NAME: &str = "new /proc";
    let tried = try_in_namespaces(rootless, libc::CLONE_NEWNS | libc::CLONE_NEWPID, || {
        // The mount must not reach the machine's mount namespace.
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .context("make mounts private")?;
        mount("proc", "/proc", "proc", MountFlags::empty(), None).context("mount /proc")
    });
    let Err(error) = tried else { return Some(Finding::ok(NAME, "each session has its own")) };
    let covered: Vec<_> = mountinfo::mounts()
        .into_iter()
        .map(|mount| mount.mount_point)
        .filter(|path| path.starts_with("/proc") && path != Path::new("/proc"))
        .map(|path| path.display().to_string())
        .collect();
    let found = format!("cannot be mounted: {}", error.source);
    let finding = Finding::new(NAME, Verdict::Missing, found);
    if covered.is_empty() {
        return can_mount.then(|| finding.with_remedy("a security module refuses it; permit it", ""));
    }
    let what = format!(
        "the kernel permits it only where nothing of /proc is covered, and here {} are; uncover them",
        covered.join(", ")
    );
    Some(finding.with_remedy(&what, &container.with_whole_proc()))
}

/// Reports whether the devices exist that every sandbox shares with the machine.
pub(super) fn devices(container: Container) -> Finding {
    const NAME: &str = "devices";
    let paths = DEVICES.map(|name| format!("/dev/{name}"));
    let is_device = |path: &String| fs::metadata(path).is_ok_and(|file| file.file_type().is_char_device());
    let missing: Vec<_> = paths.into_iter().filter(|path| !is_device(path)).collect();
    if missing.is_empty() {
        return Finding::ok(NAME, "/dev has those that programs need");
    }
    let finding = Finding::new(NAME, Verdict::Missing, format!("there is no {}", missing.join(", no ")));
    if container == Container::Unknown {
        let what = "mount those of the machine, in a chroot before the change of its root";
        return finding.with_remedy(what, "mount --rbind /dev FOLDER/dev");
    }
    let flags: Vec<_> = missing.iter().map(|path| container.device_flag(path)).collect();
    finding.with_remedy("give them to the container", &container.command(&flags.join(" ")))
}
