//! Shares: links by which the owner of a session lets others watch or join it.

use std::{fmt, str::FromStr};

use livecode_protocol::{SessionId, share::ShareRights};

use crate::hex::hex;
use crate::secret;
use crate::store::{ControlStore, ControlStoreError};
use crate::tokens::stored_time;

/// The secret of every share begins so.
const PREFIX: &str = "livecode_share_";
/// Random bytes in a share's id.
const ID_BYTES: usize = 6;

/// The secret of a share, which its link has. It is shown once and never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareSecret(String);

/// The text is not the secret of a share.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret of a share is {PREFIX} and 48 hexadecimal digits, and one of them may be wrong here")]
pub struct MalformedShareSecret;

/// A share that is stored, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Names the share; it is no secret.
    pub id: String,
    /// The session that it opens.
    pub session: SessionId,
    /// The rights that it gives.
    pub rights: ShareRights,
    /// The caller that made it, as logs name it.
    pub maker: String,
    /// When it was made, in microseconds since the epoch.
    pub created_us: u64,
    /// When it expires, in microseconds since the epoch.
    pub expires_us: u64,
    /// When it was revoked, in microseconds since the epoch; `None` if it was not.
    pub revoked_us: Option<u64>,
}

/// A name by which a share is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareKey {
    /// Its id.
    Id(String),
    /// The digest of its secret.
    Digest(String),
}

/// The properties of a share to be made.
#[derive(Clone, Debug)]
pub struct NewShare {
    /// The session that it will open.
    pub session: SessionId,
    /// The rights that it will give.
    pub rights: ShareRights,
    /// The caller that makes it, as logs name it.
    pub maker: String,
    /// When it will expire, in microseconds since the epoch.
    pub expires_us: u64,
}

impl ShareSecret {
    /// The secret's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the share in the store, which does not have the secret itself.
    pub fn key(&self) -> ShareKey {
        ShareKey::Digest(secret::digest(&self.0))
    }
}

impl FromStr for ShareSecret {
    type Err = MalformedShareSecret;

    fn from_str(text: &str) -> Result<Self, MalformedShareSecret> {
        match secret::is_well_formed(PREFIX, text) {
            true => Ok(Self(text.to_owned())),
            false => Err(MalformedShareSecret),
        }
    }
}

/// A secret is not shown by accident, for example in a log.
impl fmt::Debug for ShareSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareSecret(…)")
    }
}

impl Share {
    /// Whether the share gives its rights at `now_us`.
    pub fn is_valid_at(&self, now_us: u64) -> bool {
        self.revoked_us.is_none() && now_us < self.expires_us
    }
}

/// A row of the table of shares: id, session, rights, maker, and the times of creation, expiry and
/// revocation.
type ShareRow = (String, String, String, String, i64, i64, Option<i64>);

/// The columns of a [`ShareRow`].
const COLUMNS: &str = "id, session, rights, maker, created_us, expires_us, revoked_us";

impl ControlStore {
    /// Makes a share at `now_us`; `None` if its session has `max` valid ones already. The secret can
    /// never be read again. Shares that are not valid any more are forgotten: the expired ones, and
    /// of this session the revoked ones.
    ///
    /// # Errors
    /// If the store fails. The share is then not valid.
    pub async fn create_share(
        &self,
        new: &NewShare,
        max: u64,
        now_us: u64,
    ) -> Result<Option<(Share, ShareSecret)>, ControlStoreError> {
        let share = Share {
            id: hex(&secret::random::<ID_BYTES>()?),
            session: new.session,
            rights: new.rights,
            maker: new.maker.clone(),
            created_us: now_us,
            expires_us: new.expires_us,
            revoked_us: None,
        };
        let secret = ShareSecret(secret::generate(PREFIX)?);
        let session = share.session.to_string();
        let mut transaction = self.pool.begin().await?;
        // This locks the table against other writers, so that nobody makes one in between.
        sqlx::query("DELETE FROM shares WHERE expires_us <= $1 OR (session = $2 AND revoked_us IS NOT NULL)")
            .bind(stored_time(now_us))
            .bind(&session)
            .execute(&mut *transaction)
            .await?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM shares WHERE session = $1")
            .bind(&session)
            .fetch_one(&mut *transaction)
            .await?;
        if count.cast_unsigned() >= max {
            return Ok(None);
        }
        sqlx::query(
            "INSERT INTO shares (id, digest, session, rights, maker, created_us, expires_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&share.id)
        .bind(secret::digest(secret.as_str()))
        .bind(&session)
        .bind(share.rights.as_str())
        .bind(&share.maker)
        .bind(stored_time(share.created_us))
        .bind(stored_time(share.expires_us))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some((share, secret)))
    }

