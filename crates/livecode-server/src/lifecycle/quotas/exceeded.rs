//! A quota that is used up, in words.

use livecode_protocol::quota::{QuotaName, QuotaScope};

/// A quota has been used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; {}", self.words(), self.when())]
pub struct QuotaExceeded {
    /// The quota.
    pub quota: QuotaName,
    /// For whom it counts.
    pub scope: QuotaScope,
    /// Its value.
    pub limit: u64,
    /// Seconds after which there is something left of it again.
    pub retry_after_s: u64,
}

impl QuotaExceeded {
    fn words(&self) -> String {
        let limit = self.limit;
        let (who, programs) = match self.scope {
            QuotaScope::Token => ("with this token you", "programs of this token"),
            QuotaScope::User | QuotaScope::Address => ("you", "your programs"),
        };
        match self.quota {
            QuotaName::CreationsPerMin => format!("{who} may create {limit} sessions in a minute"),
            QuotaName::CpuMsPerDay => {
                format!("{programs} may use {limit} ms of CPU time in a day, and have used it")
            }
            QuotaName::OutputBytesPerDay => {
                format!("{programs} may write {limit} bytes in a day, and have written them")
            }
            // These are never exceeded, unless they are 0: sessions wait, are refused by the queue, or
            // are forgotten.
            QuotaName::SessionsRunningMax | QuotaName::SessionsQueuedMax | QuotaName::KeptBytesMax => {
                format!("{who} may have no more than {limit}")
            }
        }
    }

    fn when(&self) -> String {
        match self.quota {
            QuotaName::CpuMsPerDay | QuotaName::OutputBytesPerDay => {
                "the next day begins at 0:00 UTC".to_owned()
            }
            // No passing of time gives anything.
            _ if self.limit == 0 => "your credential allows none".to_owned(),
            _ => format!("try again in {} s", self.retry_after_s),
        }
    }
}
