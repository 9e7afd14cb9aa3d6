//! The keys that sign JWTs. Each is for one algorithm, which follows from what the key is.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{auth::users::refusal::Refusal, hex::sha256_hex};

/// The shortest RSA key, in bits. Shorter ones can be broken, and ring refuses them.
const RSA_BITS_MIN: usize = 2048;
/// The shortest secret of HS256, in bytes (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// A coordinate of a point of P-256, and a key of Ed25519, in bytes.
const CURVE_BYTES: usize = 32;
/// The most keys that are taken from a JWKS.
const KEYS_MAX: usize = 100;
/// Digits of a key's fingerprint.
const FINGERPRINT_DIGITS: usize = 16;

/// A key that signs JWTs.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its id in a JWKS.
    id: Option<String>,
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
    /// Tells the key from all others. It says nothing about a secret that is random.
    pub fingerprint: String,
}

/// All keys of an issuer.
#[derive(Clone, Debug)]
pub enum KeySet {
    /// The key of a file. The id in a JWT's header does not matter.
    One(Key),
    /// The keys of a JWKS, which JWTs name by their ids.
    Many(Vec<Key>),
}

/// The content of a file is not a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// It has a private key.
    #[error(
        "this is the private key, which only the issuer needs; put the public key there: openssl pkey -in FILE -pubout"
    )]
    Private,
    /// It has a certificate.
    #[error("this is a certificate; put its public key there: openssl x509 -in FILE -noout -pubkey")]
    Certificate,
    /// It has a JWK or a JWKS.
    #[error("this is JSON; name a file of keys (JWKS) with jwt_jwks, or put one key in PEM form there")]
    Json,
    /// It has several keys.
    #[error("there is more than one PEM block; put one public key there, or use jwt_jwks for several keys")]
    Several,
    /// It is a public key without the lines of PEM. As a secret it would let everybody sign.
    #[error(
        "this is a key without the lines of PEM around it, and no secret: put it between -----BEGIN PUBLIC KEY----- \
         and -----END PUBLIC KEY-----"
    )]
    Bare,
    /// The public key is of a kind that no algorithm uses.
    #[error("there is no public key of RSA, P-256 or Ed25519 in PEM form; other algorithms are not known")]
    Unknown,
    /// The key is too short to be safe.
    #[error("the RSA key is too short: it must have at least {RSA_BITS_MIN} bits")]
    ShortRsa,
    /// The secret is too short to be safe.
    #[error(
        "a secret for HS256 has at least {SECRET_BYTES_MIN} bytes; make one with: openssl rand -base64 32"
    )]
    ShortSecret,
}

/// The text is not a JWKS, or has no key that can be used.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// It is not JSON of the form of RFC 7517.
    #[error("it is not a JWKS, a JSON document with an array \"keys\"")]
    Malformed(#[source] serde_json::Error),
    /// It has no key that can be used.
    #[error(
        "it has no key that can be used; there must be a public key of RSA ({RSA_BITS_MIN} bits or more), P-256 or \
         Ed25519 for signatures"
    )]
    NoKey,
}

impl Key {
    fn new(id: Option<String>, algorithm: Algorithm, decoding: DecodingKey) -> Self {
        let (first, second) = match decoding.kind() {
            DecodingKeyKind::SecretOrDer(key) => (&**key, &[][..]),
            DecodingKeyKind::RsaModulusExponent { n, e } => (&**n, &**e),
        };
        let content =
            format!("{algorithm:?} {} {}", BASE64_STANDARD.encode(first), BASE64_STANDARD.encode(second));
        let mut fingerprint = sha256_hex(&content);
        fingerprint.truncate(FINGERPRINT_DIGITS);
        Self { id, algorithm, decoding, fingerprint }
    }

