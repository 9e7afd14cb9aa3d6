//! A panic in the task that drives a session leaves no session that never ends.

use std::sync::Arc;

use livecode_protocol::session::Outcome;

use crate::config::Config;
use crate::lifecycle::{Quotas, Registry};
use crate::runner::driver::tests::{PanickingSpawner, TIMEOUT, new_session, panicking_spawner};
use crate::runner::spawner_set::SpawnerSet;
use crate::sessions::Store;

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_driving_task_ends_the_session_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), "127.0.0.1:0").unwrap();
    let PanickingSpawner { client, mut first, .. } = panicking_spawner();
    let spawners = Arc::new(SpawnerSet::with_default_only(client));
    let quotas = Arc::new(Quotas::load(&Config::default(), None).await);
    let registry = Registry::open(&Config::default(), store, spawners, Default::default(), quotas).unwrap();
    let session = new_session();
    let _queue = session.open_queue();
    registry.drive(session.clone(), async { panic!("the intended panic") });
    let mut progress = session.watch();
    let ended = progress.wait_for(|progress| progress.is_torn_down && progress.ended.is_some());
    let ended = tokio::time::timeout(TIMEOUT, ended).await.expect("the session never ends");
    assert_eq!(ended.unwrap().ended.map(|ended| ended.outcome), Some(Outcome::Lost));
    first.kill().unwrap();
    first.wait().unwrap();
}
