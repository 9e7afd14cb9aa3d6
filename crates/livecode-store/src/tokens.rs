//! Users' tokens.

use std::{fmt, str::FromStr};

use livecode_protocol::{quota::OwnLimits, token::Role};
use serde::{Deserialize, Serialize};

use crate::hex::hex;
use crate::secret;
use crate::store::{ControlStore, ControlStoreError};

/// Every token begins so, for scanners that look for secrets in texts and repositories.
const PREFIX: &str = "livecode_";
/// Random bytes in a token's id.
const ID_BYTES: usize = 6;
/// The longest name of a user, in bytes.
const USER_NAME_BYTES_MAX: usize = 64;

/// A token, as its user sends it. It is shown once and never stored. The form is `livecode_`, 40
/// hexadecimal digits, and 8 more that are a checksum of all before them.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(String);

/// The text is not a token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is {PREFIX} and 48 hexadecimal digits, and one of them may be wrong here")]
pub struct MalformedToken;

/// The name of a user: 1 to 64 letters, digits, `.`, `_`, `-` and `@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// The text cannot name a user.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot name a user: a name has 1 to 64 letters, digits, and the signs . _ - @")]
pub struct MalformedUserName(String);

/// A token that is stored, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Names the token; it is no secret.
    pub id: String,
    /// The user to whom it belongs.
    pub user: UserName,
    /// The rights that it gives.
    pub role: Role,
    /// Its own limits, besides those of the role.
    pub limits: OwnLimits,
    /// When it was made, in microseconds since the epoch.
    pub created_us: u64,
    /// When it expires, in microseconds since the epoch; `None` if it does not.
    pub expires_us: Option<u64>,
    /// When it was revoked, in microseconds since the epoch; `None` if it was not.
    pub revoked_us: Option<u64>,
}

/// Where a token stands in the list of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenListKey {
    /// When it was made, in microseconds since the epoch.
    pub created_us: u64,
    /// Its id.
    pub id: String,
}

/// A name by which a token is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TokenKey {
    /// Its id.
    Id(String),
    /// The digest of its secret.
    Digest(String),
}

/// The properties of a token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The user to whom it will belong.
    pub user: UserName,
    /// The rights that it will give.
    pub role: Role,
    /// Its own limits, besides those of the role.
    pub limits: OwnLimits,
    /// When it will expire, in microseconds since the epoch; `None` if it will not.
    pub expires_us: Option<u64>,
}

impl TokenSecret {
    fn generate() -> Result<Self, ControlStoreError> {
        secret::generate(PREFIX).map(Self)
    }

    /// The token's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the token in the store, which does not have the token itself.
    pub fn key(&self) -> TokenKey {
        TokenKey::Digest(self.digest())
    }

    fn digest(&self) -> String {
        secret::digest(&self.0)
    }
}

impl FromStr for TokenSecret {
    type Err = MalformedToken;

    fn from_str(text: &str) -> Result<Self, MalformedToken> {
        match secret::is_well_formed(PREFIX, text) {
            true => Ok(Self(text.to_owned())),
            false => Err(MalformedToken),
        }
    }
}

/// A token is not shown by accident, for example in a log.
impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

impl UserName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = MalformedUserName;

    fn from_str(text: &str) -> Result<Self, MalformedUserName> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
        if (1..=USER_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedUserName(text.to_owned()))
        }
    }
}

impl TryFrom<String> for UserName {
    type Error = MalformedUserName;

    fn try_from(text: String) -> Result<Self, MalformedUserName> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Token {
    /// When a token expires that replaces this one at `now_us`: when this one does, or, if it has
    /// expired, after as long a time as it was valid.
    fn next_expiry_us(&self, now_us: u64) -> Option<u64> {
        let expires_us = self.expires_us?;
        let has_expired = expires_us <= now_us;
        let lifetime_us = expires_us.saturating_sub(self.created_us);
        Some(if has_expired { now_us.saturating_add(lifetime_us) } else { expires_us })
    }

    /// Whether the token gives its rights at `now_us`.
    pub fn is_valid_at(&self, now_us: u64) -> bool {
        self.revoked_us.is_none() && self.expires_us.is_none_or(|expires_us| now_us < expires_us)
    }
}

/// A row of the table of tokens: id, user, role, limits, and the times of creation, expiry and
/// revocation.
type TokenRow = (String, String, String, Option<String>, i64, Option<i64>, Option<i64>);

/// The columns of a [`TokenRow`].
const COLUMNS: &str = "id, user_name, role, limits, created_us, expires_us, revoked_us";

impl ControlStore {
    /// Makes a token at `now_us`. The secret can never be read again.
    ///
    /// # Errors
    /// If the store fails. The token is then not valid.
    pub async fn create_token(
        &self,
        new: &NewToken,
        now_us: u64,
    ) -> Result<(Token, TokenSecret), ControlStoreError> {
        let (token, secret) = generate(new, now_us)?;
        let mut connection = self.pool.acquire().await?;
        insert(&mut connection, &token, &secret).await?;
        Ok((token, secret))
    }

