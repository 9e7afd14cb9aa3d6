//! How a session ended, in words that a beginner understands. All of these words are here. They are
//! made when somebody asks for them, and are stored nowhere.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Outcome;

/// A limit of a session. The unit of its value stands in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// Wall-clock time of the session, as the request's `timeout`.
    WallMs,
    /// Time in which neither the program nor a client did anything.
    IdleMs,
    /// CPU time.
    CpuMs,
    /// Memory.
    MemoryBytes,
    /// Output that is kept.
    OutputBytes,
    /// Room on the server's disk that the output may take while the disk is nearly full.
    DiskShareBytes,
}

impl LimitName {
    /// The outcome of a session that reaches this limit.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::WallMs | Self::IdleMs => Outcome::Timeout,
            Self::CpuMs => Outcome::Cpu,
            Self::MemoryBytes => Outcome::Memory,
            Self::OutputBytes | Self::DiskShareBytes => Outcome::Output,
        }
    }
}

/// The limit that ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReachedLimit {
    /// The name of the limit.
    pub name: LimitName,
    /// The value of the limit, in the unit of its name.
    #[schema(example = 10000)]
    pub value: u64,
    /// Whether the program was still being compiled; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compiling: bool,
}

/// Says in words how a session ended, for the author of its program. `limit` is the limit that
/// ended it, if that is known: closing entries of earlier versions do not tell it.
pub fn describe_end(outcome: Outcome, exitstatus: i32, limit: Option<&ReachedLimit>) -> String {
    match (outcome, limit) {
        (Outcome::Exited, _) => describe_exit(exitstatus),
        (Outcome::Signalled, _) => describe_signal(exitstatus - 128),
        (Outcome::CompileFailed, _) => {
            "The program could not be compiled, so it was not run. The compiler's messages in the \
            output tell why."
                .into()
        }
        (Outcome::Cancelled, _) => {
            "The program was stopped, since its session was cancelled or deleted.".into()
        }
        (Outcome::Lost, _) => {
            "The program could not be run to its end, since a part of the server or its machine \
            failed. That is no mistake of the program: run it again."
                .into()
        }
        (_, Some(limit)) if limit.name.outcome() == outcome => describe_limit(limit),
        (Outcome::Timeout, _) => "The time that the program had for its start and its run was up.".into(),
        (Outcome::Cpu, _) => {
            "The program used more processor time than it may: is there a loop that never ends?".into()
        }
        (Outcome::Memory, _) => {
            "The program used more memory than it may: does a list or a text grow without end?".into()
        }
        (Outcome::Output, _) => {
            "The program printed more than it may: is there a loop that prints without end?".into()
        }
    }
}

fn describe_exit(exitstatus: i32) -> String {
    match exitstatus {
        0 => "The program ran to its end.".into(),
        status => format!(
            "The program ended with exit status {status}. Any status but 0 says that something went wrong; the \
             last lines of the output often tell what."
        ),
    }
}

fn describe_limit(limit: &ReachedLimit) -> String {
    let subject = if limit.compiling { "Compiling the program" } else { "The program" };
    let value = match limit.name {
        LimitName::WallMs | LimitName::IdleMs | LimitName::CpuMs => duration(limit.value),
        LimitName::MemoryBytes | LimitName::OutputBytes | LimitName::DiskShareBytes => size(limit.value),
    };
    let question = |question| if limit.compiling { "." } else { question };
    match limit.name {
        LimitName::WallMs => {
            let why = question(": does it wait for something, or is there a loop that never ends?");
            format!("{subject} took longer than {value}{why}")
        }
        LimitName::IdleMs => {
            format!("For {value} the program printed nothing and got no input, so it was stopped.")
        }
        LimitName::CpuMs => {
            let why = question(": is there a loop that never ends?");
            format!("{subject} used more than {value} of processor time{why}")
        }
        LimitName::MemoryBytes => {
            let why = question(": does a list or a text grow without end, or does a function call itself?");
            format!("{subject} used more than {value} of memory{why}")
        }
        LimitName::OutputBytes => {
            let why = question(": is there a loop that prints without end?");
            format!("{subject} printed more than {value}{why}")
        }
        LimitName::DiskShareBytes => format!(
            "{subject} printed {value}, which is more than its share of the server's disk, which is nearly full."
        ),
    }
}

/// Says what a signal that has killed a program means (signal(7)).
fn describe_signal(signal: i32) -> String {
    let (name, meaning) = match signal {
        2 => ("SIGINT", "it was interrupted, as by Ctrl-C"),
        4 => ("SIGILL", "it ran into an instruction that the processor does not know"),
        5 => ("SIGTRAP", "it ran into a trap, which some languages set for errors"),
        6 => ("SIGABRT", "it gave up after an error that it or its language had found"),
        7 => ("SIGBUS", "it used memory in a way that is not possible: look at its pointers"),
        8 => ("SIGFPE", "it calculated what is not possible: does it divide a whole number by zero?"),
        9 => ("SIGKILL", "it was stopped at once"),
        11 => {
            let meaning = "it used memory that is not its own: look at its pointers and at the indexes of its \
                arrays, and for functions that call themselves without end";
            ("SIGSEGV", meaning)
        }
        13 => ("SIGPIPE", "it wrote to somebody who did not read any more"),
        14 => ("SIGALRM", "the time was up that it had set for itself"),
        15 => ("SIGTERM", "it was asked to end"),
        25 => ("SIGXFSZ", "it wrote a file that is larger than allowed"),
        31 => ("SIGSYS", "it asked the system for something that no program may do here"),
        _ => return format!("The program was ended by signal {signal}."),
    };
    format!("The program was ended by signal {signal} ({name}): {meaning}.").replace("?.", "?")
}

