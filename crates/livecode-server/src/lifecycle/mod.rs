//! All sessions of a server: how they are created, found, recovered at start, deleted and
//! retained.
//!
//! This module uses `runner`, which drives one session, and `sessions`, which holds its data. It
//! does not depend on HTTP.
//!
//! | module | content |
//! | --- | --- |
//! | `registry` | all sessions: find, list, recover, delete |
//! | `admission` | whether new sessions are taken now |
//! | `create` | the creation of a session, once per idempotency key |
//! | `retention` | when ended sessions are trimmed and deleted |
//! | `table` | the maps and counters of the registry, behind one lock |
//! | `disk_limits` | how much of the disk ended sessions may take |
//! | `disk_turns` | how many files of one payer's sessions are written at once |
//! | `lists` | the lists of sessions, newest first |
//! | `kept` | ended sessions, by age and by who is charged for them |
//! | `session_log` | the lines of the log for each session |
//! | `slots` | numbers unique among living sessions |
//! | `quotas` | how much a payer may ask for in a minute and use in a day |
//! | `refusals` | the log of refused creations |
//! | `error` | why a session could not be created or deleted |

mod admission;
mod create;
mod disk_limits;
mod disk_turns;
mod error;
mod kept;
mod lists;
mod quotas;
mod refusals;
mod registry;
mod retention;
mod session_log;
mod slots;
mod table;

pub(crate) use admission::{HealthCode, HealthReason};
pub use create::SessionSpec;
pub use error::{CreateError, DeleteError};
pub use lists::{ListKey, ListScope};
pub use quotas::{QuotaExceeded, QuotaUse, Quotas, store_key_of_token};
pub use registry::Registry;

#[cfg(test)]
mod tests;
