//! What this machine can enforce, found out by trying, and what to do where it cannot.
//!
//! Nothing here is concluded from a version or a configuration where it can be tried: namespaces are made, the filters are
//! installed, a program is run in a sandbox. Configuration only explains what failed.

mod cgroups;

use std::{fs, io, path::PathBuf, time::Instant};

use rustix::{
    mount::{MountPropagationFlags, mount_change},
    process::{Resource, getrlimit},
};

use crate::{
    host::Host,
    init,
    init_wire::{SetupContext, SetupError},
    kernel::{
        rlimits,
        sys::{self, Forked},
    },
    trial::{self, TrialError},
};

/// Descriptors that a server with a few thousand connections and sessions needs.
const WANTED_OPEN_FILES: u64 = 4096;
/// The first kernel with all that a sandbox is made of (mount_setattr(2) came last).
const OLDEST_KERNEL: (u32, u32) = (5, 12);

/// How well something can be enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As promised.
    Ok,
    /// By the next best means.
    Degraded,
    /// Not at all.
    Missing,
}

/// What helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// In words.
    pub what: String,
    /// To be typed, where a command does it.
    pub command: Option<String>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is, in a word or two.
    pub name: &'static str,
    /// How well it can be enforced.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedies: Vec<Remedy>,
}

/// All that was found.
#[derive(Clone, Debug)]
pub struct DoctorReport {
    /// One a line, in the order in which a sandbox needs them.
    pub findings: Vec<Finding>,
    /// Whether a program could be run in a sandbox.
    pub can_run: bool,
    /// What cannot be enforced, in the words of `/healthz`.
    pub degraded: Vec<String>,
}

impl Finding {
    fn new(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { name, verdict, found: found.into(), remedies: vec![] }
    }

    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, found)
    }

    /// Adds a remedy, unless there is nothing to be mended.
    fn or(mut self, what: &str, command: &str) -> Self {
        if self.verdict != Verdict::Ok {
            let command = (!command.is_empty()).then(|| command.to_owned());
            self.remedies.push(Remedy { what: what.to_owned(), command });
        }
        self
    }
}

/// Looks at this machine, for this user. `staging` is an empty folder; this process has one thread. What is made to look is
/// removed.
pub fn probe(staging: PathBuf) -> DoctorReport {
    // No server has this name: theirs are hashes of paths.
    let mut host = Host::new(staging, u64::from(std::process::id()) | 0xd0c7_0000_0000_0000);
    let rootless = host.is_rootless;
    let mut findings = vec![kernel(), user(rootless), user_namespaces(rootless)];
    findings.extend(namespaces(rootless));
    findings.push(seccomp(&host));
    findings.push(landlock(&host));
    findings.extend(cgroups::findings(&host.cgroups, rootless));
    findings.push(core_dumps());
    findings.push(open_files());
    let sandbox = sandbox(&host);
    let can_run = sandbox.verdict != Verdict::Missing;
    findings.push(sandbox);
    let degraded = host.degraded();
    host.dissolve();
    DoctorReport { findings, can_run, degraded }
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let verdict = if version >= OLDEST_KERNEL { Verdict::Ok } else { Verdict::Missing };
    let (major, minor) = OLDEST_KERNEL;
    Finding::new("kernel", verdict, format!("Linux {release}"))
        .or(&format!("a sandbox needs Linux {major}.{minor} or later"), "")
}

fn user(rootless: bool) -> Finding {
    let uid = rustix::process::geteuid().as_raw();
    Finding::ok(
        "user",
        if rootless && uid == 0 {
            "root of a container with few uids: each session has a user namespace of its own".to_owned()
        } else if rootless {
            format!("uid {uid}: each session has a user namespace of its own")
        } else {
            "root: each session has a uid of its own".to_owned()
        },
    )
}

/// Does something in a fresh process with namespaces of its own; in rootless mode a user namespace among them.
fn attempt(
    rootless: bool,
    flags: i32,
    act: impl FnOnce() -> Result<(), SetupError>,
) -> Result<(), SetupError> {
    let outer = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let flags = if rootless { flags | libc::CLONE_NEWUSER } else { flags };
    match sys::clone(flags, None).context("clone")? {
        Forked::Child => {
            let mapped = if rootless { init::setup::map_ids(0, outer) } else { Ok(()) };
            let errno = match mapped.and_then(|()| act()) {
                Ok(()) => 0,
                Err(error) => error.source.raw_os_error().unwrap_or(libc::EIO),
            };
            sys::exit_now(errno)
        }
        Forked::Parent(child) => match sys::reap_child(child.pid).context("wait")?.exit_code {
            Some(0) => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(errno)).context("use"),
            None => Err(io::Error::from_raw_os_error(libc::EIO)).context("use"),
        },
    }
}