/// A time in words: whole hours or minutes, or else seconds or milliseconds.
fn duration(ms: u64) -> String {
    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    match ms {
        _ if ms >= HOUR && ms.is_multiple_of(HOUR) => counted(ms / HOUR, "hour"),
        _ if ms >= 2 * MINUTE && ms.is_multiple_of(MINUTE) => counted(ms / MINUTE, "minute"),
        _ if ms >= SECOND && ms.is_multiple_of(SECOND) => counted(ms / SECOND, "second"),
        _ if ms >= SECOND => {
            let fraction = format!("{:03}", ms % SECOND);
            format!("{}.{} seconds", ms / SECOND, fraction.trim_end_matches('0'))
        }
        _ => counted(ms, "millisecond"),
    }
}

/// A number of bytes in words, in the largest unit that gives a whole number, or else one with a
/// digit after the point.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return counted(bytes, "byte");
    };
    match bytes % unit {
        0 => format!("{} {name}", bytes / unit),
        rest => format!("{}.{} {name}", bytes / unit, u128::from(rest) * 10 / u128::from(unit)),
    }
}

fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTCOMES: [Outcome; 9] = [
        Outcome::Exited,
        Outcome::Signalled,
        Outcome::CompileFailed,
        Outcome::Timeout,
        Outcome::Cpu,
        Outcome::Memory,
        Outcome::Output,
        Outcome::Cancelled,
        Outcome::Lost,
    ];
    const LIMITS: [LimitName; 6] = [
        LimitName::WallMs,
        LimitName::IdleMs,
        LimitName::CpuMs,
        LimitName::MemoryBytes,
        LimitName::OutputBytes,
        LimitName::DiskShareBytes,
    ];

    #[test]
    fn each_end_is_whole_sentences_on_one_line() {
        let mut texts = vec![];
        for outcome in OUTCOMES {
            texts.push(describe_end(outcome, outcome.exitstatus().unwrap_or(3), None));
        }
        for name in LIMITS {
            for compiling in [false, true] {
                let limit = ReachedLimit { name, value: 3000, compiling };
                texts.push(describe_end(name.outcome(), 137, Some(&limit)));
            }
        }
        texts.extend((1..64).map(|signal| describe_end(Outcome::Signalled, 128 + signal, None)));
        for text in texts {
            let has_end = text.ends_with('.') || text.ends_with('?');
            assert!(has_end && text.starts_with(|first: char| first.is_ascii_uppercase()), "{text}");
            assert!(!text.contains(['\n', '\t']) && !text.contains("  ") && text.len() <= 250, "{text}");
        }
    }

    #[test]
    fn the_limit_is_named_with_its_value() {
        for (name, value, expected) in [
            (LimitName::CpuMs, 10_000, "used more than 10 seconds of processor time: is there a loop"),
            (LimitName::WallMs, 1, "took longer than 1 millisecond:"),
            (LimitName::WallMs, 1500, "took longer than 1.5 seconds:"),
            (LimitName::WallMs, 600_000, "took longer than 10 minutes:"),
            (LimitName::WallMs, 3_600_000, "took longer than 1 hour:"),
            (LimitName::IdleMs, 60_000, "For 60 seconds the program printed nothing"),
            (LimitName::MemoryBytes, 256 << 20, "used more than 256 MiB of memory:"),
            (LimitName::MemoryBytes, (3 << 30) / 2, "used more than 1.5 GiB of memory:"),
            (LimitName::OutputBytes, 32, "printed more than 32 bytes:"),
            (LimitName::OutputBytes, u64::MAX, "printed more than 17179869183.9 GiB:"),
        ] {
            let limit = ReachedLimit { name, value, compiling: false };
            let text = describe_end(name.outcome(), 137, Some(&limit));
            assert!(text.contains(expected), "{text}");
        }
        let limit = ReachedLimit { name: LimitName::CpuMs, value: 2000, compiling: true };
        let text = describe_end(Outcome::Cpu, 152, Some(&limit));
        assert_eq!(text, "Compiling the program used more than 2 seconds of processor time.");
    }

    #[test]
    fn the_name_of_a_limit_is_written_with_its_unit() {
        let limit = ReachedLimit { name: LimitName::CpuMs, value: 10_000, compiling: false };
        assert_eq!(serde_json::to_string(&limit).unwrap(), r#"{"name":"cpu_ms","value":10000}"#);
    }
}
