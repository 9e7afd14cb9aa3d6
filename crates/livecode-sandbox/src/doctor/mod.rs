//! Examines what this machine can enforce, and suggests remedies if it cannot.
//!
//! Whatever can be tried is tried, instead of being concluded from a version or a configuration:
//! namespaces are made, the filters are installed, and a program is run in a sandbox.
//! Configuration only explains a failure.

mod cgroups;
mod finding;
mod sockets;

use std::{fs, io, path::PathBuf, time::Instant};

use rustix::{
    mount::{MountPropagationFlags, mount_change},
    process::{Resource, getrlimit},
};

pub use finding::{Finding, Remedy, Verdict};

use crate::{
    host::Host,
    init,
    kernel::{
        rlimits,
        sys::{self, Forked},
    },
    setup_error::{SetupContext, SetupError},
    trial::{self, TrialError},
};

/// Open files that a server with a few thousand connections and sessions needs.
const RECOMMENDED_OPEN_FILES: u64 = 4096;
/// The first kernel with everything that a sandbox needs; mount_setattr(2) was added last.
const OLDEST_KERNEL: (u32, u32) = (5, 12);
/// Begins the name of a host that is made only to be examined. A server's name is a hash of the
/// device and inode of its data directory.
const PROBE_NAME: u64 = 0xd0c7_0000_0000_0000;

/// All findings about this machine.
#[derive(Clone, Debug)]
pub struct DoctorReport {
    /// In the order in which a sandbox needs what was examined.
    pub findings: Vec<Finding>,
    /// Whether a program can be run in a sandbox.
    pub can_run: bool,
    /// The limits that cannot be enforced, in the words of `/healthz`.
    pub degraded: Vec<String>,
}

/// Examines this machine as the current user. `staging` is an empty folder, `toolchains` are the
/// folders that programs see besides /usr, and this process must have a single thread. Everything
/// that is made for the examination is removed again.
pub fn probe(staging: PathBuf, mut toolchains: Vec<PathBuf>) -> DoctorReport {
    let mut host = Host::new(staging, u64::from(std::process::id()) | PROBE_NAME);
    let rootless = host.is_rootless;
    let mut findings = vec![kernel(), user(rootless), user_namespaces(rootless)];
    findings.extend(namespaces(rootless));
    findings.push(seccomp(&host));
    findings.push(landlock(&host));
    findings.extend(cgroups::findings(&host.cgroups, rootless));
    findings.push(core_dumps());
    findings.push(open_files());
    toolchains.push("/usr".into());
    findings.push(sockets::finding(&toolchains));
    findings.push(limits_of_the_user(&host));
    let sandbox = sandbox(&host);
    let can_run = sandbox.verdict != Verdict::Missing;
    findings.push(sandbox);
    let degraded = host.unenforced();
    host.dissolve();
    DoctorReport { findings, can_run, degraded }
}

