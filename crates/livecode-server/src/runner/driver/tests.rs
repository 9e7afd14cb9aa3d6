//! A mistake of ours, a panic, leaves no session that never ends.

use std::{
    process::{Child, Command},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use livecode_protocol::warm::SpawnerSettings;
use livecode_protocol::{control::SpawnerReady, run_spec::RunSpec};
use rustix::{
    net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde_json::json;

use super::*;
use crate::{
    auth::Owner,
    config::Config,
    runner::spawner::SpawnerProcess,
    sessions::{Registry, store::SessionRecord},
};

const TIMEOUT: Duration = Duration::from_secs(20);
const ID: &str = "00112233445566778899aabbccddeeff";

/// A spawner that is ready and then gone; to start the next is the mistake.
fn spawner() -> (Arc<SpawnerClient>, Arc<Mutex<Option<Child>>>, Arc<AtomicUsize>) {
    let (first, starts) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
    let (child, count) = (first.clone(), starts.clone());
    let start = move |_: &SpawnerSettings| {
        assert_eq!(count.fetch_add(1, Ordering::SeqCst), 0, "the mistake");
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let ready = SpawnerReady { degraded: vec![], error: None };
        send(&theirs, &serde_json::to_vec(&ready)?, SendFlags::NOSIGNAL)?;
        let process = Command::new("sleep").arg("600").spawn()?;
        let pidfd = pidfd_open(Pid::from_child(&process), PidfdFlags::empty())?;
        *child.lock().unwrap() = Some(process);
        Ok(SpawnerProcess { socket: ours, pidfd, template: None })
    };
    let settings = SpawnerSettings { data_dir: "/".into(), warm: None, template: None };
    (Arc::new(SpawnerClient::new(Arc::new(start), settings, Arc::default()).unwrap()), first, starts)
}

fn record() -> SessionRecord {
    serde_json::from_value(json!({
        "id": ID, "owner": Owner::of_token("somebody"), "runtime": "python", "created_us": 1,
        "ephemeral": false, "slot": 1,
    }))
    .unwrap()
}

fn order() -> RunSpec {
    let limits = json!({"cpu_ms": 1, "memory_bytes": 1, "processes": 1});
    serde_json::from_value(json!({
        "version": 2, "id": ID, "slot": 1, "compile": [], "run": {"argv": ["true"], "limits": limits}, "env": [],
        "files": [], "stdin": null, "mounts": [],
        "limits": {"wall_ms": 1, "output_bytes": 1, "disk_bytes": 1, "disk_files": 1, "cpu_millicores": 1},
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_beside_the_task_settles_the_session() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path(), ([127, 0, 0, 1], 0).into()).unwrap());
    store.create(&record(), &order()).unwrap();
    let (spawner, first, starts) = spawner();
    let session =
        Arc::new(Session::new(&record(), "python".into(), SessionProgress::default(), None, Arc::default()));
    let queue = DeliveryQueue::new(session.open_queue());
    let permits = Arc::new(tokio::sync::Semaphore::new(1));
    let spawners = Arc::new(SpawnerSet::only(spawner));
    let driver =
        Driver { session: session.clone(), store: store.clone(), spawners, permits, metrics: Arc::default() };
    let run = tokio::spawn(driver.run_new(queue));
    tokio::time::timeout(TIMEOUT, run).await.expect("it goes on for ever").expect("the task panicked");
    let progress = session.progress();
    assert_eq!(progress.ended.map(|ended| ended.outcome), Some(Outcome::Lost));
    assert!(progress.is_gone);
    assert_eq!(store.ending(session.id).unwrap().map(|(_, ending)| ending.outcome), Some(Outcome::Lost));
    assert!(starts.load(Ordering::SeqCst) > 1, "there was no mistake");
    // The one that was gone was made sure of.
    assert!(!first.lock().unwrap().take().unwrap().wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_task_settles_the_session() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), ([127, 0, 0, 1], 0).into()).unwrap();
    let (spawner, first, _) = spawner();
    let registry =
        Registry::open(&Config::default(), store, SpawnerSet::only(spawner), Arc::default()).unwrap();
    let session =
        Arc::new(Session::new(&record(), "python".into(), SessionProgress::default(), None, Arc::default()));
    let _queue = session.open_queue();
    registry.drive(session.clone(), async { panic!("the mistake") });
    let mut progress = session.watch();
    let settled = progress.wait_for(|progress| progress.is_gone && progress.ended.is_some());
    let settled = tokio::time::timeout(TIMEOUT, settled).await.expect("it is never settled");
    assert_eq!(settled.unwrap().ended.map(|ended| ended.outcome), Some(Outcome::Lost));
    let mut first = first.lock().unwrap().take().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
}
