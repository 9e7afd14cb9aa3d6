//! Warm sandboxes of other layouts than the usual one: other sizes, and other folders.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::json;

use crate::common::{Run, Server, cgroups::groups, eventually, is_root};
use crate::strangers::rootless::ordinary_server;
use crate::warm::{starts, warm};

/// Prints whether the program has the room that its limits say, and why it has no more.
const FILL: &str = r#"
import os, resource, sys
limit = int(sys.argv[1])
room = os.statvfs('/code')
print(limit <= room.f_blocks * room.f_frsize < limit + (1 << 20))
print(resource.getrlimit(resource.RLIMIT_FSIZE) == (limit, limit))
try:
    for path in '/code/a', '/tmp/b', '/dev/shm/c':
        with open(path, 'wb') as file:
            os.posix_fallocate(file.fileno(), 0, limit // 2)
except OSError as error:
    print(path, error.strerror)
"#;

/// Runs a program that fills a disk of so many bytes.
fn fill(server: &Server, disk_bytes: u64) -> Run {
    let limits = json!({"disk_bytes": disk_bytes});
    server
        .run(&json!({"runtime": "python", "code": FILL, "args": [disk_bytes.to_string()], "limits": limits}))
}

/// The size of a sandbox's file system is changed when its session begins.
fn other_sizes_start_warm(server: &Server) {
    // The last is the usual size.
    for disk_bytes in [1 << 20, 96 << 20, 64 << 20] {
        eventually(&format!("a program with {disk_bytes} bytes finds a warm sandbox"), || {
            let warm_starts = starts(server, "interpreter");
            let run = fill(server, disk_bytes);
            let expected = "True\nTrue\n/dev/shm/c No space left on device\n";
            assert_eq!(run.stdout, expected, "{disk_bytes}: {run:?}");
            (starts(server, "interpreter") > warm_starts).then_some(())
        });
    }
}

#[test]
fn a_program_of_another_disk_size_starts_warm() {
    other_sizes_start_warm(&warm(Server::start()));
}

#[test]
fn a_program_of_another_disk_size_starts_warm_without_root() {
    other_sizes_start_warm(&warm(ordinary_server(3)));
}

/// A folder with runtimes for shell scripts. Each mounts a folder of its own at `/opt/<its name>`,
/// in which a file `name` has the name of the runtime.
struct Runtimes {
    folder: tempfile::TempDir,
}

impl Runtimes {
    fn new(names: &[&str]) -> Self {
        let runtimes = Self { folder: tempfile::tempdir().expect("a temporary folder is created") };
        let everybody = fs::Permissions::from_mode(0o755);
        fs::set_permissions(runtimes.folder.path(), everybody).expect("the folder is ours");
        for name in names {
            let mounted = runtimes.mounted(name);
            fs::create_dir_all(&mounted).expect("the folder is created");
            fs::write(mounted.join("name"), format!("{name}\n")).expect("the file is written");
            let manifest = format!(
                "title = '{name}'\nfile = 'main.sh'\neditor_mode = 'shell'\ninstall = ''\nrun = ['/bin/sh', '{{source}}']\n\
                 [[mounts]]\nsources = ['{}']\ntarget = '/opt/{name}'\n",
                mounted.display()
            );
            let folder = runtimes.path().join(name);
            fs::create_dir_all(&folder).expect("the folder is created");
            fs::write(folder.join("runtime.toml"), manifest).expect("the file is written");
        }
        runtimes
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("runtimes")
    }

    /// The folder that a runtime mounts.
    fn mounted(&self, name: &str) -> PathBuf {
        self.folder.path().join("mounted").join(name)
    }

    fn serve(&self, settings: &[&str]) -> Server {
        let path = self.path();
        let runtimes = ["--runtimes-dir", path.to_str().expect("a path in UTF-8")];
        Server::start_with(&[&runtimes[..], settings].concat())
    }
}

/// Runs a program that shows what it sees of the mounted folders. Returns whether it started warm.
fn starts_warm(server: &Server, name: &str) -> bool {
    let before = starts(server, "cold");
    let run = server.run_code(name, "cat /opt/*/name");
    assert_eq!((&*run.stdout, run.exitstatus), (&*format!("{name}\n"), 0), "{run:?}");
    starts(server, "cold") == before
}

/// The number of sandboxes that exist now; only root has a cgroup for each.
fn sandbox_count(server: &Server) -> usize {
    let groups = groups(server.data());
    let names: BTreeSet<_> = groups.iter().filter_map(|group| group.rsplit('/').next()).collect();
    names.len()
}

fn await_sandboxes(server: &Server, count: usize) {
    if is_root() {
        eventually(&format!("there are {count} sandboxes"), || {
            (sandbox_count(server) == count).then_some(())
        });
    }
}

#[test]
fn the_second_program_of_a_layout_starts_warm() {
    let runtimes = Runtimes::new(&["one", "two"]);
    let mut server = runtimes.serve(&[]);
    for _ in 0..2 {
        for name in ["one", "two"] {
            assert!(!starts_warm(&server, name), "nobody had wanted this layout before");
        }
        for name in ["one", "two", "one", "two"] {
            eventually("a sandbox of this layout waits", || starts_warm(&server, name).then_some(()));
        }
        // A program of the usual layout still finds a sandbox of that layout.
        eventually("a usual sandbox waits", || {
            let before = starts(&server, "sandbox");
            assert_eq!(server.run_code("bash", "ls /opt 2>&1 | wc -l").exitstatus, 0);
            (starts(&server, "sandbox") > before).then_some(())
        });
        server.stop();
        server.start_again();
    }
}

/// With one sandbox for each kind, there are one of the usual layout, one of Python's interpreter,
/// and one of each layout that was wanted lately.
#[test]
fn sandboxes_of_all_layouts_have_a_bound() {
    let names = ["one", "two", "three", "four", "five", "six"];
    let settings = ["--warm-sandboxes-max", "1", "--warm-other-sandboxes-max", "3"];
    let runtimes = Runtimes::new(&names);
    let server = warm(runtimes.serve(&settings));
    await_sandboxes(&server, 2);
    for (count, name) in names.iter().enumerate() {
        assert!(!starts_warm(&server, name), "{name}");
        await_sandboxes(&server, 2 + (count + 1).min(3));
    }
    for name in ["four", "five", "six"] {
        eventually("a layout that was wanted lately waits", || starts_warm(&server, name).then_some(()));
    }
    assert!(!starts_warm(&server, "one"), "three others were wanted later");
}

#[test]
fn sandboxes_of_a_layout_that_nobody_wants_go_away() {
    let runtimes = Runtimes::new(&["one"]);
    let server = warm(runtimes.serve(&["--warm-sandboxes-max", "1", "--warm-layout-idle-ms", "1000"]));
    assert!(!starts_warm(&server, "one"));
    eventually("a sandbox of this layout waits", || starts_warm(&server, "one").then_some(()));
    eventually("none of this layout waits any more", || {
        await_sandboxes(&server, 2);
        (!is_root() || !starts_warm(&server, "one")).then_some(())
    });
}

#[test]
fn without_room_for_other_layouts_their_programs_start_cold() {
    let runtimes = Runtimes::new(&["one"]);
    let server = runtimes.serve(&["--warm-other-sandboxes-max", "0"]);
    for _ in 0..3 {
        assert!(!starts_warm(&server, "one"));
    }
}

/// A layout that cannot be made any more delays no program of another.
#[test]
fn a_broken_layout_leaves_the_others_warm() {
    let runtimes = Runtimes::new(&["good", "broken"]);
    let server = runtimes.serve(&[]);
    assert!(!starts_warm(&server, "broken"));
    eventually("a sandbox of this layout waits", || starts_warm(&server, "broken").then_some(()));
    fs::remove_dir_all(runtimes.mounted("broken")).expect("the folder is removed");
    // Sandboxes that were made before may still be taken.
    eventually("a program finds no sandbox", || {
        let run = server.run_code("broken", "true");
        (run.reason.as_deref() == Some("lost")).then_some(())
    });
    assert!(!starts_warm(&server, "good"));
    eventually("a sandbox of this layout waits", || starts_warm(&server, "good").then_some(()));
    let (cold, sandbox) = (starts(&server, "cold"), starts(&server, "sandbox"));
    assert_eq!(server.run_code("bash", "echo 1").stdout, "1\n");
    assert_eq!((starts(&server, "cold"), starts(&server, "sandbox")), (cold, sandbox + 1));
}