    /// At most `max` tokens that were not revoked, the newest first; with `after` those that follow
    /// the token in the list.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn tokens(
        &self,
        after: Option<&TokenListKey>,
        max: usize,
    ) -> Result<Vec<Token>, ControlStoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM tokens WHERE revoked_us IS NULL \
             AND (created_us < $1 OR (created_us = $1 AND id > $2)) ORDER BY created_us DESC, id LIMIT $3"
        );
        let (created_us, id) = after.map_or((i64::MAX, ""), |key| (stored_time(key.created_us), &key.id));
        let rows: Vec<TokenRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(created_us)
            .bind(id)
            .bind(i64::try_from(max).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(parse).collect()
    }

    /// All tokens of a user that were not revoked, the newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn tokens_of(&self, user: &UserName) -> Result<Vec<Token>, ControlStoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM tokens WHERE revoked_us IS NULL AND user_name = $1 ORDER BY created_us DESC, id"
        );
        let rows: Vec<TokenRow> =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(user.as_str()).fetch_all(&self.pool).await?;
        rows.into_iter().map(parse).collect()
    }

    /// All tokens of a user, with those that were revoked, the newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn all_tokens_of(&self, user: &UserName) -> Result<Vec<Token>, ControlStoreError> {
        let query = format!("SELECT {COLUMNS} FROM tokens WHERE user_name = $1 ORDER BY created_us DESC, id");
        let rows: Vec<TokenRow> =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(user.as_str()).fetch_all(&self.pool).await?;
        rows.into_iter().map(parse).collect()
    }

    /// The names of the roles of valid tokens.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn roles_of_tokens(&self, now_us: u64) -> Result<Vec<String>, ControlStoreError> {
        let query = "SELECT DISTINCT role FROM tokens WHERE revoked_us IS NULL \
                     AND (expires_us IS NULL OR expires_us > $1) ORDER BY role";
        Ok(sqlx::query_scalar(query).bind(stored_time(now_us)).fetch_all(&self.pool).await?)
    }

    /// A token, whether or not it is valid.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn token(&self, key: &TokenKey) -> Result<Option<Token>, ControlStoreError> {
        let (column, value) = match key {
            TokenKey::Id(id) => ("id", id),
            TokenKey::Digest(digest) => ("digest", digest),
        };
        let query = format!("SELECT {COLUMNS} FROM tokens WHERE {column} = $1");
        let row: Option<TokenRow> =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(value).fetch_optional(&self.pool).await?;
        row.map(parse).transpose()
    }

    /// Revokes the token with this id.
    ///
    /// # Errors
    /// If there is no such token, or it was revoked before; if the store fails.
    pub async fn revoke_token(&self, id: &str, now_us: u64) -> Result<Token, ControlStoreError> {
        // An explicit commit reports its failure, as on a full disk.
        let mut transaction = self.pool.begin().await?;
        let revoked = revoke(&mut transaction, id, now_us).await?;
        transaction.commit().await?;
        Ok(revoked)
    }

    /// Replaces a token: the one with this id is revoked, and a new one for the same user, with
    /// the same role and limits, is made, both at once. Unless another expiry is given, it has that
    /// of the old one; if the old one has expired, it is valid for as long as that was.
    ///
    /// # Errors
    /// If there is no such token, or it was revoked before; if the store fails.
    pub async fn rotate_token(
        &self,
        id: &str,
        expires_us: Option<u64>,
        now_us: u64,
    ) -> Result<(Token, TokenSecret), ControlStoreError> {
        let mut transaction = self.pool.begin().await?;
        let old = revoke(&mut transaction, id, now_us).await?;
        let expires_us = expires_us.or_else(|| old.next_expiry_us(now_us));
        let Token { user, role, limits, .. } = old;
        let (token, secret) = generate(&NewToken { user, role, limits, expires_us }, now_us)?;
        insert(&mut transaction, &token, &secret).await?;
        transaction.commit().await?;
        Ok((token, secret))
    }
}