fn user_namespaces(rootless: bool) -> Finding {
    const NAME: &str = "user namespaces";
    if !rootless {
        return Finding::ok(NAME, "not needed by root");
    }
    // To be of use, one must give privilege over what is made in it: AppArmor lets it be made, and then gives none.
    let tried = attempt(true, libc::CLONE_NEWUTS, || {
        rustix::system::sethostname(b"livecode").context("set the host name")
    });
    let Err(error) = tried else { return Finding::ok(NAME, "may be made") };
    let finding = Finding::new(NAME, Verdict::Missing, format!("cannot be used: {}", error.source));
    let is = |path: &str, value: &str| read(path).is_some_and(|found| found == value);
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return finding
            .or(
                "AppArmor restricts them. Let LiveCode have them by the profile in packaging/livecode.apparmor",
                "sudo cp packaging/livecode.apparmor /etc/apparmor.d/livecode && sudo apparmor_parser -r /etc/apparmor.d/livecode",
            )
            .or(
                "or lift the restriction for all programs",
                "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
            );
    }
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return finding
            .or("this kernel keeps them for root", "sudo sysctl kernel.unprivileged_userns_clone=1");
    }
    if is_exhausted(&error) {
        return finding
            .or("no more may be made on this machine", "sudo sysctl user.max_user_namespaces=15000");
    }
    finding.or(
        "in a container, its seccomp and AppArmor profiles must let them be made",
        "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined …",
    )
}

/// Whether a limit on the number of namespaces was hit (namespaces(7)).
fn is_exhausted(error: &SetupError) -> bool {
    error.source.raw_os_error() == Some(libc::ENOSPC)
}

fn namespaces(rootless: bool) -> Vec<Finding> {
    type Act = fn() -> Result<(), SetupError>;
    let nothing: Act = || Ok(());
    let mounts: Act = || {
        let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", flags).context("make mounts private")
    };
    let kinds: [(&str, &str, i32, &str, Act); 6] = [
        (
            "mount namespace",
            "max_mnt_namespaces",
            libc::CLONE_NEWNS,
            "its own root; no file of the machine's but /usr",
            mounts,
        ),
        (
            "pid namespace",
            "max_pid_namespaces",
            libc::CLONE_NEWPID,
            "no foreign process seen or signalled; all die as one",
            nothing,
        ),
        (
            "net namespace",
            "max_net_namespaces",
            libc::CLONE_NEWNET,
            "no network but its own loopback device",
            || sys::loopback_up().context("bring the loopback device up"),
        ),
        ("ipc namespace", "max_ipc_namespaces", libc::CLONE_NEWIPC, "no shared memory with anybody", nothing),
        ("uts namespace", "max_uts_namespaces", libc::CLONE_NEWUTS, "its own host name", || {
            rustix::system::sethostname(b"livecode").context("set the host name")
        }),
        ("cgroup namespace", "max_cgroup_namespaces", 0, "its own view of cgroups", || {
            sys::unshare_cgroup_namespace().context("make a cgroup namespace")
        }),
    ];
    let finding = |(name, limit, flags, gives, act): (&'static str, &str, i32, &str, Act)| {
        let Err(error) = attempt(rootless, flags, act) else { return Finding::ok(name, gives) };
        let finding = Finding::new(name, Verdict::Missing, format!("cannot be used: {}", error.source));
        if is_exhausted(&error) && read(&format!("/proc/sys/user/{limit}")).as_deref() == Some("0") {
            finding.or("none may be made on this machine", &format!("sudo sysctl user.{limit}=15000"))
        } else if rootless {
            finding.or("an ordinary user makes it inside a user namespace: see above", "")
        } else {
            finding.or(
                "root lacks CAP_SYS_ADMIN here, or a filter refuses it; in a container",
                "docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined …",
            )
        }
    };
    kinds.map(finding).into()
}

