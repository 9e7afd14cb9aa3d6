//! The settings of JWTs.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use super::{
    jwks_source::JwksSource,
    settings::{AuthMode, Config},
};

/// The longest issuer and the longest audience, in bytes.
const CLAIM_BYTES_MAX: usize = 255;

/// How JWTs are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSettings {
    /// Where the keys come from.
    pub key: KeySetting,
    /// How old keys of a JWKS may be.
    pub jwks_max_age: Duration,
    /// The claim `iss`.
    pub issuer: String,
    /// The claim `aud`, or a part of it.
    pub audience: String,
    /// The name of the claim that names the role.
    pub role_claim: Option<String>,
    /// Whether this claim may make admins.
    pub allow_admin: bool,
    /// The further roles that it may name.
    pub roles: BTreeSet<String>,
}

/// Where the keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySetting {
    /// A file with one key.
    File(PathBuf),
    /// A JWKS.
    Jwks(JwksSource),
}

impl Config {
    /// How JWTs are checked; `None` if the server does not know its users by them. The settings
    /// must have been checked.
    pub fn jwt(&self) -> Option<JwtSettings> {
        if self.auth != AuthMode::Jwt {
            return None;
        }
        let key = match (&self.jwt_key_file, &self.jwt_jwks) {
            (Some(path), _) => KeySetting::File(path.clone()),
            (None, source) => KeySetting::Jwks(source.clone()?),
        };
        Some(JwtSettings {
            key,
            jwks_max_age: Duration::from_millis(self.jwt_jwks_max_age_ms),
            issuer: self.jwt_issuer.clone()?,
            audience: self.jwt_audience.clone()?,
            role_claim: self.jwt_role_claim.clone(),
            allow_admin: self.jwt_allow_admin,
            roles: self.roles.keys().cloned().collect(),
        })
    }

    /// Checks the settings of JWTs. An error is the key, and what is wrong with its value.
    pub(super) fn check_jwt(&self) -> Result<(), (&'static str, String)> {
        let given = [
            ("jwt_key_file", self.jwt_key_file.is_some()),
            ("jwt_jwks", self.jwt_jwks.is_some()),
            ("jwt_issuer", self.jwt_issuer.is_some()),
            ("jwt_audience", self.jwt_audience.is_some()),
            ("jwt_role_claim", self.jwt_role_claim.is_some()),
            ("jwt_allow_admin", self.jwt_allow_admin),
        ];
        if self.auth != AuthMode::Jwt {
            return match given.into_iter().find(|(_, is_given)| *is_given) {
                Some((key, _)) => Err((
                    key,
                    "it has a use only where auth is \"jwt\"; set that, too, or leave it out".to_owned(),
                )),
                None => Ok(()),
            };
        }
        match (&self.jwt_key_file, &self.jwt_jwks) {
            (None, None) => {
                let detail = "auth = \"jwt\" needs the key that signs JWTs: set jwt_key_file or jwt_jwks";
                return Err(("jwt_key_file", detail.to_owned()));
            }
            (Some(_), Some(_)) => {
                let detail = "jwt_key_file is set, too; leave out one of them";
                return Err(("jwt_jwks", detail.to_owned()));
            }
            _ => {}
        }
        for (key, value, what) in [
            ("jwt_issuer", &self.jwt_issuer, "the claim iss of all JWTs, which says who made them"),
            (
                "jwt_audience",
                &self.jwt_audience,
                "the claim aud of all JWTs, which says that they are for this server",
            ),
        ] {
            let is_valid = |text: &String| {
                (1..=CLAIM_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
            };
            match value {
                None => return Err((key, format!("auth = \"jwt\" needs it: it is {what}"))),
                Some(text) if is_valid(text) => {}
                Some(text) => {
                    let detail =
                        format!("{text:?} must have 1 to {CLAIM_BYTES_MAX} bytes and no control characters");
                    return Err((key, detail));
                }
            }
        }
        if self.jwt_allow_admin && self.jwt_role_claim.is_none() {
            let detail = "no claim names a role: set jwt_role_claim, too, or leave it out";
            return Err(("jwt_allow_admin", detail.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut Config);

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let jwt = || Config {
            auth: AuthMode::Jwt,
            jwt_key_file: Some("key.pem".into()),
            jwt_issuer: Some("https://learn.example".into()),
            jwt_audience: Some("livecode".into()),
            ..Config::default()
        };
        assert_eq!(jwt().check_jwt(), Ok(()));
        let refused: [(&str, Change); 8] = [
            ("jwt_key_file", |config| config.jwt_key_file = None),
            ("jwt_jwks", |config| config.jwt_jwks = Some(JwksSource::File("f".into()))),
            ("jwt_issuer", |config| config.jwt_issuer = None),
            ("jwt_issuer", |config| config.jwt_issuer = Some("a\nb".into())),
            ("jwt_audience", |config| config.jwt_audience = None),
            ("jwt_audience", |config| config.jwt_audience = Some("x".repeat(256))),
            ("jwt_allow_admin", |config| config.jwt_allow_admin = true),
            ("jwt_key_file", |config| config.auth = AuthMode::Tokens),
        ];
        for (key, change) in refused {
            let mut config = jwt();
            change(&mut config);
            assert_eq!(config.check_jwt().map_err(|(key, _)| key), Err(key));
        }
    }
}