    /// The name of its algorithm, as in a JWT's header.
    pub fn algorithm_name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::RS256 => "RS256",
            Algorithm::ES256 => "ES256",
            Algorithm::EdDSA => "EdDSA",
            _ => "HS256",
        }
    }

    /// The key in a file: a public key in PEM form, or else a secret for HS256.
    pub fn from_file(content: &[u8]) -> Result<Self, KeyFileError> {
        let text = content.trim_ascii();
        let count =
            |words: &str| text.windows(words.len()).filter(|window| *window == words.as_bytes()).count();
        match count("-----BEGIN ") {
            0 => return Self::from_secret(text),
            1 => {}
            _ => return Err(KeyFileError::Several),
        }
        if count("PRIVATE KEY-----") > 0 {
            return Err(KeyFileError::Private);
        }
        if count("-----BEGIN CERTIFICATE-----") > 0 {
            return Err(KeyFileError::Certificate);
        }
        let bytes = |key: &DecodingKey| key.try_get_as_bytes().map_or(0, <[u8]>::len);
        if let Ok(key) = DecodingKey::from_rsa_pem(text) {
            // DER adds little around the modulus. A key that is shorter by some bits all the
            // same is refused by ring with each signature.
            return match bytes(&key) > RSA_BITS_MIN / 8 {
                true => Ok(Self::new(None, Algorithm::RS256, key)),
                false => Err(KeyFileError::ShortRsa),
            };
        }
        // A point of another curve has another length.
        match (DecodingKey::from_ec_pem(text), DecodingKey::from_ed_pem(text)) {
            (Ok(key), _) if bytes(&key) == 1 + 2 * CURVE_BYTES => Ok(Self::new(None, Algorithm::ES256, key)),
            (_, Ok(key)) if bytes(&key) == CURVE_BYTES => Ok(Self::new(None, Algorithm::EdDSA, key)),
            _ => Err(KeyFileError::Unknown),
        }
    }

    fn from_secret(text: &[u8]) -> Result<Self, KeyFileError> {
        if text.first() == Some(&b'{') {
            return Err(KeyFileError::Json);
        }
        // Some issuers show their public key as base64 alone. It must not become a secret, since
        // everybody knows it.
        let packed: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if is_der(text) || BASE64_STANDARD.decode(&packed).is_ok_and(|bytes| is_der(&bytes)) {
            return Err(KeyFileError::Bare);
        }
        if text.len() < SECRET_BYTES_MIN {
            return Err(KeyFileError::ShortSecret);
        }
        let key = DecodingKey::from_secret(text).map_err(|_| KeyFileError::ShortSecret)?;
        Ok(Self::new(None, Algorithm::HS256, key))
    }

    /// A key of a JWKS; `None` if it cannot be used to check signatures here. A secret cannot: what
    /// is published at a URL is not secret.
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let (algorithm, named, key) = match &jwk.algorithm {
            AlgorithmParameters::RSA(key) => {
                let (n, e) = (decode(&key.n)?, decode(&key.e)?);
                let n = &n[n.iter().take_while(|byte| **byte == 0).count()..];
                let bits = 8 * n.len() - n.first().map_or(0, |first| first.leading_zeros() as usize);
                if bits < RSA_BITS_MIN {
                    return None;
                }
                (Algorithm::RS256, KeyAlgorithm::RS256, DecodingKey::from_rsa_raw_components(n, &e))
            }
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                let (x, y) = (decode(&key.x)?, decode(&key.y)?);
                if x.len() != CURVE_BYTES || y.len() != CURVE_BYTES {
                    return None;
                }
                let key = DecodingKey::from_ec_components(&key.x, &key.y).ok()?;
                (Algorithm::ES256, KeyAlgorithm::ES256, key)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                let key = DecodingKey::from_ed_components(&key.x).ok()?;
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA, key)
            }
            _ => return None,
        };
        let is_for_it = common.key_algorithm.is_none_or(|algorithm| algorithm == named)
            && common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
        is_for_it.then(|| Self::new(common.key_id.clone(), algorithm, key))
    }
}

impl KeySet {
    /// The keys of a JWKS (RFC 7517). Those that cannot be used are left out.
    pub fn from_jwks(text: &[u8]) -> Result<Self, JwksError> {
        #[derive(Deserialize)]
        struct Jwks {
            keys: Vec<Value>,
        }
        let Jwks { keys } = serde_json::from_slice(text).map_err(JwksError::Malformed)?;
        let (count, keys) = (keys.len(), keys.into_iter().take(KEYS_MAX));
        let usable = |jwk: Value| Key::from_jwk(&serde_json::from_value(jwk).ok()?);
        let keys: Vec<_> = keys.filter_map(usable).collect();
        if keys.is_empty() {
            return Err(JwksError::NoKey);
        }
        if keys.len() < count {
            tracing::debug!(
                count,
                usable = keys.len(),
                "some keys of the JWKS cannot be used and are left out"
            );
        }
        Ok(Self::Many(keys))
    }

    /// The key for a JWT with these values in its header.
    pub fn find(&self, algorithm: &str, id: Option<&str>) -> Result<&Key, Refusal> {
        let found: Vec<&Key> = match (self, id) {
            (Self::One(key), _) => vec![key],
            (Self::Many(keys), Some(id)) => keys.iter().filter(|key| key.id.as_deref() == Some(id)).collect(),
            (Self::Many(keys), None) => {
                let mut fitting = keys.iter().filter(|key| key.algorithm_name() == algorithm);
                return match (fitting.next(), fitting.next()) {
                    (Some(key), None) => Ok(key),
                    _ => Err(Refusal::NoKey(algorithm.to_owned())),
                };
            }
        };
        let Some(first) = found.first() else {
            return Err(Refusal::UnknownKey(id.unwrap_or_default().to_owned()));
        };
        let fitting = found.iter().find(|key| key.algorithm_name() == algorithm);
        fitting.copied().ok_or_else(|| Refusal::WrongAlgorithm {
            algorithm: algorithm.to_owned(),
            expected: first.algorithm_name(),
        })
    }

