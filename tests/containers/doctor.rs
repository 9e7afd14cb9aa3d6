//! `livecode doctor` in five set-ups.

use super::machine::{Caller, Machine, printed};
use crate::common::is_root;

/// The limits that rest on cgroups.
const LIMITS: [(&str, &str); 4] = [
    ("memory", "degraded"),
    ("processes", "degraded"),
    ("processor share", "degraded"),
    ("processor time", "degraded"),
];

/// `first`, then the limits that rest on cgroups.
fn and_limits(first: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [first, &LIMITS].concat()
}

/// Checks that a server in the container starts and runs a program.
fn check_session(machine: &Machine, caller: Caller, container: &str) {
    let output = machine.run(caller, &format!("{container} sh -c \"$SESSION\""));
    assert!(output.status.success(), "{container}: {}", printed(&output));
    assert!(printed(&output).contains("42\n"), "{container}: {}", printed(&output));
}

/// Checks that a server in the container refuses to start, and says what the doctor says.
fn check_refusal(machine: &Machine, caller: Caller, container: &str, expected: &[&str]) {
    let output =
        machine.run(caller, &format!("{container} livecode serve --listen 127.0.0.1:0 --data-dir /tmp/data"));
    assert_eq!(output.status.code(), Some(1), "{container}: {}", printed(&output));
    for text in expected {
        assert!(printed(&output).contains(text), "{container}: no {text:?} in {}", printed(&output));
    }
}

#[test]
fn podman_as_root() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let plain = "podman run --rootfs $ROOT";
    let report = machine.report(Caller::Root, &format!("{plain} livecode doctor --json"));
    assert_eq!(report.not_ok(), and_limits(&[("capabilities", "missing")]), "{report:?}");
    assert_eq!(report.code, Some(2), "{report:?}");
    let flags = report.flags("podman run");
    assert!(flags.starts_with("--cap-add SYS_ADMIN --cap-add NET_ADMIN "), "{flags}");
    check_refusal(&machine, Caller::Root, plain, &["CAP_SYS_ADMIN", "podman run --cap-add SYS_ADMIN"]);

    let container = format!("podman run {flags} --rootfs $ROOT");
    let report = machine.report(Caller::Root, &format!("{container} livecode doctor --json"));
    assert_eq!(report.not_ok(), [], "{report:?}");
    check_session(&machine, Caller::Root, &container);

    // Without this capability a program can be run, but not be ended.
    let container = format!("podman run {flags} --cap-drop KILL --rootfs $ROOT");
    let report = machine.report(Caller::Root, &format!("{container} livecode doctor --json"));
    assert_eq!(report.not_ok(), [("capabilities", "missing")], "{report:?}");
    assert_eq!(report.commands(), ["podman run --cap-add KILL …"], "{report:?}");
    check_refusal(&machine, Caller::Root, &container, &["root lacks CAP_KILL; give them to the container"]);

    // An ordinary user inside needs other flags, and is told how to be root.
    let report = machine.report(Caller::Root, "podman run --user 1000 --rootfs $ROOT livecode doctor --json");
    assert_eq!(report.not_ok()[..2], [("system calls", "missing"), ("new /proc", "missing")], "{report:?}");
    let expected = ["--cap-add SYS_ADMIN", "--security-opt 'unmask=/proc/*'", "--user root"];
    assert_eq!(report.commands(), expected.map(|flag| format!("podman run {flag} …")), "{report:?}");
}

#[test]
fn podman_rootless() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let plain = "podman run --rootfs $ROOT";
    let without_root = [LIMITS.as_slice(), &[("limits of the user", "degraded")]].concat();
    let report = machine.report(Caller::User, &format!("{plain} livecode doctor --json"));
    let expected = [&[("system calls", "missing"), ("new /proc", "missing")], &*without_root].concat();
    assert_eq!(report.not_ok(), expected, "{report:?}");
    assert_eq!(report.code, Some(2), "{report:?}");
    let flags = report.flags("podman run");
    assert_eq!(flags, "--cap-add SYS_ADMIN --security-opt 'unmask=/proc/*'", "{report:?}");
    check_refusal(&machine, Caller::User, plain, &["sethostname", "--cap-add SYS_ADMIN", "unmask=/proc/*"]);

    // What is left has no flag, but another caller.
    let container = format!("podman run {flags} --rootfs $ROOT");
    let report = machine.report(Caller::User, &format!("{container} livecode doctor --json"));
    assert_eq!(report.not_ok(), without_root, "{report:?}");
    assert_eq!(report.commands(), ["sudo podman run …"], "{report:?}");
    check_session(&machine, Caller::User, &container);
}

