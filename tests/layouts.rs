//! Warm sandboxes of other layouts than the usual one: other sizes, and other folders.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::common::{Run, Server, cgroups::groups, eventually, id, is_root, processes};
use crate::strangers::rootless::ordinary_server;
use crate::warm::{memory_contains, starts, warm};

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

    /// Puts another folder in the place of the one that a runtime mounts, with another `name` and
    /// otherwise the same files.
    fn replace_mounted(&self, name: &str, new_name: &str) {
        let (mounted, old) = (self.mounted(name), self.mounted(&format!("old-{name}")));
        fs::rename(&mounted, &old).expect("the folder can be renamed");
        fs::create_dir(&mounted).expect("the folder is created");
        for file in fs::read_dir(&old).expect("the folder can be read").flatten() {
            fs::copy(file.path(), mounted.join(file.file_name())).expect("the file is copied");
        }
        fs::write(mounted.join("name"), format!("{new_name}\n")).expect("the file is written");
    }

    fn serve(&self, settings: &[&str]) -> Server {
        let path = self.path();
        let runtimes = ["--runtimes-dir", path.to_str().expect("a path in UTF-8")];
        Server::start_with(&[&runtimes[..], settings].concat())
    }
}

/// Runs a program that shows what it sees of the mounted folders. Returns whether it started warm.
fn starts_warm(server: &Server, name: &str) -> bool {
    starts_warm_with(server, name, name)
}

/// As [`starts_warm`], with what the program must see as the name of the runtime.
fn starts_warm_with(server: &Server, runtime: &str, name: &str) -> bool {
    let before = starts(server, "cold");
    let run = server.run_code(runtime, "cat /opt/*/name");
    assert_eq!((&*run.stdout, run.exitstatus), (&*format!("{name}\n"), 0), "{run:?}");
    starts(server, "cold") == before
}

/// Runs programs of the usual layout until one has found a warm sandbox of that layout.
fn await_usual_sandbox(server: &Server) {
    eventually("a usual sandbox waits", || {
        let before = starts(server, "sandbox");
        assert_eq!(server.run_code("bash", "ls /opt 2>&1 | wc -l").exitstatus, 0);
        (starts(server, "sandbox") > before).then_some(())
    });
}

/// The number of sandboxes that exist now: the descendants of the server that are process 1 of a
/// pid namespace (`NSpid`, proc_pid_status(5)).
fn sandbox_count(server: &Server) -> usize {
    let is_init = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        numbers.split_whitespace().skip(1).eq(["1"])
    };
    let mut found = vec![server.pid()];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children(pid));
        next += 1;
    }
    found.iter().filter(|pid| is_init(pid)).count()
}

/// The children of the threads of a process.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn await_sandboxes(server: &Server, count: usize) {
    eventually(&format!("there are {count} sandboxes"), || (sandbox_count(server) == count).then_some(()));
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
        await_usual_sandbox(&server);
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
        (!starts_warm(&server, "one")).then_some(())
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
    await_usual_sandbox(&server);
}

/// A warm sandbox has mounted what stood at a path when it was made.
#[test]
fn a_folder_that_was_replaced_is_seen_by_the_next_program() {
    let runtimes = Runtimes::new(&["one"]);
    let server = runtimes.serve(&[]);
    let mut name = "one".to_owned();
    for number in 0..3 {
        eventually("a sandbox of this layout waits", || {
            starts_warm_with(&server, "one", &name).then_some(())
        });
        eventually("another waits", || starts_warm_with(&server, "one", &name).then_some(()));
        name = format!("new-{number}");
        fs::remove_dir_all(runtimes.mounted("old-one")).unwrap_or_default();
        runtimes.replace_mounted("one", &name);
    }
    eventually("a sandbox of the last folder waits", || {
        starts_warm_with(&server, "one", &name).then_some(())
    });
}

/// The compile cache holds under the key of a compiler nothing that an earlier one has made.
#[test]
fn a_compiler_that_was_replaced_leaves_nothing_in_the_compile_cache() {
    let runtimes = Runtimes::new(&["one"]);
    let manifest = runtimes.path().join("one/runtime.toml");
    let toml = fs::read_to_string(&manifest).expect("the manifest can be read");
    let run = "run = ['/bin/sh', '{source}']\n";
    let compile = "compile = [['/bin/sh', '/opt/one/compile.sh']]\nartefacts = ['/tmp/out']\n\
                   run = ['/bin/cat', '/tmp/out/version']\n";
    assert!(toml.contains(run));
    fs::write(manifest, toml.replace(run, compile)).expect("the manifest is written");
    let script = "mkdir /tmp/out && cat /opt/one/name > /tmp/out/version\n";
    fs::write(runtimes.mounted("one").join("compile.sh"), script).expect("the file is written");
    let server = runtimes.serve(&[]);
    eventually("a sandbox of this layout waits", || starts_warm_with(&server, "one", "one").then_some(()));
    // The sandbox that replaces the one just taken is made of the old folder, too.
    eventually("another waits", || starts_warm_with(&server, "one", "one").then_some(()));
    runtimes.replace_mounted("one", "two");
    for _ in 0..3 {
        starts_warm_with(&server, "one", "two");
    }
}