fn generate(new: &NewToken, now_us: u64) -> Result<(Token, TokenSecret), ControlStoreError> {
    let token = Token {
        id: hex(&secret::random::<ID_BYTES>()?),
        user: new.user.clone(),
        role: new.role.clone(),
        limits: new.limits,
        created_us: now_us,
        expires_us: new.expires_us,
        revoked_us: None,
    };
    Ok((token, TokenSecret::generate()?))
}

async fn insert(
    connection: &mut sqlx::SqliteConnection,
    token: &Token,
    secret: &TokenSecret,
) -> Result<(), ControlStoreError> {
    sqlx::query(
        "INSERT INTO tokens (id, digest, user_name, role, limits, created_us, expires_us) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&token.id)
    .bind(secret.digest())
    .bind(token.user.as_str())
    .bind(token.role.as_str())
    .bind(stored_limits(&token.limits))
    .bind(stored_time(token.created_us))
    .bind(token.expires_us.map(stored_time))
    .execute(connection)
    .await?;
    Ok(())
}

async fn revoke(
    connection: &mut sqlx::SqliteConnection,
    id: &str,
    now_us: u64,
) -> Result<Token, ControlStoreError> {
    let query =
        format!("UPDATE tokens SET revoked_us = $2 WHERE id = $1 AND revoked_us IS NULL RETURNING {COLUMNS}");
    let row: Option<TokenRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(id)
        .bind(stored_time(now_us))
        .fetch_optional(connection)
        .await?;
    row.map(parse).transpose()?.ok_or_else(|| ControlStoreError::NoSuchToken(id.to_owned()))
}

fn parse(row: TokenRow) -> Result<Token, ControlStoreError> {
    let (id, user, role, limits, created_us, expires_us, revoked_us) = row;
    let damaged =
        |what: &str, text: &str| ControlStoreError::Damaged(format!("{what} {text:?} of token {id}"));
    let role = role.parse().map_err(|_| damaged("bad role", &role))?;
    let limits =
        limits.map(|limits| serde_json::from_str(&limits).map_err(|_| damaged("bad limits", &limits)));
    let limits = limits.transpose()?.unwrap_or_default();
    let user = user.parse().map_err(|_| damaged("bad user name", &user))?;
    Ok(Token {
        user,
        limits,
        role,
        created_us: created_us.cast_unsigned(),
        expires_us: expires_us.map(i64::cast_unsigned),
        revoked_us: revoked_us.map(i64::cast_unsigned),
        id,
    })
}

/// Limits as the database has them: JSON, or nothing.
fn stored_limits(limits: &OwnLimits) -> Option<String> {
    (!limits.is_empty()).then(|| serde_json::to_string(limits).unwrap_or_default())
}

/// A time as the database has it. Databases have no unsigned numbers.
pub(crate) fn stored_time(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_a_form_that_scanners_find() {
        let secret = TokenSecret::generate().unwrap();
        let text = secret.as_str();
        assert!(text.starts_with("livecode_") && text.len() == 57, "{text}");
        assert_eq!(text.parse(), Ok(secret.clone()));
        let last = if text.ends_with('0') { '1' } else { '0' };
        let wrong =
            [format!("{}{last}", &text[..56]), text[..56].to_owned(), text.to_uppercase(), String::new()];
        for wrong in wrong {
            assert_eq!(wrong.parse::<TokenSecret>(), Err(MalformedToken), "{wrong}");
        }
        assert!(!format!("{secret:?}").contains(&text[9..]));
    }

    #[test]
    fn names_are_short_and_plain() {
        for name in ["a", "Ada.Lovelace-1@example.org", &"x".repeat(64)] {
            assert_eq!(name.parse::<UserName>().unwrap().as_str(), name);
        }
        for name in ["", " ", "a b", "a\n", "ä", &"x".repeat(65), "a/b"] {
            assert!(name.parse::<UserName>().is_err(), "{name:?}");
        }
    }
}
