//! Stable, machine-readable codes for every error that a client can get.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The code of an error, in problem documents and in `error` messages of a stream (v0.2).
///
/// Clients decide by the code, never by the English text. A code keeps its meaning once it is
/// released; new codes may be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    // Problem documents, by HTTP status.
    /// 400: the body cannot be read or is not well-formed, or a header is malformed. The same
    /// request fails again.
    MalformedRequest,
    /// 400: the request is not a well-formed upgrade to a websocket. The same request fails again.
    InvalidUpgrade,
    /// 400: the `Idempotency-Key` is empty, too long, or has invisible characters. The same
    /// request fails again.
    InvalidIdempotencyKey,
    /// 400: a guest sent an `Idempotency-Key`, and neither a bearer token nor the server's cookie.
    /// The request succeeds with one of them.
    TokenRequired,
    /// 401: the server asks for a token, and the request has none, or none that is valid. The
    /// request succeeds with a valid one.
    Unauthorized,
    /// 403: the `Host` header names a host that this server does not answer for. The request
    /// succeeds only under one of the server's own names.
    WrongHost,
    /// 403: a page of an origin that the server does not allow has sent the request. The request
    /// succeeds from a page of another origin.
    OriginNotAllowed,
    /// 403: this caller may not use the resource. The same request fails again.
    Forbidden,
    /// 404: no route or file has this path. The same request fails again.
    NotFound,
    /// 404: the session does not exist, was deleted, or may not be used by this caller. The same
    /// request fails again.
    NoSuchSession,
    /// 404: the token does not exist, or was revoked. The same request fails again.
    NoSuchToken,
    /// 404: the share does not exist, has expired or was revoked, or its session is gone. The same
    /// request fails again.
    NoSuchShare,
    /// 404: the session has left no file with this name, or has not ended. The same request fails
    /// again once the session has ended.
    NoSuchFile,
    /// 404: the exercise does not exist, or was deleted. The same request fails until it is put.
    NoSuchExercise,
    /// 404: the server has no runtime with this name. The same request fails until an operator
    /// installs the runtime.
    NoSuchRuntime,
    /// 405: the resource does not support this method. The same request fails again.
    MethodNotAllowed,
    /// 408: the body did not arrive in time. A new request may succeed.
    BodyTimeout,
    /// 409: an earlier request with the same `Idempotency-Key` is still being processed. The same
    /// request succeeds in a moment.
    IdempotencyInProgress,
    /// 413: the body is larger than the server allows. The same request fails again.
    BodyTooLarge,
    /// 415: the `Content-Type` is not `application/json`. The same request fails again.
    UnsupportedMediaType,
    /// 422: a field, header or query parameter is wrong; `field` names it. The same request fails
    /// again.
    InvalidField,
    /// 422: the exercise fixes this field of the session; `field` names it. The request succeeds
    /// without the field.
    FixedByExercise,
    /// 422: a runtime on the server's disk is wrong, so the runtimes were not reloaded. The same
    /// request succeeds once an operator has corrected the file that the detail names.
    InvalidCatalogue,
    /// 422: the `Idempotency-Key` was used for a different request. The request needs a new key.
    IdempotencyKeyReused,
    /// 426: the request for a stream asks neither for a websocket nor for a media type that the
    /// server can send. The same request fails again.
    UpgradeRequired,
    /// 429: the owner has as many sessions as one owner may have. A new request succeeds after a
    /// session was deleted.
    TooManySessions,
    /// 429: the author has as many exercises as one may have, or as many bytes of them. A new
    /// request succeeds after an exercise was deleted.
    TooManyExercises,
    /// 429: the session has as many shares as one may have. A new request succeeds after a share
    /// was revoked.
    TooManyShares,
    /// 429: this user, or this address, has made and revoked too many shares lately. A later
    /// request succeeds (`Retry-After`).
    TooManyShareCreations,
    /// 429: this user, or this address, has used up a quota: the detail names it. A later request
    /// succeeds (`Retry-After`).
    QuotaExceeded,
    /// 429: this caller has named too many tokens, shares or sessions that do not exist. A request
    /// with a token and an id that exist succeeds, and one that opens a share later
    /// (`Retry-After`).
    TooManyGuesses,
    /// 429: the server has as many sessions as it may have. A later request may succeed.
    ServerFull,
    /// 500: the server failed, and has logged the cause. A later request may succeed.
    Internal,
    /// 500: the session's journal cannot be read or is damaged. The same request usually fails
    /// again.
    JournalUnreadable,
    /// 503: the processes of the session did not end in time, so the session was not deleted. A
    /// later request succeeds.
    SessionStillRunning,
    /// 503: the server is stopping and creates no sessions. The same request succeeds once a
    /// server runs again.
    ServerStopping,
    /// 503: the session would have to wait until it may run, and the queue has no place left for
    /// this client, or in all. The same request succeeds once others have ended.
    RunQueueFull,
    /// 503: the address of this client has as many connections as one address may have. The same
    /// request succeeds once some are closed.
    TooManyConnections,
    /// 503: the server has no file descriptors or memory left, or cannot keep a websocket open
    /// now. The same request may succeed in a moment.
    OutOfResources,
    /// 503: the server holds as many bytes of bodies, messages and answers as it may, in all or
    /// for the address of this caller. The same request may succeed in a moment.
    HeldBytesFull,
    /// 507: the disk of the server is full or nearly full. A request succeeds after space was
    /// freed, for example by deleting sessions.
    DiskFull,
    /// 507: part of the results of tests could not be kept, because the disk was full. A new
    /// request may succeed.
    ResultsIncomplete,

    // Messages of a stream.
    /// The message is not a JSON object with a `msgtype` in a text frame. The same message fails
    /// again.
    MalformedMessage,
    /// The `msgtype` is unknown. The same message fails again.
    UnknownMessageType,
    /// A field of the message is missing or wrong. The same message fails again.
    InvalidMessage,
    /// The `msgtype` is known, but this kind of stream does not support it. The same message fails
    /// again.
    NotSupportedHere,
    /// The program has ended and takes no more messages. The same message fails again.
    ProgramEnded,
    /// The program's standard input or message channel is closed. The same message fails again.
    InputClosed,
    /// A queue on the way to the program is full, and the message was not taken. The same message,
    /// with the same `id`, may succeed in a moment.
    QueueFull,
    /// Another message was delivered under this `id`. The message needs a new `id`.
    DeliveryIdConflict,
    /// The connection to the program's supervisor broke, and it is unknown whether the message
    /// arrived. The server sends a message with an `id` again by itself; without one, sending it
    /// again may deliver it twice.
    DeliveryUnknown,
    /// The message was refused for a reason without a code: the session is run by a supervisor of
    /// an older or newer version. A reader also gets this value for a code that it does not know.
    // `serde(other)` lets an older reader read the codes of a newer writer.
    #[default]
    #[serde(other)]
    Refused,
}