    /// Whether there is a key with this fingerprint.
    pub fn has(&self, fingerprint: &str) -> bool {
        self.keys().iter().any(|key| key.fingerprint == fingerprint)
    }

    /// The keys.
    pub fn keys(&self) -> &[Key] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(keys) => keys,
        }
    }
}

/// The bytes of a member of a JWK. Some issuers pad base64url, though RFC 7518 forbids it.
fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// Whether bytes are one value of the type SEQUENCE in DER, as all keys and certificates are.
fn is_der(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, length, rest @ ..] if *length < 0x80 => rest.len() == usize::from(*length),
        [0x30, 0x81, length, rest @ ..] => rest.len() == usize::from(*length),
        [0x30, 0x82, high, low, rest @ ..] => rest.len() == usize::from(*high) << 8 | usize::from(*low),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

    #[test]
    fn a_public_key_never_becomes_a_secret() {
        let der = BASE64_STANDARD.decode(ED25519).unwrap();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{ED25519}\n-----END PUBLIC KEY-----\n");
        assert_eq!(Key::from_file(pem.as_bytes()).unwrap().algorithm_name(), "EdDSA");
        let secret = "0123456789abcdef0123456789abcdef\n";
        assert_eq!(Key::from_file(secret.as_bytes()).unwrap().algorithm_name(), "HS256");
        let folded = format!("{}\n{}\n", &ED25519[..20], &ED25519[20..]);
        let private = pem.replace("PUBLIC", "PRIVATE");
        let certificate = pem.replace("PUBLIC KEY", "CERTIFICATE");
        let refused: [(&[u8], KeyFileError); 9] = [
            (ED25519.as_bytes(), KeyFileError::Bare),
            (folded.as_bytes(), KeyFileError::Bare),
            (&der, KeyFileError::Bare),
            (b" {\"keys\": [], \"long\": \"0123456789abcdef0123456789abcdef\"}", KeyFileError::Json),
            (private.as_bytes(), KeyFileError::Private),
            (certificate.as_bytes(), KeyFileError::Certificate),
            (&[pem.as_bytes(), pem.as_bytes()].concat(), KeyFileError::Several),
            (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", KeyFileError::Unknown),
            (b"short", KeyFileError::ShortSecret),
        ];
        for (content, expected) in refused {
            assert_eq!(
                Key::from_file(content).unwrap_err(),
                expected,
                "{}",
                String::from_utf8_lossy(content)
            );
        }
    }

    #[test]
    fn a_jwks_gives_what_can_be_used() {
        let x = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE";
        let keys = [
            format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"a","x":"{x}"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"e","x":"{x}","use":"enc"}}"#),
            format!(r#"{{"kty":"OKP","crv":"X25519","kid":"x","x":"{x}"}}"#),
            format!(r#"{{"kty":"oct","kid":"s","alg":"HS256","k":"{x}"}}"#),
            format!(r#"{{"kty":"RSA","kid":"short","n":"{x}","e":"AQAB"}}"#),
            format!(r#"{{"kty":"EC","crv":"P-384","kid":"p","x":"{x}","y":"{x}"}}"#),
            r#"{"kty":"new","kid":"n"}"#.to_owned(),
            "7".to_owned(),
        ];
        let set = KeySet::from_jwks(format!("{{\"keys\":[{}]}}", keys.join(",")).as_bytes()).unwrap();
        assert_eq!(set.keys().len(), 1);
        assert!(set.find("EdDSA", Some("a")).is_ok() && set.find("EdDSA", None).is_ok());
        for id in ["e", "x", "s", "short", "p", "n", ""] {
            assert_eq!(set.find("EdDSA", Some(id)).unwrap_err(), Refusal::UnknownKey(id.into()));
        }
        for algorithm in ["HS256", "none", "RS256"] {
            let wrong = set.find(algorithm, Some("a")).unwrap_err();
            assert_eq!(wrong, Refusal::WrongAlgorithm { algorithm: algorithm.into(), expected: "EdDSA" });
            assert_eq!(set.find(algorithm, None).unwrap_err(), Refusal::NoKey(algorithm.into()));
        }
        assert!(matches!(KeySet::from_jwks(b"{\"keys\":[]}"), Err(JwksError::NoKey)));
        assert!(matches!(KeySet::from_jwks(b"<html>"), Err(JwksError::Malformed(_))));
    }
}
