//! Exercises: what teachers keep on the server for the programs of pupils.

use livecode_protocol::exercise::ExerciseId;
use sqlx::SqliteConnection;

use crate::store::{ControlStore, ControlStoreError};
use crate::tokens::stored_time;

/// An exercise that is stored, without its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredExercise {
    /// Its id.
    pub id: ExerciseId,
    /// The number of its version, which grows with each change. The first is 1, or higher than all
    /// versions of exercises that were deleted.
    pub version: u64,
    /// When its first version was put, in microseconds since the epoch.
    pub created_us: u64,
    /// When this version was put, in microseconds since the epoch.
    pub updated_us: u64,
    /// The number of its cases.
    pub cases: u64,
    /// The number of its cases that are hidden.
    pub hidden: u64,
}

/// An exercise that is to be stored.
#[derive(Clone, Debug)]
pub struct NewExercise {
    /// Its id.
    pub id: ExerciseId,
    /// The caller that puts it, as the audit names it.
    pub owner: String,
    /// The number of its cases.
    pub cases: u64,
    /// The number of its cases that are hidden.
    pub hidden: u64,
    /// The contents, as JSON.
    pub contents: String,
}

/// The exercises that a caller may see and change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExerciseScope {
    /// Those of all owners.
    All,
    /// Those of this owner.
    Owner(String),
}

/// The result of putting an exercise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutExercise {
    /// There was none with this id.
    Created(StoredExercise),
    /// Its contents are these now.
    Replaced(StoredExercise),
    /// Its contents were these already.
    Unchanged(StoredExercise),
    /// It is another owner's. Nothing has changed.
    OfAnother,
    /// The owner has as many as one may have. Nothing has changed.
    TooMany,
    /// All exercises of the owner would have more bytes than those of one owner may have. Nothing
    /// has changed.
    TooManyBytes,
}

/// How much one owner may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExerciseBounds {
    /// The number of exercises.
    pub count_max: u64,
    /// The bytes of the contents of all together.
    pub bytes_max: u64,
}

impl ExerciseScope {
    /// The owner whose exercises these are; `None` for those of all.
    fn owner(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Owner(owner) => Some(owner),
        }
    }
}

/// A row of the table without the contents: id, version, the times of the first version and of
/// this one, and the numbers of cases and of hidden ones.
type ExerciseRow = (String, i64, i64, i64, i64, i64);

/// The columns of an [`ExerciseRow`].
const COLUMNS: &str = "id, version, created_us, updated_us, cases, hidden";

impl ControlStore {
    /// Stores an exercise at `now_us`, in place of the one with the same id if `scope` has that.
    /// The owner of the first version stays, and `bounds` are those of that owner.
    ///
    /// # Errors
    /// If the store fails. Nothing has then changed.
    pub async fn put_exercise(
        &self,
        new: &NewExercise,
        scope: &ExerciseScope,
        bounds: ExerciseBounds,
        now_us: u64,
    ) -> Result<PutExercise, ControlStoreError> {
        let mut transaction = self.pool.begin().await?;
        let query = format!(
            "INSERT INTO exercises (id, owner, version, created_us, updated_us, cases, hidden, contents) \
             SELECT $1, $2, deleted_max + 1, $3, $3, $4, $5, $6 FROM exercise_versions WHERE true ON CONFLICT (id) DO UPDATE SET \
             version = exercises.version + 1, cases = excluded.cases, \
             updated_us = MAX(excluded.updated_us, exercises.created_us + 1), \
             hidden = excluded.hidden, contents = excluded.contents \
             WHERE exercises.contents <> excluded.contents AND ($7 IS NULL OR exercises.owner = $7) \
             RETURNING {COLUMNS}"
        );
        let changed: Option<ExerciseRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(new.id.as_str())
            .bind(&new.owner)
            .bind(stored_time(now_us))
            .bind(new.cases.cast_signed())
            .bind(new.hidden.cast_signed())
            .bind(&new.contents)
            .bind(scope.owner())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = changed else {
            // The exercise has these contents already, or is another owner's. No other change
            // comes between, since the statement above has begun one.
            let same = find_exercise(&mut transaction, &new.id, scope).await?;
            transaction.rollback().await?;
            return Ok(same.map_or(PutExercise::OfAnother, PutExercise::Unchanged));
        };
        let stored = parse(row)?;
        let is_new = stored.updated_us == stored.created_us;
        let (count, bytes): (i64, i64) = sqlx::query_as(
            "SELECT COUNT(*), CAST(TOTAL(OCTET_LENGTH(contents)) AS BIGINT) FROM exercises \
             WHERE owner = (SELECT owner FROM exercises WHERE id = $1)",
        )
        .bind(new.id.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        let exceeded = if is_new && count.cast_unsigned() > bounds.count_max {
            Some(PutExercise::TooMany)
        } else {
            (bytes.cast_unsigned() > bounds.bytes_max).then_some(PutExercise::TooManyBytes)
        };
        if let Some(exceeded) = exceeded {
            transaction.rollback().await?;
            return Ok(exceeded);
        }
        transaction.commit().await?;
        Ok(if is_new { PutExercise::Created(stored) } else { PutExercise::Replaced(stored) })
    }

    /// An exercise among those of `scope`, with its contents.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn exercise(
        &self,
        id: &ExerciseId,
        scope: &ExerciseScope,
    ) -> Result<Option<(StoredExercise, String)>, ControlStoreError> {
        let query = "SELECT id, version, created_us, updated_us, cases, hidden, contents FROM exercises \
                     WHERE id = $1 AND ($2 IS NULL OR owner = $2)";
        let row: Option<(String, i64, i64, i64, i64, i64, String)> =
            sqlx::query_as(query).bind(id.as_str()).bind(scope.owner()).fetch_optional(&self.pool).await?;
        row.map(|(id, version, created_us, updated_us, cases, hidden, contents)| {
            Ok((parse((id, version, created_us, updated_us, cases, hidden))?, contents))
        })
        .transpose()
    }

