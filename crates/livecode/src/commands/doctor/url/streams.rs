//! Checks of all kinds of streams at once, on one session.

use std::{
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use livecode_protocol::SessionId;

use super::{
    outcome::Outcome,
    program::SILENCE,
    remedies,
    stream::{StampedEvent, StreamEnd, StreamEvent, StreamKind, follow},
};
use crate::client::ServerClient;

/// The name of the finding about the upgrade to a websocket.
const WEBSOCKET: &str = "websocket";
/// The name of the finding about buffered output.
const STREAMING: &str = "streaming";
/// The name of the finding about silent programs.
pub const SILENT: &str = "silence";
/// How long the first line of a program that runs may take.
const FIRST_LINE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the line after the silence may take, beyond the silence.
const LAST_LINE_TIMEOUT: Duration = SILENCE.saturating_add(Duration::from_secs(30));

/// All streams of a session.
pub struct Streams {
    events: Receiver<StampedEvent>,
    streams: [Stream; StreamKind::ALL.len()],
}

/// The facts that are known about a stream.
struct Stream {
    kind: StreamKind,
    is_open: bool,
    /// When the line before the silence arrived.
    first_line_at: Option<Instant>,
    has_last_line: bool,
    end: Option<(Instant, StreamEnd)>,
}

impl Stream {
    fn new(kind: StreamKind) -> Self {
        Self { kind, is_open: false, first_line_at: None, has_last_line: false, end: None }
    }

    /// Whether the stream has carried nothing, and has not ended either.
    fn is_held_back(&self) -> bool {
        self.first_line_at.is_none() && self.end.is_none()
    }

    /// Whether this is a websocket that was not opened, which is a finding of its own.
    fn is_refused_websocket(&self) -> bool {
        self.kind == StreamKind::Websocket && !self.is_open
    }
}

impl Streams {
    /// Opens a stream of each kind, and waits until each has the line that the program has printed.
    /// The program still runs then.
    pub fn open(server: &ServerClient, id: SessionId) -> Self {
        let (sender, events) = channel();
        for kind in StreamKind::ALL {
            follow(server, id, kind, sender.clone());
        }
        let mut streams = Self { events, streams: StreamKind::ALL.map(Stream::new) };
        streams.receive_until(Instant::now() + FIRST_LINE_TIMEOUT, |stream| {
            stream.first_line_at.is_some() || stream.end.is_some()
        });
        streams
    }

    /// Waits until the program has printed its last line, or the streams have ended.
    pub fn await_last_lines(&mut self) {
        self.receive_until(Instant::now() + LAST_LINE_TIMEOUT, |stream| {
            stream.first_line_at.is_none() || stream.has_last_line || stream.end.is_some()
        });
    }

    /// Whether a connection is upgraded to a websocket.
    pub fn websocket(&self) -> Outcome {
        let find = |wanted: fn(&Stream) -> bool| self.streams.iter().find(|stream| wanted(stream));
        let end = match find(|stream| stream.kind == StreamKind::Websocket) {
            Some(stream) if stream.is_open => return Outcome::ok(WEBSOCKET, "connections are upgraded"),
            stream => stream.and_then(|stream| Some(&stream.end.as_ref()?.1)),
        };
        let reason = match end {
            Some(StreamEnd::Refused(reason) | StreamEnd::Cut(reason)) => reason,
            // A proxy that holds all answers back also holds the one to this request back.
            Some(StreamEnd::NoAnswer) if find(Stream::is_held_back).is_some() => {
                return Outcome::not_tried(
                    WEBSOCKET,
                    "there was no answer, nor to requests for other streams",
                );
            }
            _ => "there was no answer",
        };
        let found = format!("a connection is not upgraded: {reason}");
        Outcome::missing(WEBSOCKET, found, remedies::upgrade())
    }

    /// Whether output arrives while the program runs.
    pub fn streaming(&self) -> Outcome {
        let tried = || self.streams.iter().filter(|stream| !stream.is_refused_websocket());
        let problems: Vec<_> = tried()
            .filter(|stream| stream.first_line_at.is_none())
            .map(|stream| {
                let what = match &stream.end {
                    None => "the output of a running program is held back".to_owned(),
                    Some((_, StreamEnd::Refused(reason))) => format!("no answer: {reason}"),
                    Some((_, StreamEnd::NoAnswer)) => "no answer".to_owned(),
                    Some((_, StreamEnd::Cut(reason))) => format!("cut before the first line: {reason}"),
                    Some((_, StreamEnd::Finished(_))) => "ended without the program's output".to_owned(),
                };
                (stream.kind, what)
            })
            .collect();
        match per_kind(&problems) {
            None => {
                let kinds = list(tried().map(|stream| stream.kind));
                Outcome::ok(STREAMING, format!("output arrives while the program runs: {kinds}"))
            }
            Some(found) => Outcome::missing(STREAMING, found, remedies::buffering()),
        }
    }

    /// Whether the streams that carry output outlive the silence.
    pub fn silence(&self) -> Outcome {
        let tried: Vec<_> =
            self.streams.iter().filter_map(|stream| Some((stream, stream.first_line_at?))).collect();
        if tried.is_empty() {
            return Outcome::not_tried(SILENT, "no stream carries output");
        }
        let mut problems = vec![];
        for (stream, first_line_at) in &tried {
            match &stream.end {
                _ if stream.has_last_line => {}
                None | Some((_, StreamEnd::NoAnswer)) => {
                    problems.push((stream.kind, "nothing arrives after a silence".to_owned()));
                }
                Some((at, StreamEnd::Cut(reason) | StreamEnd::Refused(reason))) => {
                    let seconds = at.duration_since(*first_line_at).as_secs_f64();
                    let what = format!("cut off after {seconds:.0} s of silence ({reason})");
                    problems.push((stream.kind, what));
                }
                Some((_, StreamEnd::Finished(reason))) => {
                    let reason = reason.as_deref().unwrap_or("exited");
                    let why = format!("the server ended the silent program or its stream ({reason})");
                    return Outcome::not_tried(SILENT, why);
                }
            }
        }
        match per_kind(&problems) {
            None => {
                let kinds = list(tried.iter().map(|(stream, _)| stream.kind));
                let found = format!("streams outlive {} s of silence: {kinds}", SILENCE.as_secs());
                Outcome::ok(SILENT, found)
            }
            Some(found) => Outcome::missing(SILENT, found, remedies::silence()),
        }
    }

    /// Receives events until all streams are done, or until a time.
    fn receive_until(&mut self, deadline: Instant, is_done: impl Fn(&Stream) -> bool) {
        while !self.streams.iter().all(&is_done) {
            let remaining = deadline.saturating_duration_since(Instant::now());
            // An error means that the time is over, or that no stream is left.
            let Ok(StampedEvent { kind, at, event }) = self.events.recv_timeout(remaining) else { return };
            for stream in self.streams.iter_mut().filter(|stream| stream.kind == kind) {
                match &event {
                    StreamEvent::Opened => stream.is_open = true,
                    StreamEvent::FirstLine => stream.first_line_at = Some(at),
                    StreamEvent::LastLine => stream.has_last_line = true,
                    StreamEvent::Ended(end) => stream.end = Some((at, end.clone())),
                }
            }
        }
    }
}

/// Problems in one sentence, with the kinds of the streams that have the same problem together.
fn per_kind(problems: &[(StreamKind, String)]) -> Option<String> {
    let mut parts: Vec<String> = vec![];
    let mut told: Vec<&str> = vec![];
    for (_, what) in problems {
        if !told.contains(&&**what) {
            told.push(what);
            let kinds = problems.iter().filter(|(_, other)| other == what).map(|(kind, _)| *kind);
            parts.push(format!("{what}: {}", list(kinds)));
        }
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Names of kinds, as a list in words.
fn list(kinds: impl Iterator<Item = StreamKind>) -> String {
    let names: Vec<_> = kinds.map(|kind| kind.to_string()).collect();
    match &*names {
        [before @ .., last] if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        names => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_with_the_same_problem_are_named_together() {
        let problem = |kind, what: &str| (kind, what.to_owned());
        let [websocket, lines, events] = StreamKind::ALL;
        assert_eq!(per_kind(&[]), None);
        let problems = [problem(websocket, "cut"), problem(lines, "held"), problem(events, "cut")];
        let found = per_kind(&problems);
        assert_eq!(found.as_deref(), Some("cut: a websocket and server-sent events; held: JSON lines"));
        assert_eq!(list(StreamKind::ALL.into_iter()), "a websocket, JSON lines and server-sent events");
    }
}
