//! Examines what this machine can enforce, and suggests remedies if it cannot.
//!
//! Whatever can be tried is tried, instead of being concluded from a version or a configuration:
//! namespaces are made, the filters are installed, and a program is run in a sandbox.
//! Configuration only explains a failure.

mod attempt;
mod cgroups;
mod container;
mod finding;
mod namespaces;
mod place;
mod rights;
mod sockets;

use std::{io, path::PathBuf, time::Instant};

use rustix::process::{Resource, getrlimit};

pub use finding::{Finding, Remedy, Verdict};

use container::Container;

use crate::{
    host::Host,
    kernel::{rlimits, sys},
    setup_error::SetupContext as _,
    trial::{self, TrialError},
};

/// Open files that a server with a few thousand connections and sessions needs.
const RECOMMENDED_OPEN_FILES: u64 = 4096;
/// The first kernel with everything that a sandbox needs; mount_setattr(2) was added last.
const OLDEST_KERNEL: (u32, u32) = (5, 12);
/// The first kernel with Landlock.
const LANDLOCK_KERNEL: (u32, u32) = (5, 13);
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
    let proc = place::proc();
    if proc.verdict == Verdict::Missing {
        // Every other finding would only be a consequence.
        let findings = [vec![kernel()], unfit_place()].concat();
        return DoctorReport { findings, can_run: false, degraded: vec![] };
    }
    let mut host = Host::new(staging, u64::from(std::process::id()) | PROBE_NAME);
    let rootless = host.is_rootless;
    let container = Container::find();
    let mut findings = vec![kernel(), proc, user(rootless)];
    findings.extend(needs(container, rootless));
    let is_impossible = findings.iter().any(|finding| finding.verdict == Verdict::Missing);
    if !is_impossible {
        findings.extend(namespaces::namespaces(rootless));
    }
    findings.push(seccomp(&host));
    findings.push(landlock(&host, container));
    findings.extend(cgroups::findings(&host.cgroups, container, rootless));
    findings.push(core_dumps());
    findings.push(open_files());
    toolchains.push("/usr".into());
    findings.push(sockets::finding(&toolchains));
    findings.push(limits_of_the_user(&host, container));
    // A sandbox that cannot be made would only fail at the first thing that is missing.
    let sandbox = (!is_impossible).then(|| sandbox(&host));
    let can_run = sandbox.as_ref().is_some_and(|sandbox| sandbox.verdict != Verdict::Missing);
    findings.extend(sandbox);
    let degraded = host.unenforced();
    host.dissolve();
    DoctorReport { findings, can_run, degraded }
}

/// Finds out what keeps a server from starting here, without a privilege and without a new
/// process: a /proc or a root folder that is missing.
pub fn unfit_place() -> Vec<Finding> {
    let is_root = rustix::process::geteuid().is_root();
    let mut findings = vec![place::proc(), place::root_folder(!is_root)];
    findings.retain(|finding| finding.verdict == Verdict::Missing);
    findings
}

/// Finds out whether root lacks a capability on `host`. Without some of them a sandbox can be made,
/// but not ended.
pub fn missing_capabilities(host: &Host) -> Option<Finding> {
    let finding = (!host.is_rootless).then(|| rights::capabilities_of_root(Container::find()));
    finding.filter(|finding| finding.verdict == Verdict::Missing)
}

/// Finds out why no sandbox can be made on `host`: everything that is missing. This process must
/// have a single thread. The list is empty if the reason is not known.
pub fn obstacles(host: &Host) -> Vec<Finding> {
    let mut findings = needs(Container::find(), host.is_rootless);
    findings.retain(|finding| finding.verdict == Verdict::Missing);
    findings
}