impl ErrorCode {
    /// The code as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformed_request",
            Self::InvalidUpgrade => "invalid_upgrade",
            Self::InvalidIdempotencyKey => "invalid_idempotency_key",
            Self::TokenRequired => "token_required",
            Self::Unauthorized => "unauthorized",
            Self::WrongHost => "wrong_host",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::NoSuchSession => "no_such_session",
            Self::NoSuchToken => "no_such_token",
            Self::NoSuchShare => "no_such_share",
            Self::NoSuchFile => "no_such_file",
            Self::NoSuchExercise => "no_such_exercise",
            Self::NoSuchRuntime => "no_such_runtime",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTimeout => "body_timeout",
            Self::IdempotencyInProgress => "idempotency_in_progress",
            Self::BodyTooLarge => "body_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::InvalidField => "invalid_field",
            Self::FixedByExercise => "fixed_by_exercise",
            Self::InvalidCatalogue => "invalid_catalogue",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::UpgradeRequired => "upgrade_required",
            Self::TooManySessions => "too_many_sessions",
            Self::TooManyExercises => "too_many_exercises",
            Self::TooManyShares => "too_many_shares",
            Self::TooManyShareCreations => "too_many_share_creations",
            Self::QuotaExceeded => "quota_exceeded",
            Self::TooManyGuesses => "too_many_guesses",
            Self::ServerFull => "server_full",
            Self::Internal => "internal",
            Self::JournalUnreadable => "journal_unreadable",
            Self::SessionStillRunning => "session_still_running",
            Self::ServerStopping => "server_stopping",
            Self::RunQueueFull => "run_queue_full",
            Self::TooManyConnections => "too_many_connections",
            Self::OutOfResources => "out_of_resources",
            Self::HeldBytesFull => "held_bytes_full",
            Self::DiskFull => "disk_full",
            Self::ResultsIncomplete => "results_incomplete",
            Self::MalformedMessage => "malformed_message",
            Self::UnknownMessageType => "unknown_message_type",
            Self::InvalidMessage => "invalid_message",
            Self::NotSupportedHere => "not_supported_here",
            Self::ProgramEnded => "program_ended",
            Self::InputClosed => "input_closed",
            Self::QueueFull => "queue_full",
            Self::DeliveryIdConflict => "delivery_id_conflict",
            Self::DeliveryUnknown => "delivery_unknown",
            Self::Refused => "refused",
        }
    }
}

/// Why a delivery was refused: the program will not get it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct DeliveryRefused {
    /// The reason, for programs.
    pub code: ErrorCode,
    /// The reason, as a sentence for people.
    pub error: String,
}

impl DeliveryRefused {
    /// A refusal with its two forms of the reason.
    pub fn new(code: ErrorCode, error: impl Into<String>) -> Self {
        Self { code, error: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use utoipa::PartialSchema as _;

    use super::*;

    /// All codes, as the OpenAPI document lists them.
    fn all_codes() -> Vec<String> {
        let schema = serde_json::to_value(ErrorCode::schema()).unwrap();
        schema["enum"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_code_is_written_and_read_as_the_same_text() {
        for code in all_codes() {
            let read: ErrorCode = serde_json::from_value(Value::String(code.clone())).unwrap();
            assert_eq!(read.as_str(), code);
            assert_eq!(serde_json::to_value(read).unwrap(), code);
        }
    }

    #[test]
    fn an_unknown_code_is_read_as_refused() {
        let read: ErrorCode = serde_json::from_str(r#""a_code_of_the_future""#).unwrap();
        assert_eq!(read, ErrorCode::Refused);
    }

    #[test]
    fn the_protocol_document_lists_exactly_these_codes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
        let document = std::fs::read_to_string(path).unwrap();
        let section = document.split("\n## ").find(|section| section.starts_with("Error codes")).unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let listed: Vec<_> = rows.map(|(code, _)| code.to_owned()).collect();
        let distinct: BTreeSet<_> = listed.iter().cloned().collect();
        assert_eq!(distinct.len(), listed.len(), "a code is listed twice");
        assert_eq!(distinct, all_codes().into_iter().collect());
    }
}