/// Installs the filters in a process, which must then be refused what it may do without them.
fn seccomp(host: &Host) -> Finding {
    let filtered = attempt(false, 0, || {
        rustix::thread::set_no_new_privs(true).context("no_new_privs")?;
        sys::unshare_nothing().context("try a system call")?;
        host.seccomp_profile.install(false).context("install the seccomp filter")?;
        match sys::unshare_nothing() {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::ENOTRECOVERABLE)).context("refuse a system call"),
        }
    });
    match filtered {
        Ok(()) => Finding::ok("seccomp", "system calls are filtered"),
        Err(error) => Finding::new("seccomp", Verdict::Missing, format!("no filter holds: {}", error.source))
            .or("a sandbox needs a kernel with CONFIG_SECCOMP_FILTER", ""),
    }
}

fn landlock(host: &Host) -> Finding {
    if host.has_landlock {
        let version = sys::landlock_version().unwrap_or(0);
        return Finding::ok("Landlock", format!("files are restricted a second time (version {version})"));
    }
    Finding::new("Landlock", Verdict::Degraded, "this kernel has none: files are restricted by mounts alone")
        .or("Linux 5.13 or later has it; where it is left out at boot, add landlock to the list of the kernel's parameter lsm=", "cat /sys/kernel/security/lsm")
}

fn core_dumps() -> Finding {
    let pattern = read("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if rlimits::dumps_reach_handler() {
        return Finding::new("core dumps", Verdict::Degraded, "the machine's handler is called for crashes of programs")
            .or("your hard limit of core dumps is 0, at which Linux calls it; give this user one, and log in again", "echo \"$USER hard core 1\" | sudo tee /etc/security/limits.d/livecode.conf");
    }
    let found = match pattern.strip_prefix(['|', '@']) {
        Some(handler) => {
            let handler = handler.split_whitespace().next().unwrap_or_default();
            format!("none is written; {handler}, to which this machine pipes them, is not called")
        }
        None => "none is written".to_owned(),
    };
    Finding::ok("core dumps", found)
}

fn open_files() -> Finding {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let verdict = if limit >= WANTED_OPEN_FILES { Verdict::Ok } else { Verdict::Degraded };
    Finding::new("open files", verdict, format!("the server may open {limit}"))
        .or(
            "with so few, connections and sessions are refused early. In the systemd unit: LimitNOFILE=65536; in a shell, as root",
            "ulimit -n 65536",
        )
}

/// The real thing: a program in a sandbox tells what it is left with.
fn sandbox(host: &Host) -> Finding {
    const NAME: &str = "sandbox";
    let began = Instant::now();
    let status = match trial::try_program(host, &["cat", "/proc/self/status"]) {
        Ok(status) => String::from_utf8_lossy(&status).into_owned(),
        Err(error) => return no_sandbox(NAME, &error),
    };
    let took_ms = began.elapsed().as_millis();
    let is = |name: &str, wanted: u64| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| u64::from_str_radix(value.trim(), 16).ok()) == Some(wanted)
    };
    let lacks = [
        ("CapEff", 0, "it has capabilities"),
        ("CapPrm", 0, "it may take capabilities"),
        ("CapBnd", 0, "it may gain capabilities"),
        ("NoNewPrivs", 1, "it may gain privilege by executing"),
        ("Seccomp", 2, "its system calls are not filtered"),
    ];
    let wrong: Vec<_> = lacks.into_iter().filter(|(name, wanted, _)| !is(name, *wanted)).collect();
    if wrong.is_empty() {
        let found =
            format!("a program ran in one, without privilege and with filtered system calls ({took_ms} ms)");
        return Finding::ok(NAME, found);
    }
    let wrong: Vec<_> = wrong.into_iter().map(|(.., what)| what).collect();
    Finding::new(NAME, Verdict::Missing, format!("a program ran in one, but {}", wrong.join(", ")))
        .or("this is a defect of LiveCode's: see SECURITY.md for how to report it", "")
}

fn no_sandbox(name: &'static str, error: &TrialError) -> Finding {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let finding = Finding::new(name, Verdict::Missing, format!("no program can be run: {error}{cause}"));
    match error {
        TrialError::Setup(error) if error.step == "mount /proc" => finding.or(
            "parts of /proc are hidden here, as in a container, so that no fresh one may be mounted",
            "docker run --security-opt systempaths=unconfined …",
        ),
        _ => finding.or("what is missing above explains it; where nothing is, please report it", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_well_needs_no_remedy() {
        assert!(Finding::ok("x", "y").or("do", "this").remedies.is_empty());
        let remedies = Finding::new("x", Verdict::Degraded, "y").or("do", "this").or("or that", "").remedies;
        assert_eq!(remedies.len(), 2);
        assert_eq!(remedies[1].command, None);
    }
}