    /// The shares of a session that are valid at `now_us`, the newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn shares_of(&self, session: SessionId, now_us: u64) -> Result<Vec<Share>, ControlStoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM shares WHERE session = $1 AND revoked_us IS NULL AND expires_us > $2 \
             ORDER BY created_us DESC, id"
        );
        let rows: Vec<ShareRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(session.to_string())
            .bind(stored_time(now_us))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(parse).collect()
    }

    /// All shares of a session, valid ones or not, the newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn all_shares_of(&self, session: SessionId) -> Result<Vec<Share>, ControlStoreError> {
        let query = format!("SELECT {COLUMNS} FROM shares WHERE session = $1 ORDER BY created_us DESC, id");
        let rows: Vec<ShareRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(session.to_string())
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(parse).collect()
    }

    /// A share, whether or not it is valid.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn share(&self, key: &ShareKey) -> Result<Option<Share>, ControlStoreError> {
        let (column, value) = match key {
            ShareKey::Id(id) => ("id", id),
            ShareKey::Digest(digest) => ("digest", digest),
        };
        let query = format!("SELECT {COLUMNS} FROM shares WHERE {column} = $1");
        let row: Option<ShareRow> =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(value).fetch_optional(&self.pool).await?;
        row.map(parse).transpose()
    }

    /// Revokes the share of `session` with this id. Returns whether there was one that was valid.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn revoke_share(
        &self,
        session: SessionId,
        id: &str,
        now_us: u64,
    ) -> Result<bool, ControlStoreError> {
        // An explicit commit reports its failure, as on a full disk.
        let mut transaction = self.pool.begin().await?;
        let revoked = sqlx::query(
            "UPDATE shares SET revoked_us = $3 \
             WHERE id = $1 AND session = $2 AND revoked_us IS NULL AND expires_us > $3",
        )
        .bind(id)
        .bind(session.to_string())
        .bind(stored_time(now_us))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(revoked.rows_affected() > 0)
    }

    /// The sessions that have shares, valid ones or not.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sessions_with_shares(&self) -> Result<Vec<SessionId>, ControlStoreError> {
        let sessions: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT session FROM shares").fetch_all(&self.pool).await?;
        sessions.iter().map(|text| session_id(text)).collect()
    }

    /// Forgets the shares that were revoked, or have expired at `now_us`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn forget_ended_shares(&self, now_us: u64) -> Result<(), ControlStoreError> {
        sqlx::query("DELETE FROM shares WHERE expires_us <= $1 OR revoked_us IS NOT NULL")
            .bind(stored_time(now_us))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets all shares of a session.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn forget_shares_of(&self, session: SessionId) -> Result<(), ControlStoreError> {
        sqlx::query("DELETE FROM shares WHERE session = $1")
            .bind(session.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn session_id(text: &str) -> Result<SessionId, ControlStoreError> {
    text.parse().map_err(|_| ControlStoreError::Damaged(format!("bad session {text:?} of a share")))
}

fn parse(row: ShareRow) -> Result<Share, ControlStoreError> {
    let (id, session, rights, maker, created_us, expires_us, revoked_us) = row;
    let rights = match rights.as_str() {
        "watch" => ShareRights::Watch,
        "join" => ShareRights::Join,
        other => return Err(ControlStoreError::Damaged(format!("unknown rights {other:?} of share {id}"))),
    };
    Ok(Share {
        session: session_id(&session)?,
        rights,
        maker,
        created_us: created_us.cast_unsigned(),
        expires_us: expires_us.cast_unsigned(),
        revoked_us: revoked_us.map(i64::cast_unsigned),
        id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_no_token_and_a_token_is_no_secret() {
        let text = secret::generate(PREFIX).unwrap();
        assert!(text.starts_with("livecode_share_") && text.len() == 63, "{text}");
        assert!(text.parse::<ShareSecret>().is_ok());
        assert!(text.parse::<crate::tokens::TokenSecret>().is_err());
        let token = secret::generate("livecode_").unwrap();
        assert!(token.parse::<ShareSecret>().is_err());
        let secret = text.parse::<ShareSecret>().unwrap();
        assert!(!format!("{secret:?}").contains(&text[15..]));
    }
}
