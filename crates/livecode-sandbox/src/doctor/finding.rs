//! One result of the examination, with its remedies.

/// How well something can be enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is enforced as promised.
    Ok,
    /// The next best means is used.
    Degraded,
    /// It cannot be enforced.
    Missing,
}

/// A way to improve a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// The remedy in words.
    pub what: String,
    /// The command that applies it, if there is one.
    pub command: Option<String>,
}

/// One thing that was examined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name, in a word or two.
    pub name: &'static str,
    /// How well it can be enforced.
    pub verdict: Verdict,
    /// The result in words.
    pub found: String,
    /// Ways to improve it.
    pub remedies: Vec<Remedy>,
}

impl Finding {
    /// The finding and its first remedy in one sentence, for the error of a server that cannot
    /// start.
    pub fn sentence(&self) -> String {
        let mut sentence = format!("{}: {}", self.name, self.found);
        if let Some(Remedy { what, command }) = self.remedies.first() {
            sentence += &format!("; {what}");
            if let Some(command) = command {
                sentence += &format!(": {command}");
            }
        }
        sentence
    }

    pub(super) fn new(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { name, verdict, found: found.into(), remedies: vec![] }
    }

    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, found)
    }

    /// Adds a remedy, unless the verdict is [`Verdict::Ok`]. An empty `command` stands for none.
    pub(super) fn with_remedy(mut self, what: &str, command: &str) -> Self {
        if self.verdict != Verdict::Ok {
            let command = (!command.is_empty()).then(|| command.to_owned());
            self.remedies.push(Remedy { what: what.to_owned(), command });
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ok_finding_gets_no_remedy() {
        assert!(Finding::ok("x", "y").with_remedy("do", "this").remedies.is_empty());
        let finding = Finding::new("x", Verdict::Degraded, "y");
        let remedies = finding.with_remedy("do", "this").with_remedy("or that", "").remedies;
        assert_eq!(remedies.len(), 2);
        assert_eq!(remedies[1].command, None);
    }
}
