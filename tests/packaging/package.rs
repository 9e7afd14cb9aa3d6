//! The Debian package, installed, upgraded and purged on a fresh machine with systemd.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use super::{machine::Machine, printed, script};
use crate::{
    common::{binary, eventually, is_root},
    docs::document,
};

/// Makes a package of the binary under test.
pub fn package(version: &str, folder: &Path) -> PathBuf {
    let (binary, folder) = (binary(), folder.to_str().expect("a path in UTF-8"));
    let binary = binary.to_str().expect("a path in UTF-8");
    script("deb", &["--fast", "--binary", binary, "--version", version, "--output", folder])
}

/// Checks a package against Debian's rules.
fn check_by_lintian(package: &Path) {
    let checked = Command::new("lintian").args(["--fail-on", "error", "--allow-root"]).arg(package).output();
    printed(checked.expect("lintian is installed"));
}

/// All files of the machine, except for what apt and the journal write about each installation.
fn files(machine: &Machine) -> Vec<String> {
    let listed = machine.run(
        "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /packages \
         -o -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path '/var/lib/dpkg/*-old' \
         -o -path /var/lib/systemd/timers -o -path /var/lib/systemd/random-seed \\) -prune -o -print",
    );
    let mut files: Vec<_> = listed.lines().map(str::to_owned).collect();
    files.sort();
    files
}

/// Lists LiveCode's cgroups. The controllers of cgroup v1 are the host's: they show its cgroups, and
/// the machine cannot make any there.
const OWN_CGROUPS: &str = "cd /sys/fs/cgroup
if [ -d systemd ]; then set -- systemd unified; else set -- .; fi
find \"$@\" -name '*livecode*' 2>/dev/null || true";

/// Copies a package into the machine, and installs or upgrades it by the command in the document.
fn install(machine: &Machine, package: &Path) {
    machine.run("rm -f /packages/*.deb");
    machine.copy(package, "/packages");
    machine.run(&format!("cd /packages; {}", documented_commands()[0]));
}

/// The commands of an installation in the document for operators.
fn documented_commands() -> Vec<String> {
    let text = document("docs/operating.md");
    let section = text.split("## The Debian package").nth(1).expect("the section exists");
    let block = section.split("```").nth(1).and_then(|block| block.strip_prefix("text\n"));
    let commands: Vec<_> = block.expect("a block of commands").lines().map(str::to_owned).collect();
    assert!(commands.len() == 3 && commands[0].starts_with("apt install "), "{commands:?}");
    commands
}

/// The pid of the server.
fn server_pid(machine: &Machine) -> String {
    machine.run("systemctl is-active livecode >/dev/null; systemctl show --value -p MainPID livecode")
}

/// Runs what the document says after an installation: the state of the service, and a program.
fn try_service(machine: &Machine) {
    machine.write("/packages/hello.py", "import os\nprint('hello', os.getcwd())\n");
    let commands = documented_commands();
    assert!(machine.run(&commands[1]).contains("active (running)"));
    assert!(machine.run(&format!("cd /packages; {}", commands[2])).starts_with("hello /"));
}

/// A program that counts until it is told to stop, and the client that shows its output.
struct Counter {
    client: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Counter {
    const PROGRAM: &str = "\
import sys, threading, time
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
n = 0
while not stop.is_set():
    print(n, flush=True)
    n += 1
    time.sleep(0.01)
print('stopped')
";

    /// Starts the program, and waits for its first line.
    fn start(machine: &Machine) -> Self {
        let mut client = machine.command(&["livecode", "run", "/packages/counter.py"]);
        let client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = client.spawn().expect("nsenter is installed");
        let input = client.stdin.take().expect("the stream is piped");
        let mut output = BufReader::new(client.stdout.take().expect("the stream is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("valid UTF-8");
        assert_eq!(line, "0\n");
        Self { client, input, output }
    }

    /// Stops the program, and checks that it wrote every number once. Returns their count.
    fn stop(mut self) -> usize {
        self.input.write_all(b"stop\n").expect("the client reads its input");
        let mut text = String::new();
        self.output.read_to_string(&mut text).expect("valid UTF-8");
        let output = self.client.wait_with_output().expect("the child has not been reaped");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{errors}");
        let lines: Vec<_> = text.lines().collect();
        let (last, numbers) = lines.split_last().expect("there is output");
        assert_eq!(*last, "stopped");
        for (index, number) in numbers.iter().enumerate() {
            assert_eq!(*number, (index + 1).to_string(), "{errors}");
        }
        numbers.len() + 1
    }
}

/// The number of sessions that run.
fn running(machine: &Machine) -> usize {
    let listed = machine.run("livecode ls --json");
    listed.matches("\"running\"").count()
}

#[test]
fn a_package_is_installed_upgraded_and_purged() {
    if !is_root() {
        return; // only root boots a machine
    }
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let (first, second) = (package("0.2.0-1", folder.path()), package("0.2.0-2", folder.path()));
    check_by_lintian(&first);
    let machine = Machine::boot(&["python3", "systemd-sysv"]);
    machine.run("mkdir /packages");
    let before = files(&machine);

    install(&machine, &first);
    let old_server = server_pid(&machine);
    try_service(&machine);
    // An operator's settings survive the upgrade.
    machine.run(
        "sed -i 's/^#sessions_queued_max = .*/sessions_queued_max = 1_000/' /etc/livecode/livecode.toml",
    );

    machine.write("/packages/counter.py", Counter::PROGRAM);
    let counters: Vec<_> = (0..20).map(|_| Counter::start(&machine)).collect();
    assert_eq!(running(&machine), 20);
    install(&machine, &second);
    let new_server = server_pid(&machine);
    assert_ne!(old_server, new_server, "the upgrade restarts the server");
    assert_eq!(machine.run("dpkg-query -W -f '${Version}' livecode"), "0.2.0-2");
    assert_eq!(machine.run("grep -c '^sessions_queued_max = 1_000' /etc/livecode/livecode.toml").trim(), "1");
    try_service(&machine);
    assert_eq!(running(&machine), 20);
    for counter in counters {
        assert!(counter.stop() > 1);
    }
    assert_eq!(running(&machine), 0);

    // A purge ends what still runs.
    machine.write("/packages/endless.py", "import time\nprint('begun', flush=True)\ntime.sleep(3600)\n");
    machine.run("livecode run --detach /packages/endless.py");
    eventually("the program runs", || (running(&machine) == 1).then_some(()));
    let purged = machine.run("apt-get purge --yes livecode 2>&1");
    assert!(!purged.contains("livecode:"), "{purged}");
    let left = machine.run("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '");
    assert!(!left.contains("livecode") && !left.contains("endless"), "{left}");
    assert_eq!(machine.run(OWN_CGROUPS), "");
    assert_eq!(machine.run("systemctl list-unit-files --no-legend 'livecode*' || true"), "");
    assert_eq!(machine.run("find /run -name '*livecode*'"), "");
    let after = files(&machine);
    let added: Vec<_> = after.iter().filter(|file| !before.contains(file)).collect();
    let removed: Vec<_> = before.iter().filter(|file| !after.contains(file)).collect();
    assert!(added.is_empty() && removed.is_empty(), "added: {added:?}, removed: {removed:?}");
}