    /// The length of an exercise's contents, in bytes; `None` if there is no such exercise.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn exercise_bytes(&self, id: &ExerciseId) -> Result<Option<u64>, ControlStoreError> {
        let bytes: Option<i64> =
            sqlx::query_scalar("SELECT CAST(OCTET_LENGTH(contents) AS BIGINT) FROM exercises WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(&self.pool)
                .await?;
        Ok(bytes.map(i64::cast_unsigned))
    }

    /// At most `max` exercises of `scope` whose ids come after `after`, in the order of their ids.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn exercises(
        &self,
        scope: &ExerciseScope,
        after: Option<&ExerciseId>,
        max: usize,
    ) -> Result<Vec<StoredExercise>, ControlStoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM exercises WHERE ($1 IS NULL OR owner = $1) AND id > $2 ORDER BY id LIMIT $3"
        );
        let rows: Vec<ExerciseRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(scope.owner())
            .bind(after.map_or("", ExerciseId::as_str))
            .bind(i64::try_from(max).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(parse).collect()
    }

    /// Deletes an exercise among those of `scope`. Returns whether there was one.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn delete_exercise(
        &self,
        id: &ExerciseId,
        scope: &ExerciseScope,
    ) -> Result<bool, ControlStoreError> {
        // An explicit commit reports its failure, as on a full disk.
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "UPDATE exercise_versions SET deleted_max = MAX(deleted_max, COALESCE( \
             (SELECT version FROM exercises WHERE id = $1 AND ($2 IS NULL OR owner = $2)), 0))",
        )
        .bind(id.as_str())
        .bind(scope.owner())
        .execute(&mut *transaction)
        .await?;
        let deleted = sqlx::query("DELETE FROM exercises WHERE id = $1 AND ($2 IS NULL OR owner = $2)")
            .bind(id.as_str())
            .bind(scope.owner())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(deleted.rows_affected() > 0)
    }
}

async fn find_exercise(
    connection: &mut SqliteConnection,
    id: &ExerciseId,
    scope: &ExerciseScope,
) -> Result<Option<StoredExercise>, ControlStoreError> {
    let query = format!("SELECT {COLUMNS} FROM exercises WHERE id = $1 AND ($2 IS NULL OR owner = $2)");
    let row: Option<ExerciseRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(id.as_str())
        .bind(scope.owner())
        .fetch_optional(connection)
        .await?;
    row.map(parse).transpose()
}

fn parse(row: ExerciseRow) -> Result<StoredExercise, ControlStoreError> {
    let (id, version, created_us, updated_us, cases, hidden) = row;
    let id = id.parse().map_err(|_| ControlStoreError::Damaged(format!("bad id {id:?} of an exercise")))?;
    Ok(StoredExercise {
        id,
        version: version.cast_unsigned(),
        created_us: created_us.cast_unsigned(),
        updated_us: updated_us.cast_unsigned(),
        cases: cases.cast_unsigned(),
        hidden: hidden.cast_unsigned(),
    })
}
