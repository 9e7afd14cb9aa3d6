//! A server that is an ordinary user shares that user's limits with its sessions. These tests use
//! up such limits under a uid that nothing else has. That needs root.

use std::os::fd::OwnedFd;

use rustix::{
    event::{EventfdFlags, epoll, eventfd},
    io::Errno,
};
use serde_json::json;

use crate::common::{Server, eventually, id, is_root};

/// A server whose user is not the user of anything else.
struct LonelyServer {
    server: Server,
    uid: u32,
}

impl LonelyServer {
    /// Starts the server. `number` differs for each test of this process.
    fn start(number: u32) -> Self {
        // Far above the uids of accounts, and below those of the sessions of a server that is root.
        let uid = 100_000_000 + std::process::id() % 10_000_000 * 8 + number;
        // The folder of the binary may be closed to other users than root.
        let script = format!(
            "data=$6 && install -m 755 \"$1\" \"$data/binary\" && chown -R {uid}:{uid} \"$data\" && shift && \
             exec env HOME=\"$data\" setpriv --reuid {uid} --regid {uid} --clear-groups \"$data/binary\" \"$@\""
        );
        Self { server: Server::start_by(&["sh", "-c", &script, "sh"], &[]), uid }
    }
}

/// A server that is an ordinary user. Nothing else has this user if the tests run as root.
fn ordinary_server(number: u32) -> Server {
    if is_root() { LonelyServer::start(number).server } else { Server::start() }
}

/// Memory that is not in the pages of a process counts against the limit of its session.
#[test]
fn memory_counts_wherever_a_program_hides_it() {
    let server = ordinary_server(1);
    let limits = json!({"memory_bytes": 64 << 20, "disk_bytes": 512 << 20, "cpu_ms": 30_000});
    let hoards = include_str!("programs/hoards.py");
    let ways = ["tmpfs", "unix", "unix_closed", "tcp", "udp", "shared_in_secret"];
    let mut sessions: Vec<_> = ways
        .map(|way| (way, json!({"runtime": "python", "code": hoards, "args": [way], "limits": limits})))
        .into();
    let page_tables = include_str!("programs/page_tables.c");
    sessions.push(("page tables", json!({"runtime": "c", "code": page_tables, "limits": limits})));
    let mut unlimited = vec![];
    for (way, request) in sessions {
        let session = id(&server.create(&request));
        let mut stream = server.stream(&session, "");
        let mut output = String::new();
        while let Some(message) = stream.next() {
            output += message["data"].as_str().unwrap_or_default();
            if output.contains("taken") {
                break;
            }
        }
        // The next sample is due within half a second. The program itself would wait much longer.
        let ended = (0..200).find_map(|_| {
            std::thread::park_timeout(std::time::Duration::from_millis(10));
            let session = server.get(&format!("/sessions/{session}")).json();
            (session["state"] == "ended").then_some(session)
        });
        if ended.as_ref().is_none_or(|session| session["outcome"] != "memory") {
            unlimited.push(format!("{way}: {:?} {output}", ended.map(|session| session["outcome"].clone())));
        }
        server.delete(&format!("/sessions/{session}"));
    }
    assert!(unlimited.is_empty(), "{unlimited:#?}");
}

/// One session cannot use up the inotify instances that the user of the server has.
#[test]
fn inotify_instances_are_limited_for_each_session() {
    let server = ordinary_server(2);
    let code = "import ctypes, time\nlibc = ctypes.CDLL(None)\nn = 0\nwhile n < 1000 and libc.inotify_init1(0) >= 0: n += 1\n\
                print('instances', n, flush=True)\ntime.sleep(60)";
    for _ in 0..3 {
        let session = server.create_id("python", code);
        assert_eq!(server.stream(&session, "").read_until("\n"), "instances 16\n");
    }
}

/// Uses up the epoll watches of a user. They are free again when the result is dropped.
fn use_up_epoll_watches(uid: u32) -> Vec<OwnedFd> {
    let event = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
    // The watches are charged to the user that made the epoll descriptor.
    let create = move || {
        let (user, group) = (rustix::process::Uid::from_raw(uid), rustix::process::Gid::from_raw(uid));
        rustix::thread::set_thread_res_gid(group, group, group).expect("root may become anybody");
        rustix::thread::set_thread_res_uid(user, user, user).expect("root may become anybody");
        let create = |_| epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll descriptor");
        (0..2000).map(create).collect::<Vec<_>>()
    };
    let mut held = std::thread::spawn(create).join().expect("the thread does not panic");
    let pollers = held.len();
    // A watch belongs to a pair of an open file and a descriptor number, so one file can be watched
    // under many numbers.
    loop {
        let number = event.try_clone().expect("a descriptor");
        held.push(number);
        let number = &held[held.len() - 1];
        for poller in &held[..pollers] {
            match epoll::add(poller, number, epoll::EventData::new_u64(0), epoll::EventFlags::IN) {
                Ok(()) => {}
                Err(Errno::NOSPC) => return held,
                Err(error) => panic!("epoll_ctl: {error}"),
            }
        }
    }
}

/// While the server's user has no epoll watch left, sessions can be listed and ended. Afterwards
/// everything works as before.
#[test]
fn a_session_can_be_ended_while_no_descriptor_can_be_watched() {
    if !is_root() {
        return; // the watches of the user that runs the tests are needed by other tests
    }
    let LonelyServer { server, uid } = LonelyServer::start(0);
    let code = "import time\nprint('up', flush=True)\ntime.sleep(300)";
    let session = server.create_id("python", code);
    server.stream(&session, "").read_until("up");

    let used_up = use_up_epoll_watches(uid);
    assert_eq!(server.get("/healthz").status, 200);
    let list = server.get("/sessions").json();
    assert_eq!(
        list.as_array().map(|sessions| sessions.iter().map(id).collect()),
        Some(vec![session.clone()])
    );
    let path = format!("/sessions/{session}/stream");
    let refused = crate::common::Stream::try_connect(server.address(), &path, &[]);
    assert_eq!(refused.err(), Some(503));
    assert_eq!(server.delete(&format!("/sessions/{session}")).status, 204);
    let created = server.post("/sessions", &json!({"runtime": "bash", "code": "echo late"}));
    assert_eq!(created.status, 201);

    drop(used_up);
    let path = format!("/sessions/{}", id(&created.json()));
    let ended = eventually("the session that was created meanwhile ends", || {
        server.try_get(&path).map(|response| response.json()).filter(|session| session["state"] == "ended")
    });
    assert_eq!(ended["outcome"], "exited", "{ended}");
    assert_eq!(server.run_code("bash", "echo hello").stdout, "hello\n");
}
