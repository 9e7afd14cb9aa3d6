//! Deletes what the store has of one user.

use crate::{
    store::{ControlStore, ControlStoreError},
    tokens::UserName,
};

/// A user, by all names that the tables have for it.
#[derive(Clone, Debug)]
pub struct UserKeys {
    /// The caller of its actions, as in [`crate::AuditedAction::actor`].
    pub actor: String,
    /// The payer of its usage, as in [`crate::DayUsage::payer`].
    pub payer: String,
    /// The user of its tokens; `None` for a user who has none.
    pub name: Option<UserName>,
}

/// How many rows of a user were deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgedRows {
    /// Its tokens, with those that were revoked.
    pub tokens: u64,
    /// Its actions in the audit, and those of others with its sessions and tokens.
    pub audit: u64,
    /// Days of usage.
    pub usage: u64,
}

impl ControlStore {
    /// Deletes all that the store has of a user and of its `sessions`, all at once, and leaves no
    /// copy of it in the database's files.
    ///
    /// # Errors
    /// If the store fails. Nothing has then changed, or only a copy is left.
    pub async fn purge_user(
        &self,
        user: &UserKeys,
        sessions: &[String],
    ) -> Result<PurgedRows, ControlStoreError> {
        let mut transaction = self.pool.begin().await?;
        let mut audit = 0;
        for session in sessions {
            sqlx::query("DELETE FROM shares WHERE session = $1")
                .bind(session)
                .execute(&mut *transaction)
                .await?;
            audit += sqlx::query("DELETE FROM audit WHERE session = $1")
                .bind(session)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
        }
        // Sessions that were forgotten are known by their creation alone.
        audit += sqlx::query(
            "DELETE FROM audit WHERE actor = $1 \
             OR session IN (SELECT session FROM audit WHERE actor = $1 AND action = 'session_created') \
             OR subject IN (SELECT id FROM tokens WHERE user_name = $2)",
        )
        .bind(&user.actor)
        .bind(user.name.as_ref().map(UserName::as_str))
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        let of_tokens = sqlx::query(
            "DELETE FROM usage WHERE payer IN (SELECT '{\"token\":\"' || id || '\"}' FROM tokens WHERE user_name = $1)",
        )
        .bind(user.name.as_ref().map(UserName::as_str))
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        let tokens = sqlx::query("DELETE FROM tokens WHERE user_name = $1")
            .bind(user.name.as_ref().map(UserName::as_str))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        let usage = sqlx::query("DELETE FROM usage WHERE payer = $1")
            .bind(&user.payer)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        transaction.commit().await?;
        self.forget_deleted().await?;
        Ok(PurgedRows { tokens, audit, usage: usage + of_tokens })
    }
}
