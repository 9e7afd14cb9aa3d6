//! Sessions: which there are, how each is reached, and how one is read. Knows nothing of HTTP.
//!
//! | module | what |
//! | --- | --- |
//! | `registry` | all sessions: create, find, list, forget, find again at start |
//! | `session` | one session: what is known of it, and the ways to it |
//! | `follower` | a reader of one session's journal |
//! | `store` | the data directory |
//! | `retention` | what is forgotten when |

mod follower;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod registry;
mod retention;
pub(crate) mod session;
pub(crate) mod store;

pub(crate) use crate::time::now_us;
pub use follower::{FollowError, Follower, Item};
pub use registry::{CreateError, ForgetError, IdempotencyKey, Registry, SessionSpec};
pub use session::{Session, SessionProgress};
pub(crate) use store::is_exhausted;
pub use store::{Store, StoreError};

/// Takes a data directory over, for the server that listens on `listen`.
///
/// # Errors
/// Where it cannot be used, or another server uses it.
pub fn lock(data_dir: &std::path::Path, listen: std::net::SocketAddr) -> Result<Store, StoreError> {
    Store::open(data_dir, listen)
}
