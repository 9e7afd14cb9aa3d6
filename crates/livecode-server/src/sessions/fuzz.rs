//! Checks that must hold for a session's folder found at start, whatever bytes its files contain.
#![allow(clippy::unwrap_used, missing_docs)] // a panic reports that a check does not hold

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use livecode_journal::Kind;
use livecode_protocol::{
    SessionId,
    session::Outcome,
    session_folder::{IDENTITY_FILE, JOURNAL_FILE, JOURNAL_INDEX_FILE, RUN_SPEC_FILE, SESSION_FILE},
};

use crate::sessions::{
    ended::ended_progress,
    follower::{Batch, Follower, Item},
    session::Session,
    skip::SkipTurns,
    store::Store,
};

/// The data directory is locked once and then used for all inputs.
static STORE: Mutex<Option<(PathBuf, Arc<Store>)>> = Mutex::new(None);

fn store(data_dir: &Path) -> Arc<Store> {
    let mut store = STORE.lock().unwrap();
    match &*store {
        Some((path, store)) if path == data_dir => store.clone(),
        _ => {
            let opened = Arc::new(Store::open(data_dir, "127.0.0.1:0").unwrap());
            *store = Some((data_dir.to_owned(), opened.clone()));
            opened
        }
    }
}

/// Checks a session's folder with the files in `data`: a line `== name` begins a file, and the
/// lines up to the next such line are its content.
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
        if let Some(name) = [SESSION_FILE, IDENTITY_FILE, RUN_SPEC_FILE, JOURNAL_FILE, JOURNAL_INDEX_FILE]
            .into_iter()
            .find(|known| known.as_bytes() == name)
        {
            fs::write(folder.join(name), contents).unwrap();
        }
    }

    // A folder whose record cannot be read is left untouched.
    let records = store.scan().unwrap();
    assert!(records.len() <= 1);
    let Some(record) = records.into_iter().next() else { return };
    assert_eq!(record.id, id, "a record was accepted in the folder of another session");
    store.supervisor_identity(id);
    let has_journal = store.has_journal(id);
    assert!(store.closing_entry(id).unwrap().is_none() || has_journal);
    // Without a journal, nothing can be lost.
    assert_eq!(store.close_journal(id, Outcome::Lost).unwrap(), has_journal, "nobody holds the lock");
    assert!(store.close_journal(id, Outcome::Cancelled).unwrap(), "nobody holds the journal's lock");
    store.remove_leftovers(id);
    // A closing entry whose payload cannot be parsed counts as none.
    let Ok(progress) = ended_progress(&store, id) else { return };
    let session =
        Arc::new(Session::new(&record, record.runtime.as_str().into(), progress, None, Arc::default()));
    assert!(session.elapsed_s() >= 0.0);
    for after in [0, 1, progress.entries, u64::MAX] {
        follow(&session, &store, after);
    }
}

/// Checks that every number after `after` comes once, as an entry or in a gap, and that the
/// closing entry is the last.
fn follow(session: &Arc<Session>, store: &Store, after: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut follower = Follower::new(session, store.journal(session.id), after, SkipTurns::default());
        let mut last = None;
        let mut seq = after.min(session.progress().entries.saturating_sub(1));
        // The follower of an ended session has no reason to wait. The timeout ends the check if it
        // waits all the same.
        let timeout = Duration::from_millis(20);
        while let Ok(Ok(Some(batch))) = tokio::time::timeout(timeout, follower.next()).await {
            let items = match batch {
                Batch::Items(items) => items,
                Batch::LargeMessage(message) => {
                    assert_eq!(message.seq, seq + 1);
                    (seq, last) = (message.seq, Some(Kind::Message));
                    continue;
                }
            };
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
