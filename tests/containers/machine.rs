//! Containers for the tests: a root folder made by debootstrap, and a shell in which podman and
//! systemd-nspawn run.
//!
//! The shell has mounts, processes and a network of its own, so that nothing of them is left when it
//! ends, and the machine's storage of containers is not touched.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::Value;

use crate::{
    common::{binary, eventually},
    packaging::script,
};

/// The uid of the ordinary user who runs containers.
const USER: u32 = 4242;

/// Commands that set up the shell. Its arguments are the folder of the test, the root folder,
/// the name of the test's groups, and the command to run.
const SET_UP: &str = r#"
set -e
folder=$1 tree=$2 group=$3
shift 3
# Whatever is left of a server's groups is then below this one.
for tasks in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
    hierarchy=${tasks%/*}
    [ ! -e "$tasks" ] || { mkdir -p "$hierarchy/$group" && echo $$ > "$hierarchy/$group/cgroup.procs" || true; } 2>/dev/null
done
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$folder/upper,workdir=$folder/work" "$folder/machine"
# podman mounts files of its own here, and makes what is missing where it may.
for name in run/.containerenv etc/hosts etc/hostname etc/resolv.conf; do touch "$folder/machine/root/$name"; done
ln -sf /proc/mounts "$folder/machine/root/etc/mtab"
for name in passwd group subuid subgid; do mount --bind "$folder/etc/$name" "/etc/$name"; done
mount -t tmpfs -o mode=755 none /run
mkdir -p /var/lib/cni
mount -t tmpfs none /var/lib/cni # where podman notes addresses
ip link set lo up
mkdir -p /run/user/4242
chown 4242:4242 /run/user/4242
exec "$@"
"#;

/// Stands in front of podman and adds what this machine asks for, which has neither systemd nor a
/// registry: a storage of the test's own, groups without systemd, and limits that root may set. Groups
/// without controllers have no limit of processes.
const PODMAN: &str = r#"#!/bin/sh
if [ "$1" = run ]; then
    shift
    [ "$(id -u)" -ne 0 ] || set -- --cgroup-parent GROUP "$@"
    # A container that is left running publishes a port.
    case " $* " in *" --detach "*) ;; *) set -- --rm --network none "$@" ;; esac
    set -- run --pids-limit -1 --ulimit nofile=4096:4096 --ulimit nproc=1000:1000 "$@"
fi
# An overlay cannot lie on an overlay.
driver=overlay
[ "$(stat --file-system --format %T "$HOME")" != overlayfs ] || driver=vfs
exec /usr/bin/podman --root "$HOME/storage" --runroot "$HOME/run" --tmpdir "$HOME/tmp" \
    --storage-driver $driver --cgroup-manager cgroupfs --events-backend none --runtime runc "$@"
"#;

/// Stands in front of systemd-nspawn, and leaves out what only systemd could do.
const NSPAWN: &str = r#"#!/bin/sh
exec /usr/bin/systemd-nspawn --quiet --pipe --register=no --keep-unit "$@"
"#;

/// In the shell, `sh -c "$SESSION"` starts a server, runs a program on it and one that must be
/// killed, and stops it. The exit status is that of the first program, or of the server if it does
/// not start, or 3 if the second program is not killed.
const SESSION: &str = r#"
HOME=$(mktemp -d)
export HOME
mkfifo "$HOME/log"
livecode serve --listen 127.0.0.1:0 --data-dir "$HOME/data" > "$HOME/log" &
read -r line < "$HOME/log" || { wait $!; exit; }
export LIVECODE_SERVER="${line##* }"
echo 'print(6 * 7)' > "$HOME/answer.py"
livecode run "$HOME/answer.py"
status=$?
echo 'while True: pass' > "$HOME/loop.py"
livecode run --cpu-ms 100 "$HOME/loop.py"
[ $? = 152 ] || status=3
kill $!
wait $!
rm -r "$HOME"
exit $status
"#;

/// Numbers the tests' groups.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A place in which containers of one test are run.
pub struct Machine {
    folder: tempfile::TempDir,
    group: String,
}

/// As whom a command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Root,
    User,
}

impl Machine {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let group = format!("livecode-containers-{}-{number}", std::process::id());
        let machine = Self { folder, group };
        fs::set_permissions(machine.folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        for name in ["machine", "upper", "work", "etc", "bin", "home", "home-of-root"] {
            fs::create_dir(machine.path(name)).expect("the folder can be created");
        }
        chown(machine.path("home"), Some(USER), Some(USER)).expect("root may change the owner");
        for (name, line) in [
            ("passwd", format!("captain:x:{USER}:{USER}::{}:/bin/sh\n", machine.path("home").display())),
            ("group", format!("captain:x:{USER}:\n")),
            ("subuid", "captain:200000:65536\n".to_owned()),
            ("subgid", "captain:200000:65536\n".to_owned()),
        ] {
            let existing = fs::read_to_string(Path::new("/etc").join(name)).unwrap_or_default();
            fs::write(machine.path("etc").join(name), existing + &line).expect("the file can be written");
        }
        let bin = machine.path("upper/root/usr/bin");
        fs::create_dir_all(&bin).expect("the folder can be created");
        for target in [bin, machine.path("bin")].map(|folder| folder.join("livecode")) {
            // A link costs less than a copy, where both are on one disk.
            fs::hard_link(binary(), &target)
                .or_else(|_| fs::copy(binary(), &target).map(drop))
                .expect("the binary can be copied");
        }
        let podman = PODMAN.replace("GROUP", &format!("/{}", machine.group));
        for (name, script) in [("podman", &*podman), ("systemd-nspawn", NSPAWN)] {
            let path = machine.path("bin").join(name);
            fs::write(&path, script).expect("the file can be written");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        machine
    }

    /// The name of the groups of the test.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The path of a file or folder of the test's own, such as `home`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command of the shell. `$ROOT` is the root folder, with `livecode` in it. It is a plain
    /// folder, and no mount point.
    pub fn run(&self, caller: Caller, command: &str) -> Output {
        // A server that starts where it must not would run for ever.
        let mut shell = Command::new("timeout");
        shell.args(["--kill-after", "5", "120", "unshare"]);
        shell.args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--net",
        ]);
        shell.args(["sh", "-c", SET_UP, "sh"]).arg(self.folder.path()).arg(tree()).arg(&self.group);
        let home = match caller {
            Caller::Root => "home-of-root",
            Caller::User => {
                let id = USER.to_string();
                shell.args(["setpriv", "--reuid", &id, "--regid", &id, "--init-groups"]);
                "home"
            }
        };
        shell.args(["sh", "-c", command]).env_clear();
        shell.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.path("bin").display()));
        shell.env("ROOT", self.path("machine/root")).env("HOME", self.path(home));
        shell.env("XDG_RUNTIME_DIR", format!("/run/user/{USER}")).env("SESSION", SESSION);
        shell.stdin(Stdio::null()).current_dir("/");
        shell.output().expect("the shell starts")
    }

    /// Runs a command that calls `livecode doctor --json` in a container.
    pub fn report(&self, caller: Caller, command: &str) -> Report {
        let output = self.run(caller, command);
        let document = serde_json::from_slice(&output.stdout);
        let document = document.unwrap_or_else(|error| panic!("{command}: {error}\n{}", printed(&output)));
        Report { document, code: output.status.code() }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let root = Path::new("/sys/fs/cgroup");
        let below = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        for hierarchy in below.chain([root.to_owned()]) {
            let group = hierarchy.join(&self.group);
            // A group is busy for a moment after its last process has died.
            let remove = || {
                remove_groups(&group);
                (!group.exists()).then_some(())
            };
            if remove().is_none() && !std::thread::panicking() {
                eventually("the groups of the test are removed", remove);
            }
        }
    }
}

/// Removes a group and those below it, in which no process is left.
fn remove_groups(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

/// All that a command has printed.
pub fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The findings of `livecode doctor`.
#[derive(Debug)]
pub struct Report {
    pub document: Value,
    pub code: Option<i32>,
}

impl Report {
    /// The findings that are not in order: name and verdict.
    pub fn not_ok(&self) -> Vec<(&str, &str)> {
        let findings = self.document["findings"].as_array().expect("a list").iter();
        let named = findings.map(|finding| {
            (finding["name"].as_str().expect("a name"), finding["verdict"].as_str().expect("a verdict"))
        });
        named.filter(|(_, verdict)| *verdict != "ok").collect()
    }

    /// The first command that the doctor names for each finding, without repetitions.
    pub fn commands(&self) -> Vec<&str> {
        let findings = self.document["findings"].as_array().expect("a list").iter();
        let mut commands: Vec<_> =
            findings.filter_map(|finding| finding["remedies"][0]["command"].as_str()).collect();
        commands.dedup();
        commands
    }

    /// The flags in those of the commands that call `program`.
    pub fn flags(&self, program: &str) -> String {
        let flags = self.commands().into_iter().filter_map(|command| {
            let flags = command.strip_prefix(program)?.strip_suffix('…')?;
            Some(flags.trim().to_owned())
        });
        flags.collect::<Vec<_>>().join(" ")
    }
}

/// A folder with the root folder that all containers begin with, and nothing else in it.
fn tree() -> PathBuf {
    let root = script("debian-root", &["python3"]);
    root.parent().expect("the root has a folder of its own").to_owned()
}
