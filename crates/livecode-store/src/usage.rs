//! The usage of payers on a day.

use crate::{
    audit::stored,
    store::{ControlStore, ControlStoreError},
};

/// The usage of one payer on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayUsage {
    /// The payer, in a form that the server chooses.
    pub payer: String,
    /// CPU time, in milliseconds.
    pub cpu_ms: u64,
    /// Output, in bytes.
    pub output_bytes: u64,
}

impl ControlStore {
    /// The usage of all payers on a day, which is a number of days since the epoch. Earlier days are
    /// forgotten.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn usage_of_day(&self, day: u64) -> Result<Vec<DayUsage>, ControlStoreError> {
        self.forget_usage_before(day).await?;
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as("SELECT payer, cpu_ms, output_bytes FROM usage WHERE day = $1")
                .bind(stored(day))
                .fetch_all(&self.pool)
                .await?;
        let usage = rows.into_iter().map(|(payer, cpu_ms, output_bytes)| DayUsage {
            payer,
            cpu_ms: cpu_ms.cast_unsigned(),
            output_bytes: output_bytes.cast_unsigned(),
        });
        Ok(usage.collect())
    }

    /// Forgets the usage of all days before this one.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn forget_usage_before(&self, day: u64) -> Result<(), ControlStoreError> {
        sqlx::query("DELETE FROM usage WHERE day < $1").bind(stored(day)).execute(&self.counting).await?;
        Ok(())
    }

    /// Replaces what some payers have used on a day, all at once, and forgets earlier days.
    ///
    /// # Errors
    /// If the store fails. Nothing has then changed.
    pub async fn set_usage_of_day(&self, day: u64, usage: &[DayUsage]) -> Result<(), ControlStoreError> {
        let mut transaction = self.counting.begin().await?;
        for DayUsage { payer, cpu_ms, output_bytes } in usage {
            sqlx::query(
                "INSERT INTO usage (payer, day, cpu_ms, output_bytes) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (payer, day) DO UPDATE SET cpu_ms = excluded.cpu_ms, output_bytes = excluded.output_bytes",
            )
            .bind(payer)
            .bind(stored(day))
            .bind(stored(*cpu_ms))
            .bind(stored(*output_bytes))
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query("DELETE FROM usage WHERE day < $1").bind(stored(day)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The usage of a payer, with the days since the epoch.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn usage_of(&self, payer: &str) -> Result<Vec<(u64, DayUsage)>, ControlStoreError> {
        let rows: Vec<(i64, i64, i64)> =
            sqlx::query_as("SELECT day, cpu_ms, output_bytes FROM usage WHERE payer = $1 ORDER BY day")
                .bind(payer)
                .fetch_all(&self.pool)
                .await?;
        let usage = rows.into_iter().map(|(day, cpu_ms, output_bytes)| {
            let usage = DayUsage {
                payer: payer.to_owned(),
                cpu_ms: cpu_ms.cast_unsigned(),
                output_bytes: output_bytes.cast_unsigned(),
            };
            (day.cast_unsigned(), usage)
        });
        Ok(usage.collect())
    }
}
