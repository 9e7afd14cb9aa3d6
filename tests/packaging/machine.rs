//! A fresh Debian that systemd boots in a container (systemd-nspawn), without a network.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{printed, script};
use crate::common::eventually;

/// The cgroup hierarchies that systemd uses, on a machine with cgroup v1 and on one without.
const HIERARCHIES: [&str; 3] = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

/// Mounts an overlay as the machine's root in a mount namespace of its own, so that nothing is left
/// of it, and boots it. Its arguments are the lower folder, the folder for the rest, and the
/// cgroups that systemd is to use.
const BOOT: &str = r#"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
folder=$2
shift 2
for group; do echo $$ > "$group/cgroup.procs"; done
exec systemd-nspawn --quiet --register=no --keep-unit --boot --private-network --console=pipe \
    --directory="$folder/root"
"#;

/// A machine, which is removed when it is dropped.
pub struct Machine {
    container: Child,
    /// Process 1 of the machine.
    init: u32,
    cgroups: Vec<PathBuf>,
    folder: tempfile::TempDir,
}

impl Machine {
    /// Boots a machine that has these packages beside the minimum.
    pub fn boot(packages: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let lower = script("debian-root", packages);
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        for name in ["upper", "work", "root"] {
            fs::create_dir(folder.path().join(name)).expect("a folder is created");
        }
        let name = format!("livecode-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut hierarchies: Vec<_> =
            HIERARCHIES.iter().filter(|path| Path::new(path).join("cgroup.procs").exists()).collect();
        if hierarchies.len() > 1 {
            hierarchies.retain(|path| **path != "/sys/fs/cgroup");
        }
        let cgroups: Vec<_> = hierarchies.iter().map(|path| Path::new(path).join(&name)).collect();
        for group in &cgroups {
            fs::create_dir(group).unwrap_or_else(|error| panic!("{}: {error}", group.display()));
        }
        let log = fs::File::create(folder.path().join("log")).expect("a file is created");
        let container = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-ec", BOOT, "sh"])
            .arg(&lower)
            .arg(folder.path())
            .args(&cgroups)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor is free"))
            .stderr(log)
            .spawn()
            .expect("unshare is installed");
        let mut machine = Self { container, init: 0, cgroups, folder };
        machine.init = eventually("the machine boots", || machine.find_booted());
        machine
    }

    /// The pid of process 1 once systemd has started everything.
    fn find_booted(&mut self) -> Option<u32> {
        if let Some(status) = self.container.try_wait().expect("the child has not been reaped") {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            panic!("systemd-nspawn: {status}\n{log}");
        }
        let pid = self.container.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        self.init = children.split_whitespace().next()?.parse().ok()?;
        let state = self.command(&["systemctl", "is-system-running"]).output().expect("nsenter is installed");
        matches!(String::from_utf8_lossy(&state.stdout).trim(), "running" | "degraded").then_some(self.init)
    }

    /// A command that runs in the machine.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string()]);
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--"]);
        command.args(["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
        command.args(["HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]).args(words);
        command
    }

    /// The output of a shell script in the machine. Panics if the script fails.
    pub fn run(&self, script: &str) -> String {
        let output = self.command(&["sh", "-ec", script]).stdin(Stdio::null()).output();
        let output = output.expect("nsenter is installed");
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        printed(output)
    }

    /// Copies a file into a folder of the machine, under its name.
    pub fn copy(&self, file: &Path, folder: &str) {
        let name = file.file_name().expect("a file has a name");
        let target = Path::new(&format!("/proc/{}/root", self.init)).join(&folder[1..]).join(name);
        fs::copy(file, &target).unwrap_or_else(|error| panic!("{}: {error}", target.display()));
    }

    /// Writes a file of the machine.
    pub fn write(&self, path: &str, text: &str) {
        fs::write(format!("/proc/{}/root{path}", self.init), text).expect("the file can be written");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Everything in the machine dies with its process 1.
        if self.init > 0 {
            let _ = Command::new("kill").args(["-KILL", &self.init.to_string()]).status();
        } else {
            let _ = self.container.kill();
        }
        let _ = self.container.wait();
        for group in &self.cgroups {
            // The deepest groups are removed first; one is busy until its last process is reaped.
            let remove = || {
                let mut find = Command::new("find");
                find.arg(group).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
                let _ = find.stderr(Stdio::null()).status();
                (!group.exists()).then_some(())
            };
            if remove().is_none() && !std::thread::panicking() {
                eventually("the machine's cgroups are removed", remove);
            }
        }
    }
}
