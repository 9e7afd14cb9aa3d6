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
    /// The maker of its shares, as in [`crate::Share::maker`].
    pub maker: String,
    /// The user of its tokens; `None` for a user who has none.
    pub name: Option<UserName>,
}

/// The rows of a user that were deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgedRows {
    /// The ids of its tokens, with those that were revoked.
    pub tokens: Vec<String>,
    /// The number of its actions in the audit, and of those of others with its sessions and tokens.
    pub audit: u64,
    /// The number of days of usage.
    pub usage: u64,
    /// Whether the database's files may still have copies of these rows, because somebody was
    /// reading them.
    pub has_copies: bool,
}

/// The actor of actions that a purged user, an admin, has done with what is others'.
const PURGED_ACTOR: &str = "purged";

impl ControlStore {
    /// Deletes all that the store has of a user and of its `sessions`, all at once, and leaves no
    /// copy of it in the database's files, unless somebody reads them. Actions that the user has
    /// done with what is others' stay, without the user.
    ///
    /// # Errors
    /// If the store fails. Nothing has then changed.
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
        // Sessions that were forgotten are known by their creation alone, and exercises that were
        // deleted by having been put first.
        audit += sqlx::query(
            "DELETE FROM audit WHERE \
             session IN (SELECT session FROM audit WHERE actor = $1 AND action = 'session_created') \
             OR (action NOT LIKE 'exercise!_%' ESCAPE '!' \
             AND subject IN (SELECT id FROM tokens WHERE user_name = $2)) \
             OR (action LIKE 'exercise!_%' ESCAPE '!' \
             AND (subject IN (SELECT id FROM exercises WHERE owner = $1) \
             OR subject IN (SELECT subject FROM (SELECT subject, actor, MIN(time_us) FROM audit \
             WHERE action = 'exercise_put' GROUP BY subject) WHERE actor = $1 \
             AND subject NOT IN (SELECT id FROM exercises))))",
        )
        .bind(&user.actor)
        .bind(user.name.as_ref().map(UserName::as_str))
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        // The actions of an admin with others' sessions, tokens, exercises and data stay, for the
        // others. An exercise that is gone is another's if another caller has put it.
        sqlx::query(
            "UPDATE audit SET actor = $2, credential = NULL, client = NULL WHERE actor = $1 AND ( \
             session IN (SELECT session FROM audit WHERE actor <> $1 AND action = 'session_created') \
             OR (session IS NULL AND action NOT LIKE 'exercise!_%' ESCAPE '!' \
             AND subject IN (SELECT id FROM tokens WHERE user_name <> $3)) \
             OR (action LIKE 'exercise!_%' ESCAPE '!' AND ( \
             subject IN (SELECT id FROM exercises) OR subject IN \
             (SELECT subject FROM audit WHERE actor <> $1 AND action = 'exercise_put'))) \
             OR action = 'user_purged')",
        )
        .bind(&user.actor)
        .bind(PURGED_ACTOR)
        .bind(user.name.as_ref().map_or("", UserName::as_str))
        .execute(&mut *transaction)
        .await?;
        audit += sqlx::query("DELETE FROM audit WHERE actor = $1")
            .bind(&user.actor)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        sqlx::query("DELETE FROM shares WHERE maker = $1")
            .bind(&user.maker)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "UPDATE exercise_versions SET deleted_max = \
             MAX(deleted_max, COALESCE((SELECT MAX(version) FROM exercises WHERE owner = $1), 0))",
        )
        .bind(&user.actor)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM exercises WHERE owner = $1")
            .bind(&user.actor)
            .execute(&mut *transaction)
            .await?;
        let of_tokens = sqlx::query(
            "DELETE FROM usage WHERE payer IN (SELECT '{\"token\":\"' || id || '\"}' FROM tokens WHERE user_name = $1)",
        )
        .bind(user.name.as_ref().map(UserName::as_str))
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        let tokens = sqlx::query_scalar("DELETE FROM tokens WHERE user_name = $1 RETURNING id")
            .bind(user.name.as_ref().map(UserName::as_str))
            .fetch_all(&mut *transaction)
            .await?;
        let usage = sqlx::query("DELETE FROM usage WHERE payer = $1")
            .bind(&user.payer)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        transaction.commit().await?;
        // The rows are gone, whether or not copies are left.
        let has_copies = !self.forget_deleted().await.unwrap_or(false);
        Ok(PurgedRows { tokens, audit, usage: usage + of_tokens, has_copies })
    }
}
