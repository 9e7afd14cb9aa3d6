//! A panic in blocking work of a driver leaves no session that never ends.

use std::{
    process::{Child, Command},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use livecode_protocol::{control::SpawnerReady, run_spec::RunSpec, warm::SpawnerSettings};
use rustix::{
    net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde_json::json;

use super::*;
use crate::auth::{Guest, PortionLimits};
use crate::runner::run_queue::{RunBounds, RunQueue, RunQueueLimits};
use crate::runner::spawner::SpawnerProcess;
use crate::sessions::{SessionProgress, record::SessionRecord};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
const ID: &str = "00112233445566778899aabbccddeeff";

/// A spawner whose launcher panics when it is called a second time. The first process reports that
/// it is ready, and its socket is closed then.
pub(crate) struct PanickingSpawner {
    pub client: Arc<SpawnerClient>,
    /// The first process.
    pub first: Child,
    /// How often the launcher was called.
    pub launches: Arc<AtomicUsize>,
}

pub(crate) fn panicking_spawner() -> PanickingSpawner {
    let (first, launches) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
    let (child, count) = (first.clone(), launches.clone());
    let launcher = move |_: &SpawnerSettings| {
        assert_eq!(count.fetch_add(1, Ordering::SeqCst), 0, "the intended panic");
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let ready = SpawnerReady::default();
        send(&theirs, &serde_json::to_vec(&ready)?, SendFlags::NOSIGNAL)?;
        let process = Command::new("sleep").arg("600").spawn()?;
        let pidfd = pidfd_open(Pid::from_child(&process), PidfdFlags::empty())?;
        *child.lock().unwrap() = Some(process);
        let layout_socket = ours.try_clone()?;
        Ok(SpawnerProcess { socket: ours, layout_socket, pidfd, zygote_pidfd: None })
    };
    let settings = SpawnerSettings {
        data_dir: "/".into(),
        warm: None,
        interpreter_zygote: None,
        is_log_json: false,
        is_order_exact: false,
    };
    let client = Arc::new(SpawnerClient::launch(Arc::new(launcher), settings, Arc::default()).unwrap());
    let first = first.lock().unwrap().take().unwrap();
    PanickingSpawner { client, first, launches }
}

pub(crate) fn record() -> SessionRecord {
    serde_json::from_value(json!({
        "id": ID, "owner": Guest::of_token("somebody").owner(), "runtime": "python", "created_us": 1,
        "ephemeral": false, "slot": 1,
    }))
    .unwrap()
}

pub(crate) fn new_session() -> Arc<Session> {
    Arc::new(Session::new(&record(), "python".into(), SessionProgress::default(), None, Arc::default()))
}

fn run_spec() -> RunSpec {
    let limits = json!({"cpu_ms": 1, "memory_bytes": 1, "processes": 1});
    serde_json::from_value(json!({
        "version": 2, "id": ID, "slot": 1, "compile": [], "run": {"argv": ["true"], "limits": limits}, "env": [],
        "files": [], "stdin": null, "mounts": [],
        "limits": {"wall_ms": 1, "output_bytes": 1, "disk_bytes": 1, "disk_files": 1, "cpu_millicores": 1},
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_spawner_request_ends_the_session_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path(), "127.0.0.1:0").unwrap());
    store.create(&record(), run_spec()).unwrap();
    let PanickingSpawner { client, mut first, launches } = panicking_spawner();
    let session = new_session();
    let queue = DeliveryQueue::new(session.open_queue());
    let one = PortionLimits { total: 1, per_address: 1, reserved: 0 };
    let bounds = RunBounds { running_max: 1, queued_max: 1 };
    let run_queue =
        RunQueue::new(RunQueueLimits { running: one, queued: one, starting: 1, starts_per_second: u64::MAX });
    let turn = run_queue.enter(session.id, session.payer, &session.owner, bounds).unwrap();
    let spawners = Arc::new(SpawnerSet::with_default_only(client));
    let driver = Driver {
        session: session.clone(),
        layout: Some(run_spec().layout()),
        store: store.clone(),
        spawners,
        metrics: Arc::default(),
        weights: CpuWeights::new(),
    };
    let run = tokio::spawn(driver.run_new(queue, turn));
    tokio::time::timeout(TIMEOUT, run).await.expect("the driver never ends").expect("the driver panicked");
    let progress = session.progress();
    assert_eq!(progress.ended.map(|ended| ended.outcome), Some(Outcome::Lost));
    assert!(progress.is_torn_down);
    let closing_entry = store.closing_entry(session.id).unwrap();
    assert_eq!(closing_entry.map(|(_, entry)| entry.outcome), Some(Outcome::Lost));
    assert!(launches.load(Ordering::SeqCst) > 1, "the launcher did not panic");
    // The first process was killed before it was replaced.
    assert!(!first.wait().unwrap().success());
}
