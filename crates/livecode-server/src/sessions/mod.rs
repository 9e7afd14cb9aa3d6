//! One session: its folder on disk, its state in memory, and the readers of its journal.
//!
//! Nothing here knows of HTTP or of how a session is run. All sessions together are in
//! `lifecycle`.
//!
//! | module | content |
//! | --- | --- |
//! | `session` | the state of one session in memory, and the channels to its driver |
//! | `progress` | how far a session is, and how it ended |
//! | `record` | what the server stores of a session as `session.json` |
//! | `store` | the data directory |
//! | `ended` | the progress of an ended session, read from its journal |
//! | `follower` | a reader of one session's journal |
//! | `skip` | a follower's way to a late entry of a long journal |
//! | `seen_points` | places in a journal without an index that skips have seen |
//! | `blocking` | work that may block, off the threads that serve |
//! | `waiting_roots` | the roots of sessions that wait to run |
//! | `exhausted` | errors that mean a lack of resources |

pub(crate) mod blocking;
pub(crate) mod ended;
pub(crate) mod exhausted;
mod follower;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod seen_points;
pub(crate) mod session;
pub(crate) mod skip;
pub(crate) mod store;
pub(crate) mod waiting_roots;

pub(crate) use exhausted::{is_disk_full, is_exhausted};
pub use follower::{Batch, FollowError, Follower, Item};
pub use progress::{SessionEnd, SessionProgress};
pub use record::IdempotencyKey;
pub(crate) use record::SessionRecord;
pub use session::Session;
pub(crate) use store::read_record;
pub use store::{Store, StoreError, is_data_dir_taken};
