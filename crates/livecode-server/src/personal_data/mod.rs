//! The data that the server has of one user: handed out, or deleted.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `export` | what a user is handed out, and in which form |
//! | `purge` | what is deleted, in which order, with or without a server |

mod export;
mod purge;

use livecode_store::UserKeys;

pub(crate) use self::purge::Purge;
pub use self::{
    export::{ExportError, ExportReport, export_user},
    purge::{PurgeError, purge_user_offline},
};
use crate::auth::{Owner, Payer, UserId};

/// The names that the control store has for a user.
fn keys_of(user: &UserId) -> UserKeys {
    UserKeys {
        actor: Owner::User(user.clone()).audit_name(),
        maker: Owner::User(user.clone()).to_string(),
        // Serialising plain data cannot fail.
        payer: serde_json::to_string(&Payer::of_user(user)).unwrap_or_default(),
        name: match user {
            UserId::Name(name) => Some(name.clone()),
            UserId::Subject(_) => None,
        },
    }
}