/// The idle workers of the default spawner and of the others: the grandchildren of the server that
/// are, or are to become, supervisors.
fn workers(server: &Server) -> Vec<Pid> {
    let is_worker = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "livecode-super")
    };
    let grandchildren = children(server.pid()).into_iter().flat_map(children).filter(is_worker);
    grandchildren.filter_map(|pid| Pid::from_raw(pid as i32)).collect()
}

/// A worker that was sent a request and dies before it takes it loses no session.
#[test]
fn a_session_whose_worker_dies_is_started_by_another() {
    let runtimes = Runtimes::new(&["one"]);
    let mut server = runtimes.serve(&[]);
    for _ in 0..3 {
        eventually("a sandbox of this layout waits", || starts_warm(&server, "one").then_some(()));
        // A worker that is parked or ends meanwhile may be gone already.
        let stopped = workers(&server);
        let signal_all = |signal| {
            for pid in &stopped {
                let _ = kill_process(*pid, signal);
            }
        };
        signal_all(Signal::STOP);
        let session = server.create(&json!({"runtime": "one", "code": "cat /opt/*/name"}));
        signal_all(Signal::KILL);
        let run = Run::collect(server.stream(&id(&session), ""));
        assert_eq!((&*run.stdout, run.exitstatus), ("one\n", 0), "{run:?}");
    }
    // The next server removes what the killed workers left.
    server.stop();
    server.start_again();
    server.stop();
    eventually("no cgroup is left", || groups(server.data()).is_empty().then_some(()));
}

/// A session whose layout cannot be read is started all the same, and its supervisor reports why it
/// cannot be.
#[test]
fn a_waiting_session_whose_run_spec_is_damaged_is_lost() {
    let mut server = Server::start_with(&["--sessions-running-max", "1"]);
    let running = server.create_id("bash", "echo begun; read -r line");
    eventually("the first session runs", || {
        server.data().join("sessions").join(&running).join("journal").exists().then_some(())
    });
    let waiting: Vec<_> = (0..2).map(|_| server.create_id("bash", "echo 1")).collect();
    let spec = |id: &String| server.data().join("sessions").join(id).join("order.json");
    let [damaged, unreadable] = [spec(&waiting[0]), spec(&waiting[1])];
    server.stop();
    fs::write(damaged, "{").expect("the file is written");
    fs::remove_file(&unreadable).expect("the file is removed");
    fs::create_dir(&unreadable).expect("a folder is created in its place");
    server.start_again_with(&[]);
    for id in waiting {
        let run = Run::collect(server.stream(&id, ""));
        assert_eq!(run.reason.as_deref(), Some("lost"), "{run:?}");
    }
}

/// The spawner receives the requests of layouts itself. A sandbox that is made for one of them
/// holds nothing of a request, not even of its own. Only root can read the memory of its init.
#[test]
fn no_sandbox_of_a_layout_remembers_a_request() {
    if !is_root() {
        return;
    }
    let runtimes = Runtimes::new(&["one"]);
    let server = runtimes.serve(&["--warm-other-sandboxes-max", "0"]);
    let run = |_| {
        let session = id(&server.create(&json!({"runtime": "one", "code": "true"})));
        assert_eq!(Run::collect(server.stream(&session, "")).exitstatus, 0);
        session
    };
    let mut ids: Vec<_> = (0..10).map(run).collect();
    let mark = format!("ids-of-{}", std::process::id());
    let fields = json!({"runtime": "one", "code": "echo on; read -r line", "args": [mark]});
    let session = id(&server.create(&fields));
    server.stream(&session, "").read_until("on\n");
    let programs = processes(&mark);
    assert_eq!(programs.len(), 1);
    let stat = fs::read_to_string(format!("/proc/{}/stat", programs[0])).expect("the program runs");
    let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
    let init = parent.expect("a parent").parse().expect("a number");
    assert!(memory_contains(programs[0], &mark), "the test should be able to read the program's memory");
    ids.push(session);
    for id in ids {
        assert!(!memory_contains(init, &id), "init knows of {id}");
    }
}
