//! What must hold of words whatever bytes they come in. Called by `fuzz/`, and by a test with its seeds.
#![allow(clippy::unwrap_used, missing_docs)] // a panic is what says that something does not hold

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    control::{
        Delivery, MAX_LINE_BYTES, SpawnerReady, SpawnerRequest, SupervisorIdentity, SupervisorNotice,
        SupervisorRequest,
    },
    run_spec::RunSpec,
    stream::{
        ClientMessage, ClientMessageError, MAX_CLIENT_MESSAGE_BYTES, MAX_ID_BYTES, ProgramInput,
        ServerMessage,
    },
};

/// A message of a client's: understood, or answered by an `error` that says why.
pub fn stream_message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (id, item) = match ClientMessage::parse(text) {
        Err(ClientMessageError { error, msg, code }) => {
            assert!(!error.is_empty());
            // It is shown as the value it is, or else as the text.
            let value = serde_json::from_str::<Value>(text).unwrap_or_else(|_| text.into());
            assert_eq!(msg, value);
            serde_json::to_string(&ServerMessage::Error { error, msg, code: Some(code) }).unwrap();
            return;
        }
        Ok(ClientMessage::Exec(fields)) => {
            assert_eq!(fields["msgtype"], "exec");
            return;
        }
        Ok(ClientMessage::Deliver { id, item }) => (id, item),
        Ok(ClientMessage::Ping | ClientMessage::Quit) => return,
    };
    if let Some(id) = &id {
        assert!((id.is_string() || id.is_number()) && id.to_string().len() <= MAX_ID_BYTES);
    }
    let item = match item {
        ProgramInput::Input { data, eof } => {
            data.clone().into_bytes().unwrap();
            Delivery::Input { data, eof }
        }
        ProgramInput::Signal(signal) => Delivery::Signal { signal },
        ProgramInput::Event { event, data } => {
            let line = json!({"msgtype": "event", "event": event, "data": data}).to_string();
            assert!(!line.contains(['\n', '\r']));
            Delivery::Event { line }
        }
    };
    // What a client may send is a line that a supervisor takes, and means the same there.
    let line =
        serde_json::to_string(&SupervisorRequest::Deliver { tag: u64::MAX, id: id.clone(), item }).unwrap();
    assert!(!line.contains('\n'));
    assert!(line.len() <= MAX_LINE_BYTES || text.len() > MAX_CLIENT_MESSAGE_BYTES);
    let SupervisorRequest::Deliver { id: read, .. } = serde_json::from_str(&line).unwrap() else {
        panic!("{line}")
    };
    assert_eq!(read, id);
    assert!(is_stable::<SupervisorRequest>(line.as_bytes()));
}

/// A document between server, spawner and supervisor: refused, or read and written again it is the same.
pub fn documents(data: &[u8]) {
    is_stable::<SupervisorRequest>(data);
    is_stable::<SupervisorNotice>(data);
    is_stable::<SpawnerRequest>(data);
    is_stable::<SpawnerReady>(data);
    is_stable::<SupervisorIdentity>(data);
    is_stable::<RunSpec>(data);
    if let Ok(text) = std::str::from_utf8(data) {
        SupervisorIdentity::start_ticks(text);
    }
}

/// Whether it is one; where it is, what is written of it is read as the same.
fn is_stable<T: Serialize + DeserializeOwned>(data: &[u8]) -> bool {
    let Ok(document) = serde_json::from_slice::<T>(data) else { return false };
    let written = serde_json::to_string(&document).unwrap();
    assert!(!written.contains('\n'), "a document is one line");
    let again: T = serde_json::from_str(&written).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), written);
    true
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    use super::seeds::each_seed;

    #[test]
    fn the_seeds_hold() {
        each_seed("stream_message", super::stream_message);
        each_seed("control", super::documents);
    }
}
