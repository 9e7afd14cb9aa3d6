//! Users that another site signs in: each caller has a JWT (RFC 7519) of one issuer.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `key` | what is a key, and for which algorithm |
//! | `key_source` | where keys come from, and when they are read again |
//! | `ring_provider` | how signatures are checked |
//! | `fuzz` | what holds for any bytes |

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod key;
mod key_source;
mod ring_provider;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Validation, dangerous::insecure_decode_claims, decode, errors::ErrorKind};
use livecode_protocol::{
    now_us,
    quota::OwnLimits,
    token::{Role, RoleName},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

pub use self::key_source::KeySourceError;
use self::key_source::Keys;
use super::{
    refusal::Refusal,
    user::{Credential, JwtCredential, Subject, User, UserId},
};
use crate::config::{JwtSettings, KeySetting};

/// How much the clocks of the issuer and of this server may differ, in seconds: a JWT is valid so
/// much earlier than `nbf` and so much longer than `exp` say.
const LEEWAY_S: u64 = 30;
/// The longest `sub`, in bytes, as OpenID Connect bounds it. It is in records and logs.
const SUB_BYTES_MAX: usize = 255;
/// The longest JWT, in bytes.
const JWT_BYTES_MAX: usize = 8 * 1024;
/// The claim that lowers limits.
const LIMITS_CLAIM: &str = "livecode_limits";
/// How many verified JWTs are kept in memory, so that a signature is checked once. When there are
/// more, the expired ones are forgotten, and if there are none, all.
const CACHED_JWTS_MAX: usize = 10_000;

/// The SHA-256 of a JWT.
type JwtDigest = [u8; 32];
type Claims = Map<String, Value>;

/// The users of one issuer.
#[derive(Debug)]
pub struct JwtUsers {
    issuer: String,
    audience: String,
    role_claim: Option<String>,
    allow_admin: bool,
    /// The roles that the configuration names.
    roles: BTreeSet<String>,
    keys: Keys,
    verified: Mutex<HashMap<JwtDigest, JwtCredential>>,
}

/// The part of a JWT's header that decides by which key it is checked.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

impl JwtUsers {
    /// The users of the issuer that the settings name.
    ///
    /// # Errors
    /// If a key cannot be read.
    pub async fn new(settings: JwtSettings) -> Result<Self, KeySourceError> {
        ring_provider::install();
        let keys = match settings.key {
            KeySetting::File(path) => Keys::from_key_file(&path)?,
            KeySetting::Jwks(source) => Keys::from_jwks(source, settings.jwks_max_age).await?,
        };
        let algorithms: Vec<_> = keys.current().keys().iter().map(|key| key.algorithm_name()).collect();
        tracing::info!(issuer = settings.issuer, ?algorithms, "users are known by JWTs");
        Ok(Self {
            issuer: settings.issuer,
            audience: settings.audience,
            role_claim: settings.role_claim,
            allow_admin: settings.allow_admin,
            roles: settings.roles,
            keys,
            verified: Mutex::default(),
        })
    }

    /// The user whom this JWT names.
    pub async fn find(&self, text: &str) -> Result<User, Refusal> {
        if text.len() > JWT_BYTES_MAX {
            return Err(Refusal::NoJwt("it is too long"));
        }
        self.keys.refresh_if_old();
        let digest = Sha256::digest(text).into();
        let known = self.verified().get(&digest).cloned();
        if let Some(user) = known.and_then(|credential| self.user(credential).ok()) {
            return Ok(user);
        }
        let credential = match self.verify(text) {
            Err(Refusal::UnknownKey(_) | Refusal::NoKey(_)) if self.keys.fetch_again().await => {
                self.verify(text)?
            }
            verified => verified?,
        };
        let user = self.user(credential.clone())?;
        let mut verified = self.verified();
        if verified.len() >= CACHED_JWTS_MAX {
            let now_us = now_us();
            verified.retain(|_, credential| now_us < credential.expires_us);
            if verified.len() >= CACHED_JWTS_MAX {
                verified.clear();
            }
        }
        verified.insert(digest, credential);
        Ok(user)
    }

    /// The user for whom a ticket was made, as long as the JWT would be valid.
    pub fn user(&self, credential: JwtCredential) -> Result<User, Refusal> {
        if credential.subject.issuer != self.issuer || !self.keys.current().has(&credential.key) {
            return Err(Refusal::OtherWay);
        }
        if now_us() >= credential.expires_us {
            return Err(Refusal::Expired);
        }
        Ok(User {
            id: UserId::Subject(credential.subject.clone()),
            // A ticket may be older than the setting.
            role: match &credential.role {
                Role::Admin if !self.allow_admin => Role::User,
                role => role.clone(),
            },
            limits: credential.limits.clone(),
            expires_us: Some(credential.expires_us),
            credential: Credential::Jwt(credential),
        })
    }

    /// Waits until a JWT is not valid any more.
    pub async fn ended(&self, credential: &JwtCredential) {
        let left_us = credential.expires_us.saturating_sub(now_us());
        tokio::select! {
            () = tokio::time::sleep(Duration::from_micros(left_us)) => {}
            () = self.keys.removed(&credential.key) => {}
        }
    }

    fn verify(&self, text: &str) -> Result<JwtCredential, Refusal> {
        let header = header(text)?;
        let keys = self.keys.current();
        let key = keys.find(&header.alg, header.kid.as_deref())?;
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        let claims = decode::<Claims>(text, &key.decoding, &validation)
            .map_err(|error| refusal(text, &error.into_kind()))?
            .claims;
        let wrong = |claim| Refusal::WrongClaim { claim, value: shown(&claims, claim) };
        // A list of issuers is not allowed for `iss` (RFC 7519, section 4.1.1).
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(wrong("iss"));
        }
        let sub = claims.get("sub").and_then(Value::as_str).ok_or_else(|| wrong("sub"))?;
        if sub.is_empty() || sub.len() > SUB_BYTES_MAX {
            return Err(wrong("sub"));
        }
        let exp = claims.get("exp").and_then(Value::as_f64).ok_or_else(|| wrong("exp"))?;
        // The conversion saturates.
        let exp_us = (exp * 1e6) as u64;
        Ok(JwtCredential {
            subject: Subject { issuer: self.issuer.clone(), sub: sub.to_owned() },
            role: self.role(&claims),
            limits: limits(&claims)?,
            expires_us: exp_us.saturating_add(LEEWAY_S * 1_000_000),
            key: key.fingerprint.clone(),
        })
    }

    /// The role that the claims give. The claim is a text, or a list of them; names that are not
    /// known mean nothing. Of a list an admin's role counts, where the settings allow it, and else
    /// the first that the configuration names.
    fn role(&self, claims: &Claims) -> Role {
        let claim = self.role_claim.as_ref().and_then(|name| claims.get(name));
        let names: Vec<_> = match claim {
            Some(Value::String(role)) => vec![role.as_str()],
            Some(Value::Array(roles)) => roles.iter().filter_map(Value::as_str).collect(),
            _ => vec![],
        };
        if self.allow_admin && names.contains(&Role::Admin.as_str()) {
            return Role::Admin;
        }
        let named = names.into_iter().find(|name| self.roles.contains(*name));
        named.and_then(|name| name.parse::<RoleName>().ok()).map_or(Role::User, Role::Named)
    }

    fn verified(&self) -> MutexGuard<'_, HashMap<JwtDigest, JwtCredential>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limits that the claims have. Malformed ones are refused: a limit that is not understood must
/// not be none.
fn limits(claims: &Claims) -> Result<Option<Box<OwnLimits>>, Refusal> {
    let Some(claim) = claims.get(LIMITS_CLAIM) else { return Ok(None) };
    let limits: Option<OwnLimits> = OwnLimits::deserialize(claim).ok();
    limits
        .filter(|_| claim.is_object())
        .map(|limits| (!limits.is_empty()).then(|| Box::new(limits)))
        .ok_or_else(|| Refusal::WrongClaim { claim: LIMITS_CLAIM, value: shown(claims, LIMITS_CLAIM) })
}

/// The content of the header, before anything is verified.
fn header(text: &str) -> Result<Header, Refusal> {
    let parts: Vec<_> = text.split('.').collect();
    let [header, _, _] = *parts else { return Err(Refusal::NoJwt("it has not three parts")) };
    let json =
        BASE64_URL_SAFE_NO_PAD.decode(header).map_err(|_| Refusal::NoJwt("its header is not base64url"))?;
    serde_json::from_slice(&json).map_err(|_| Refusal::NoJwt("its header is not JSON with \"alg\""))
}

/// Why the library refused a JWT.
fn refusal(text: &str, kind: &ErrorKind) -> Refusal {
    let claims: Claims = insecure_decode_claims(text).unwrap_or_default();
    let claim = |claim| Refusal::WrongClaim { claim, value: shown(&claims, claim) };
    match kind {
        ErrorKind::InvalidSignature => Refusal::WrongSignature,
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYetValid,
        ErrorKind::InvalidIssuer => claim("iss"),
        ErrorKind::InvalidAudience => claim("aud"),
        ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => {
            ["exp", "nbf", "iss", "aud", "sub"]
                .into_iter()
                .find(|known| known == name)
                .map_or(Refusal::NoJwt("a claim has the wrong form"), claim)
        }
        _ => Refusal::NoJwt("its header, claims or signature are malformed"),
    }
}

fn shown(claims: &Claims, claim: &str) -> String {
    claims.get(claim).map_or_else(|| "none".to_owned(), ToString::to_string)
}
