//! Findings about namespaces, each of which is made and used once.

use rustix::mount::{MountPropagationFlags, mount_change};

use crate::{
    doctor::{
        attempt::{is_filtered, read_trimmed, set_host_name, try_in_namespaces},
        container::Container,
        finding::{Finding, Verdict},
        rights::with_filter_remedies,
    },
    kernel::sys,
    setup_error::{SetupContext as _, SetupError},
};

/// Reports whether an ordinary user, who needs one for each session, can make user namespaces.
pub(super) fn user_namespaces(container: Container, rootless: bool) -> Finding {
    const NAME: &str = "user namespaces";
    if !rootless {
        return Finding::ok(NAME, "not needed by root");
    }
    // A user namespace is useful only if it gives privileges over the namespaces inside it.
    // AppArmor can let it be made without giving any, so the trial uses a privilege. Where a filter
    // is installed, the filter may refuse that use; the finding about system calls tells that.
    let act = if is_filtered() { || Ok(()) } else { set_host_name };
    let Err(error) = try_in_namespaces(true, libc::CLONE_NEWUTS, act) else {
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
    if is_filtered() {
        return with_filter_remedies(finding, container, &["clone", "clone3", "unshare", "sethostname"]);
    }
    finding.with_remedy(
        "the kernel makes none for an ordinary user in a chroot, where a security module refuses them, and where its configuration lacks CONFIG_USER_NS; run the server as root, or in a container whose engine changes the root by pivot_root(2)",
        "podman run --rootfs FOLDER …",
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
    /// The isolation that the namespace gives to a session.
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

/// Reports on each kind of namespace besides user namespaces.
pub(super) fn namespaces(rootless: bool) -> Vec<Finding> {
    let examine = |NamespaceTrial { name, limit_file, flag, purpose, act }| {
        let Err(error) = try_in_namespaces(rootless, flag, act) else { return Finding::ok(name, purpose) };
        let finding = Finding::new(name, Verdict::Missing, format!("cannot be used: {}", error.source));
        let limit = read_trimmed(&format!("/proc/sys/user/{limit_file}"));
        if is_exhausted(&error) && limit.as_deref() == Some("0") {
            let command = format!("sudo sysctl user.{limit_file}=15000");
            finding.with_remedy("the limit on their number is 0; raise it", &command)
        } else {
            finding.with_remedy("this kernel, or a security module, refuses it", "")
        }
    };
    NAMESPACE_TRIALS.map(examine).into()
}