/// Examines what every sandbox needs, the cause before its consequences, which are left out.
fn needs(container: Container, rootless: bool) -> Vec<Finding> {
    let is_missing = |finding: &Finding| finding.verdict == Verdict::Missing;
    let root_folder = place::root_folder(rootless);
    let (has_root, mut findings) = (!is_missing(&root_folder), vec![root_folder]);
    if rootless {
        if has_root {
            findings.push(namespaces::user_namespaces(container, true));
        }
    } else {
        findings.push(rights::capabilities_of_root(container));
        findings.push(namespaces::user_namespaces(container, false));
    }
    let is_privileged = !findings[1..].iter().any(is_missing);
    if is_privileged && (has_root || !rootless) {
        findings.push(rights::system_calls(container, rootless));
    }
    if is_privileged && has_root {
        let can_mount = !findings.iter().any(is_missing);
        findings.extend(rights::new_proc(container, rootless, can_mount));
    }
    findings.push(rights::devices(container));
    findings
}

/// The first two numbers of the kernel's version.
fn kernel_version() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn kernel() -> Finding {
    let verdict = if kernel_version() >= OLDEST_KERNEL { Verdict::Ok } else { Verdict::Missing };
    let (major, minor) = OLDEST_KERNEL;
    let found = format!("Linux {}", rustix::system::uname().release().to_string_lossy());
    Finding::new("kernel", verdict, found)
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

/// Installs the filter in a new process and checks that a system call, which succeeds before, is
/// then denied.
fn seccomp(host: &Host) -> Finding {
    let tried = attempt::try_in_namespaces(false, 0, || {
        rustix::thread::set_no_new_privs(true).context("no_new_privs")?;
        sys::unshare_nothing().context("try a system call")?;
        host.seccomp_profile.install(false, false).context("install the seccomp filter")?;
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

fn landlock(host: &Host, container: Container) -> Finding {
    const NAME: &str = "Landlock";
    const CALLS: [&str; 3] = ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"];
    if host.has_landlock {
        let version = sys::landlock_version().unwrap_or(0);
        return Finding::ok(NAME, format!("files are restricted a second time (version {version})"));
    }
    let degraded = |found| Finding::new(NAME, Verdict::Degraded, found);
    // A kernel that has Landlock disabled says so, which no filter does.
    let errno = sys::landlock_version().err().and_then(|error| error.raw_os_error());
    if attempt::is_filtered() && kernel_version() >= LANDLOCK_KERNEL && errno != Some(libc::EOPNOTSUPP) {
        let finding = degraded(
            "a filter of system calls keeps it from being used, so files are restricted by mounts alone",
        );
        let command = container.with_system_calls(&CALLS);
        return finding.with_remedy("let the filter permit its calls", &command);
    }
    degraded("this kernel has none, so files are restricted by mounts alone").with_remedy(
        "Linux 5.13 or later has it; if it is disabled at boot, add landlock to the list of the kernel parameter lsm=",
        "cat /sys/kernel/security/lsm",
    )
}

fn core_dumps() -> Finding {
    const NAME: &str = "core dumps";
    let pattern = attempt::read_trimmed("/proc/sys/kernel/core_pattern").unwrap_or_default();
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
fn limits_of_the_user(host: &Host, container: Container) -> Finding {
    const NAME: &str = "limits of the user";
    if !host.is_rootless {
        return Finding::ok(NAME, "each session has its own, since it has a uid of its own");
    }
    let found = "sessions share the epoll watches, pipe pages and descriptors in flight of the server's user; while a program uses them up, the server answers requests, but opens no stream";
    let verdict = if host.cgroups.unenforced().memory { Verdict::Degraded } else { Verdict::Ok };
    let finding = Finding::new(NAME, verdict, found);
    if rustix::process::geteuid().is_root() {
        // This root has a user namespace with few uids, which every kind of container can have.
        return finding.with_remedy(
            "let only people whom you trust send programs, or have root of the machine run the container, without a user namespace",
            &container.as_root(),
        );
    }
    let what = "let only people whom you trust send programs, or run the server as root";
    finding.with_remedy(what, &container.as_inner_root())
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
    Finding::new(name, Verdict::Missing, format!("no program can be run: {error}{cause}")).with_remedy(
        "a finding above with another verdict than ok explains it; if there is none, please report it",
        "",
    )
}