#[test]
fn systemd_nspawn() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let plain = "systemd-nspawn -D $ROOT";
    let report = machine.report(Caller::Root, &format!("{plain} livecode doctor --json"));
    let expected = and_limits(&[("capabilities", "missing"), ("Landlock", "degraded")]);
    assert_eq!(report.not_ok(), expected, "{report:?}");
    check_refusal(&machine, Caller::Root, plain, &["CAP_NET_ADMIN", "--capability=CAP_NET_ADMIN"]);

    let container = format!("systemd-nspawn {} -D $ROOT", report.flags("systemd-nspawn"));
    let report = machine.report(Caller::Root, &format!("{container} livecode doctor --json"));
    assert_eq!(report.not_ok(), [], "{report:?}");
    check_session(&machine, Caller::Root, &container);

    // A network of the container's own gives the capability, too.
    let private = "systemd-nspawn --private-network -D $ROOT livecode doctor --json";
    let report = machine.report(Caller::Root, private);
    assert_eq!(report.not_ok(), and_limits(&[("Landlock", "degraded")]), "{report:?}");
}

#[test]
fn unshare_with_chroot() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let plain = "unshare --mount --pid --fork --root=$ROOT --mount-proc";
    let report = machine.report(Caller::Root, &format!("{plain} livecode doctor --json"));
    let expected = and_limits(&[("root folder", "missing"), ("cgroups", "degraded")]);
    assert_eq!(report.not_ok(), expected, "{report:?}");
    assert_eq!(report.code, Some(2), "{report:?}");
    check_refusal(&machine, Caller::Root, plain, &["/ is no mount point", "mount --rbind FOLDER FOLDER"]);

    let [root, cgroups] = report.commands()[..] else { panic!("{report:?}") };
    let commands = format!("mount -t sysfs none $ROOT/sys && {cgroups} && {root}");
    let commands = commands.replace("FOLDER", "$ROOT");
    let container = |command: &str| {
        let inner = commands.replace('…', command);
        format!("export ROOT; unshare --mount --pid --fork sh -c '{inner}'")
    };
    let report = machine.report(Caller::Root, &container("livecode doctor --json"));
    assert_eq!(report.not_ok(), [], "{report:?}");
    let session = machine.run(Caller::Root, &container("sh -c \"$SESSION\""));
    assert!(session.status.success() && printed(&session).contains("42\n"), "{}", printed(&session));

    // A mount of the folder alone leaves only the limits to be named.
    let bound = root.replace("FOLDER", "$ROOT").replace('…', "livecode doctor --json");
    let report = machine.report(Caller::Root, &format!("unshare --mount --pid --fork sh -c '{bound}'"));
    assert_eq!(report.not_ok(), and_limits(&[("cgroups", "degraded")]), "{report:?}");
    assert_eq!(report.code, Some(1), "{report:?}");
}

#[test]
fn a_chroot_without_proc() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let plain = "chroot $ROOT";
    let report = machine.report(Caller::Root, &format!("{plain} livecode doctor --json"));
    let missing = [("/proc", "missing"), ("root folder", "missing")];
    assert_eq!(report.not_ok(), missing, "{report:?}");
    assert_eq!(report.code, Some(2), "{report:?}");
    check_refusal(&machine, Caller::Root, plain, &["/proc: nothing is mounted there", "/ is no mount point"]);

    // In a root folder that is a mount point, /proc alone is named.
    let bound = "mount --bind $ROOT $ROOT && chroot $ROOT";
    let report = machine.report(Caller::Root, &format!("{bound} livecode doctor --json"));
    assert_eq!(report.not_ok(), missing[..1], "{report:?}");
    assert_eq!(report.commands(), ["mount -t proc proc /proc"], "{report:?}");
    check_refusal(&machine, Caller::Root, bound, &["/proc: nothing is mounted there; mount it"]);
    let mounted =
        "mount --bind $ROOT $ROOT && chroot $ROOT sh -c 'mount -t proc proc /proc && livecode doctor --json'";
    let report = machine.report(Caller::Root, mounted);
    assert_eq!(report.not_ok(), and_limits(&[("cgroups", "degraded")]), "{report:?}");

    // Without devices, those are named.
    let bare = "mount --bind $ROOT $ROOT && mount -t tmpfs none $ROOT/dev && mount -t proc proc $ROOT/proc && chroot $ROOT livecode doctor --json";
    let report = machine.report(Caller::Root, bare);
    assert_eq!(report.not_ok(), and_limits(&[("devices", "missing"), ("cgroups", "degraded")]), "{report:?}");
    assert_eq!(report.commands()[0], "mount --rbind /dev FOLDER/dev", "{report:?}");

    // So is a /proc that shows the processes of another pid namespace.
    let other = "mount --bind $ROOT $ROOT && mount --rbind /proc $ROOT/proc && unshare --pid --fork chroot $ROOT livecode doctor --json";
    let report = machine.report(Caller::Root, other);
    assert_eq!(report.not_ok(), missing[..1], "{report:?}");
}