/// Reads a file without the white space around its text; `None` if it cannot be read.
fn read_trimmed(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let verdict = if version >= OLDEST_KERNEL { Verdict::Ok } else { Verdict::Missing };
    let (major, minor) = OLDEST_KERNEL;
    Finding::new("kernel", verdict, format!("Linux {release}"))
        .with_remedy(&format!("a sandbox needs Linux {major}.{minor} or later"), "")
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

/// Runs `act` in a new process in the namespaces of `flags` (`CLONE_NEW…`), and in a user
/// namespace too if `rootless`.
fn try_in_namespaces(
    rootless: bool,
    flags: i32,
    act: impl FnOnce() -> Result<(), SetupError>,
) -> Result<(), SetupError> {
    let outer_ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let flags = if rootless { flags | libc::CLONE_NEWUSER } else { flags };
    match sys::clone(flags, None).context("clone")? {
        Forked::Child => {
            let mapped = if rootless { init::setup::map_ids(0, outer_ids) } else { Ok(()) };
            // The exit code carries the errno to the parent.
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

fn set_host_name() -> Result<(), SetupError> {
    rustix::system::sethostname(b"livecode").context("set the host name")
}

fn user_namespaces(rootless: bool) -> Finding {
    const NAME: &str = "user namespaces";
    if !rootless {
        return Finding::ok(NAME, "not needed by root");
    }
    // A user namespace is useful only if it gives privileges over the namespaces inside it.
    // AppArmor can let it be made without giving any, so the trial uses a privilege.
    let Err(error) = try_in_namespaces(true, libc::CLONE_NEWUTS, set_host_name) else {
        return Finding::ok(NAME, "can be made");
    };
    let finding = Finding::new(NAME, Verdict::Missing, format!("cannot be used: {}", error.source));
    let is_set = |path: &str, value: &str| read_trimmed(path).is_some_and(|found| found == value);
    if is_set("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return finding
            .with_remedy(
                "AppArmor restricts them; permit them for LiveCode by the profile packaging/livecode.apparmor",
                "sudo cp packaging/livecode.apparmor /etc/apparmor.d/livecode && sudo apparmor_parser -r /etc/apparmor.d/livecode",
            )
            .with_remedy(
                "or lift the restriction for all programs",
                "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
            );
    }
    if is_set("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return finding.with_remedy(
            "this kernel reserves them for root; permit them for all users",
            "sudo sysctl kernel.unprivileged_userns_clone=1",
        );
    }
    if is_exhausted(&error) {
        return finding.with_remedy(
            "the limit on their number is reached; raise it",
            "sudo sysctl user.max_user_namespaces=15000",
        );
    }
    finding.with_remedy(
        "in a container, use seccomp and AppArmor profiles that permit them",
        "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined …",
    )
}

/// Whether the limit on the number of namespaces was reached (namespaces(7)).
fn is_exhausted(error: &SetupError) -> bool {
    error.source.raw_os_error() == Some(libc::ENOSPC)
}

/// A kind of namespace, and a trial that needs it.
struct NamespaceTrial {
    name: &'static str,
    /// The file in /proc/sys/user with the limit on their number.
    limit_file: &'static str,
    /// The `CLONE_NEW…` flag; 0 if the trial makes the namespace itself.
    flag: i32,
    /// What the namespace gives to a session.
    purpose: &'static str,
    act: fn() -> Result<(), SetupError>,
}

const NAMESPACE_TRIALS: [NamespaceTrial; 6] = [
    NamespaceTrial {
        name: "mount namespace",
        limit_file: "max_mnt_namespaces",
        flag: libc::CLONE_NEWNS,
        purpose: "each session has its own root; of the machine's files it sees little but /usr",
        act: || {
            let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", flags).context("make mounts private")
        },
    },
    NamespaceTrial {
        name: "pid namespace",
        limit_file: "max_pid_namespaces",
        flag: libc::CLONE_NEWPID,
        purpose: "a session sees and signals only its own processes, which all die together",
        act: || Ok(()),
    },
    NamespaceTrial {
        name: "net namespace",
        limit_file: "max_net_namespaces",
        flag: libc::CLONE_NEWNET,
        purpose: "a session has no network except its own loopback device",
        act: || sys::bring_loopback_up().context("bring the loopback device up"),
    },
    NamespaceTrial {
        name: "ipc namespace",
        limit_file: "max_ipc_namespaces",
        flag: libc::CLONE_NEWIPC,
        purpose: "a session shares no IPC objects with other processes",
        act: || Ok(()),
    },
    NamespaceTrial {
        name: "uts namespace",
        limit_file: "max_uts_namespaces",
        flag: libc::CLONE_NEWUTS,
        purpose: "each session has its own host name",
        act: set_host_name,
    },
    NamespaceTrial {
        name: "cgroup namespace",
        limit_file: "max_cgroup_namespaces",
        flag: 0,
        purpose: "each session has its own view of cgroups",
        act: || sys::unshare_cgroup_namespace().context("make a cgroup namespace"),
    },
];

fn namespaces(rootless: bool) -> Vec<Finding> {
    let examine = |NamespaceTrial { name, limit_file, flag, purpose, act }| {
        let Err(error) = try_in_namespaces(rootless, flag, act) else { return Finding::ok(name, purpose) };
        let finding = Finding::new(name, Verdict::Missing, format!("cannot be used: {}", error.source));
        let limit = read_trimmed(&format!("/proc/sys/user/{limit_file}"));
        if is_exhausted(&error) && limit.as_deref() == Some("0") {
            let command = format!("sudo sysctl user.{limit_file}=15000");
            finding.with_remedy("the limit on their number is 0; raise it", &command)
        } else if rootless {
            finding.with_remedy("an ordinary user makes it inside a user namespace; see above", "")
        } else {
            finding.with_remedy(
                "root lacks CAP_SYS_ADMIN here, or a filter refuses the call; in a container",
                "docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined …",
            )
        }
    };
    NAMESPACE_TRIALS.map(examine).into()
}

/// Installs the filter in a new process and checks that a system call, which succeeds before, is
/// then denied.
fn seccomp(host: &Host) -> Finding {
    let tried = try_in_namespaces(false, 0, || {
        rustix::thread::set_no_new_privs(true).context("no_new_privs")?;
        sys::unshare_nothing().context("try a system call")?;
        host.seccomp_profile.install(false).context("install the seccomp filter")?;
        match sys::unshare_nothing() {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::ENOTRECOVERABLE)).context("deny a system call"),
        }
    });
    match tried {
        Ok(()) => Finding::ok("seccomp", "system calls are filtered"),
        Err(error) => {
            let found = format!("system calls cannot be filtered: {}", error.source);
            Finding::new("seccomp", Verdict::Missing, found)
                .with_remedy("a sandbox needs a kernel with CONFIG_SECCOMP_FILTER", "")
        }
    }
}

fn landlock(host: &Host) -> Finding {
    const NAME: &str = "Landlock";
    if host.has_landlock {
        let version = sys::landlock_version().unwrap_or(0);
        return Finding::ok(NAME, format!("files are restricted a second time (version {version})"));
    }
    Finding::new(NAME, Verdict::Degraded, "this kernel has none, so files are restricted by mounts alone")
        .with_remedy(
            "Linux 5.13 or later has it; if it is disabled at boot, add landlock to the list of the kernel parameter lsm=",
            "cat /sys/kernel/security/lsm",
        )
}

fn core_dumps() -> Finding {
    const NAME: &str = "core dumps";
    let pattern = read_trimmed("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if rlimits::core_dumps_reach_handler() {
        let found = "the machine's handler of core dumps is called when a program crashes";
        return Finding::new(NAME, Verdict::Degraded, found).with_remedy(
            "this user's hard limit of core dumps is 0, and with that limit Linux calls the handler; set the limit to 1 and log in again",
            "echo \"$USER hard core 1\" | sudo tee /etc/security/limits.d/livecode.conf",
        );
    }
    let found = match pattern.strip_prefix(['|', '@']) {
        Some(handler) => {
            let handler = handler.split_whitespace().next().unwrap_or_default();
            format!("none is written, and the machine's handler {handler} is not called")
        }
        None => "none is written".to_owned(),
    };
    Finding::ok(NAME, found)
}

fn open_files() -> Finding {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let verdict = if limit >= RECOMMENDED_OPEN_FILES { Verdict::Ok } else { Verdict::Degraded };
    Finding::new("open files", verdict, format!("the server may open {limit}")).with_remedy(
        "with so few, the server soon refuses connections and sessions; in the systemd unit, set LimitNOFILE=65536; in a shell, as root",
        "ulimit -n 65536",
    )
}

/// Reports the resources that the kernel counts for a user as a whole, however many sessions the
/// user has.
fn limits_of_the_user(host: &Host) -> Finding {
    const NAME: &str = "limits of the user";
    if !host.is_rootless {
        return Finding::ok(NAME, "each session has its own, since it has a uid of its own");
    }
    let found = "sessions share the epoll watches, pipe pages and descriptors in flight of the server's user; while a program uses them up, the server answers requests, but opens no stream";
    let verdict = if host.cgroups.unenforced().memory { Verdict::Degraded } else { Verdict::Ok };
    Finding::new(NAME, verdict, found)
        .with_remedy("let only people whom you trust send programs, or run the server as root", "")
}

/// Runs a program in a sandbox and checks the privileges that it reports of itself.
fn sandbox(host: &Host) -> Finding {
    const NAME: &str = "sandbox";
    let start = Instant::now();
    let status = match trial::try_program(host, &["cat", "/proc/self/status"]) {
        Ok(status) => String::from_utf8_lossy(&status).into_owned(),
        Err(error) => return sandbox_failure(NAME, &error),
    };
    let duration_ms = start.elapsed().as_millis();
    let has_value = |name: &str, expected: u64| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| u64::from_str_radix(value.trim(), 16).ok()) == Some(expected)
    };
    // Fields of proc_pid_status(5), their expected values, and what another value means.
    let checks = [
        ("CapEff", 0, "it has capabilities"),
        ("CapPrm", 0, "it may enable capabilities"),
        ("CapBnd", 0, "it may gain capabilities"),
        ("NoNewPrivs", 1, "it may gain privileges by executing a program"),
        ("Seccomp", 2, "its system calls are not filtered"),
    ];
    let failed: Vec<_> =
        checks.into_iter().filter(|(name, expected, _)| !has_value(name, *expected)).collect();
    if failed.is_empty() {
        let found = format!(
            "a program ran in a sandbox, without privileges and with filtered system calls ({duration_ms} ms)"
        );
        return Finding::ok(NAME, found);
    }
    let meanings: Vec<_> = failed.into_iter().map(|(.., meaning)| meaning).collect();
    let found = format!("a program ran in a sandbox, but {}", meanings.join(", "));
    Finding::new(NAME, Verdict::Missing, found)
        .with_remedy("this is a defect of LiveCode; see SECURITY.md for how to report it", "")
}

fn sandbox_failure(name: &'static str, error: &TrialError) -> Finding {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let finding = Finding::new(name, Verdict::Missing, format!("no program can be run: {error}{cause}"));
    match error {
        TrialError::Setup(error) if error.step == "mount /proc" => finding.with_remedy(
            "parts of /proc are hidden here, as in a container, so the kernel permits no new mount of it",
            "docker run --security-opt systempaths=unconfined …",
        ),
        _ => finding.with_remedy(
            "a finding above with another verdict than ok explains it; if there is none, please report it",
            "",
        ),
    }
}
