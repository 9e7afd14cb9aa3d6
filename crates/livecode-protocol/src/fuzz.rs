//! Properties that every parser of this crate must have for any input. The fuzz targets in `fuzz/`
//! call these functions, and a test calls them with the seeds.
#![allow(clippy::unwrap_used, missing_docs)] // a panic reports a violated property

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    control::{
        Delivery, MAX_LINE_BYTES, SpawnerReady, SpawnerRequest, SupervisorIdentity, SupervisorNotice,
        SupervisorRequest,
    },
    run_spec::RunSpec,
    stream::{
        ClientDelivery, ClientMessage, ClientMessageError, MAX_CLIENT_MESSAGE_BYTES, MAX_ID_BYTES,
        ServerMessage, echo, event_line,
    },
};

/// A client's message is either parsed or answered with an `error` that gives the reason.
pub fn stream_message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (id, item) = match ClientMessage::parse(text) {
        Err(ClientMessageError { error, code }) => {
            assert!(!error.is_empty());
            // The error contains the message as JSON if it is JSON, otherwise as text.
            let value = serde_json::from_str::<Value>(text).unwrap_or_else(|_| text.into());
            let msg = echo(text);
            assert_eq!(serde_json::from_str::<Value>(msg.get()).unwrap(), value);
            serde_json::to_string(&ServerMessage::Error { error, msg, code: Some(code) }).unwrap();
            return;
        }
        Ok(ClientMessage::Exec) => {
            assert_eq!(serde_json::from_str::<Value>(text).unwrap()["msgtype"], "exec");
            return;
        }
        Ok(ClientMessage::Deliver { id, item }) => (id, item),
        Ok(ClientMessage::Ping | ClientMessage::Quit) => return,
    };
    if let Some(id) = &id {
        assert!((id.is_string() || id.is_number()) && id.to_string().len() <= MAX_ID_BYTES);
    }
    let item = match item {
        ClientDelivery::Input { data, eof } => {
            data.clone().into_bytes().unwrap();
            Delivery::Input { data, eof }
        }
        ClientDelivery::Signal(signal) => Delivery::Signal { signal },
        ClientDelivery::Event { event, data } => {
            let line = event_line(event, data);
            assert!(!line.contains(['\n', '\r']));
            let message: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(message["data"], serde_json::from_str::<Value>(data).unwrap());
            Delivery::Event { line }
        }
    };
    // Every message that a client may send fits into a line for the supervisor, which parses it to
    // the same delivery.
    let line =
        serde_json::to_string(&SupervisorRequest::Deliver { tag: u64::MAX, id: id.clone(), item }).unwrap();
    assert!(!line.contains('\n'));
    assert!(line.len() <= MAX_LINE_BYTES || text.len() > MAX_CLIENT_MESSAGE_BYTES);
    let SupervisorRequest::Deliver { id: parsed_id, .. } = serde_json::from_str(&line).unwrap() else {
        panic!("{line}")
    };
    assert_eq!(parsed_id, id);
    assert!(round_trips::<SupervisorRequest>(line.as_bytes()));
}

/// A document between server, spawner and supervisor is either rejected, or it stays the same when
/// it is parsed, written and parsed again.
pub fn documents(data: &[u8]) {
    round_trips::<SupervisorRequest>(data);
    round_trips::<SupervisorNotice>(data);
    round_trips::<SpawnerRequest>(data);
    round_trips::<SpawnerReady>(data);
    round_trips::<SupervisorIdentity>(data);
    round_trips::<RunSpec>(data);
    if let Ok(text) = std::str::from_utf8(data) {
        SupervisorIdentity::start_ticks(text);
    }
}

/// Whether `data` parses as a `T`. If so, asserts that writing and parsing the document preserves
/// it.
fn round_trips<T: Serialize + DeserializeOwned>(data: &[u8]) -> bool {
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
    use super::seeds::for_each_seed;

    #[test]
    fn the_seeds_violate_no_property() {
        for_each_seed("stream_message", super::stream_message);
        for_each_seed("control", super::documents);
    }
}
