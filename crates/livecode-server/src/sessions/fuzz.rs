//! What must hold of a session's folder that is found at start, whatever its files consist of.
#![allow(clippy::unwrap_used, missing_docs)] // a panic is what says that something does not hold

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use livecode_journal::Kind;
use livecode_protocol::{SessionId, session::Outcome};

use crate::runner::driver::ended_progress;
use crate::sessions::{Follower, Item, Session, store::Store};

/// A data directory is locked once, and used for all that is tried in it.
static STORE: Mutex<Option<(PathBuf, Arc<Store>)>> = Mutex::new(None);

fn store(data_dir: &Path) -> Arc<Store> {
    let mut store = STORE.lock().unwrap();
    match &*store {
        Some((path, store)) if path == data_dir => store.clone(),
        _ => {
            let opened = Arc::new(Store::open(data_dir, ([127, 0, 0, 1], 0).into()).unwrap());
            *store = Some((data_dir.to_owned(), opened.clone()));
            opened
        }
    }
}

/// The files of a session's folder: `== name` on a line, and what is in it.
pub fn session_folder(data_dir: &Path, data: &[u8]) {
    let store = store(data_dir);
    let id: SessionId = "00112233445566778899aabbccddeeff".parse().unwrap();
    let folder = store.folder(id);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    let mut files = vec![];
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        match (line.strip_prefix(b"== "), files.last_mut()) {
            (Some(name), _) => files.push((name.trim_ascii().to_vec(), vec![])),
            (None, Some((_, contents))) => contents.extend_from_slice(line),
            (None, None) => {}
        }
    }
    for (name, contents) in files {
        if let Some(name) = ["session.json", "state.json", "order.json", "journal"]
            .into_iter()
            .find(|known| known.as_bytes() == name)
        {
            fs::write(folder.join(name), contents).unwrap();
        }
    }

    // What has no record that can be read is left alone.
    let records = store.scan().unwrap();
    assert!(records.len() <= 1);
    let Some(record) = records.into_iter().next() else { return };
    assert_eq!(record.id, id, "a record is taken for that of the folder that it names, not of its own");
    store.state(id);
    let begun = store.has_begun(id);
    assert!(store.ending(id).unwrap().is_none() || begun);
    assert!(store.close(id, Outcome::Lost).unwrap(), "nobody holds the lock");
    store.clear_leftovers(id);
    // An end that is no document of ours is told as none.
    let Ok(progress) = ended_progress(&store, id) else { return };
    let session =
        Arc::new(Session::new(&record, record.runtime.as_str().into(), progress, None, Arc::default()));
    assert!(session.elapsed_s() >= 0.0);
    for after in [0, 1, progress.entries, u64::MAX] {
        follow(&session, &store, after);
    }
}

/// Every number after `after` comes once, as an entry or in a gap, and the last is the closing entry's.
fn follow(session: &Arc<Session>, store: &Store, after: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut follower = Follower::new(session, store.journal(session.id), after);
        let mut last = None;
        let mut seq = after.min(session.progress().entries.saturating_sub(1));
        // A damaged journal is read again after a while, for it may have been replaced; that is not awaited here.
        let patience = std::time::Duration::from_millis(20);
        while let Ok(Ok(Some(items))) = tokio::time::timeout(patience, follower.next()).await {
            for item in items {
                assert_ne!(last, Some(Kind::Exit));
                match item {
                    Item::Entry(entry) => {
                        assert_eq!(entry.seq, seq + 1);
                        (seq, last) = (entry.seq, Some(entry.kind));
                    }
                    Item::Gap { from, to } => {
                        assert!(from == seq + 1 && to >= from);
                        seq = to;
                    }
                }
            }
        }
    });
}
