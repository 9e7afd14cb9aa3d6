//! The audit: who did what, when, and from where.

use sqlx::{QueryBuilder, Sqlite};

use crate::store::{ControlStore, ControlStoreError};

/// Rows that one statement inserts. A row has eight values, and SQLite takes 32,766 in a statement.
const ROWS_PER_STATEMENT: usize = 500;

/// How much of the audit is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditKeep {
    /// Only actions since this time, in microseconds since the epoch.
    pub since_us: u64,
    /// At most so many actions: the latest. `None` leaves them uncounted, since counting takes time
    /// in proportion to the number of actions.
    pub rows_max: Option<u64>,
}

/// An action of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedAction {
    /// When it was done, in microseconds since the epoch; if it was repeated, for the first time.
    pub time_us: u64,
    /// How often the caller has done the same from then on, within a few seconds.
    pub times: u64,
    /// The name of the action.
    pub action: String,
    /// The caller, in a form that the server chooses.
    pub actor: String,
    /// The credential by which the caller was known.
    pub credential: Option<String>,
    /// The session that it was done with.
    pub session: Option<String>,
    /// Another thing that it was done with, such as the id of a token.
    pub subject: Option<String>,
    /// The network address from which it was done.
    pub client: Option<String>,
}

/// The actions that are asked for. All conditions must hold.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only those of this caller.
    pub actor: Option<String>,
    /// Only those with this session.
    pub session: Option<String>,
    /// Only those since this time, in microseconds since the epoch.
    pub since_us: u64,
    /// At most so many: the latest.
    pub max: u64,
}

type AuditRow = (i64, i64, String, String, Option<String>, Option<String>, Option<String>, Option<String>);

impl ControlStore {
    /// Adds actions to the audit, all at once, and forgets those that are not to be kept, the oldest
    /// first.
    ///
    /// # Errors
    /// If the store fails. Nothing has then changed.
    pub async fn add_to_audit(
        &self,
        actions: &[AuditedAction],
        keep: AuditKeep,
    ) -> Result<(), ControlStoreError> {
        let mut transaction = self.counting.begin().await?;
        for actions in actions.chunks(ROWS_PER_STATEMENT) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT INTO audit (time_us, times, action, actor, credential, session, subject, client) ",
            );
            query.push_values(actions, |mut row, action| {
                row.push_bind(stored(action.time_us))
                    .push_bind(stored(action.times))
                    .push_bind(&action.action)
                    .push_bind(&action.actor)
                    .push_bind(&action.credential)
                    .push_bind(&action.session)
                    .push_bind(&action.subject)
                    .push_bind(&action.client);
            });
            query.build().execute(&mut *transaction).await?;
        }
        sqlx::query("DELETE FROM audit WHERE time_us < $1")
            .bind(stored(keep.since_us))
            .execute(&mut *transaction)
            .await?;
        if let Some(rows_max) = keep.rows_max {
            // The subquery finds the latest of the actions that are too many.
            sqlx::query(
                "DELETE FROM audit WHERE time_us <= \
                 (SELECT time_us FROM audit ORDER BY time_us DESC LIMIT 1 OFFSET $1)",
            )
            .bind(stored(rows_max))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Actions of the audit, the latest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditedAction>, ControlStoreError> {
        let rows: Vec<AuditRow> = sqlx::query_as(
            "SELECT time_us, times, action, actor, credential, session, subject, client FROM audit \
             WHERE time_us >= $1 AND ($2 IS NULL OR actor = $2) AND ($3 IS NULL OR session = $3) \
             ORDER BY time_us DESC LIMIT $4",
        )
        .bind(stored(filter.since_us))
        .bind(&filter.actor)
        .bind(&filter.session)
        .bind(stored(filter.max))
        .fetch_all(&self.pool)
        .await?;
        let actions =
            rows.into_iter().map(|(time_us, times, action, actor, credential, session, subject, client)| {
                AuditedAction {
                    time_us: time_us.cast_unsigned(),
                    times: times.cast_unsigned(),
                    action,
                    actor,
                    credential,
                    session,
                    subject,
                    client,
                }
            });
        Ok(actions.collect())
    }
}

/// A number as the database has it. Databases have no unsigned numbers.
pub(crate) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
