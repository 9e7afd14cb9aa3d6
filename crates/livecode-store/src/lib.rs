//! The control store: what a server knows besides its sessions, in a database that survives the
//! death of the server at any moment. Today these are the users' tokens, the links by which
//! sessions are shared, exercises, the key that signs tickets, what payers have used today, and
//! the audit.
//!
//! The database is SQLite, a file in the data directory. The SQL here keeps to what PostgreSQL
//! knows, too.

mod audit;
mod exercises;
mod hex;
mod keys;
mod purge;
mod secret;
mod shares;
mod store;
mod tokens;
mod usage;

pub use audit::{AuditFilter, AuditKeep, AuditedAction};
pub use exercises::{ExerciseBounds, ExerciseScope, NewExercise, PutExercise, StoredExercise};
pub use keys::SIGNING_KEY_BYTES;
pub use purge::{PurgedRows, UserKeys};
pub use shares::{MalformedShareSecret, NewShare, Share, ShareKey, ShareSecret};
pub use store::{ControlStore, ControlStoreError};
pub use tokens::{MalformedUserName, NewToken, Token, TokenKey, TokenListKey, TokenSecret, UserName};
pub use usage::DayUsage;
