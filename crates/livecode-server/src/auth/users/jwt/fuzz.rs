//! Properties that hold for any JWT, key file and JWKS, whatever their bytes. A fuzz target and a
//! test with the fuzz seeds check them.
#![allow(clippy::unwrap_used, missing_docs)] // a panic reports that a property does not hold

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use livecode_protocol::{now_us, token::Role};
use ring::hmac;

use super::{
    JwtUsers, SUB_BYTES_MAX,
    key::{Key, KeySet},
    key_source::Keys,
    ring_provider,
};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// The header `{"alg":"HS256"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiJ9";

pub fn jwt(data: &[u8]) {
    ring_provider::install();
    if let Ok(keys) = KeySet::from_jwks(data) {
        assert!(keys.keys().iter().all(|key| key.algorithm_name() != "HS256"));
    }
    let _ = Key::from_file(data);
    let users = JwtUsers {
        roles: BTreeSet::from(["pupil".to_owned()]),
        issuer: "https://learn.example".into(),
        audience: "livecode".into(),
        role_claim: Some("role".into()),
        allow_admin: false,
        keys: Keys::new(KeySet::One(Key::from_file(SECRET).unwrap()), None, Duration::MAX),
        verified: Mutex::default(),
    };
    if let Ok(text) = std::str::from_utf8(data) {
        let refusal = users.verify(text).unwrap_err().to_string();
        assert!(!refusal.contains(char::is_control), "{refusal:?}");
    }
    // The same bytes as claims, rightly signed.
    let message = format!("{HEADER}.{}", BASE64_URL_SAFE_NO_PAD.encode(data));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
    let signed = format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
    match users.verify(&signed) {
        Ok(verified) => {
            assert_eq!(&*verified.subject.issuer, "https://learn.example");
            assert!(verified.role == Role::User || verified.role.as_str() == "pupil");
            assert!((1..=SUB_BYTES_MAX).contains(&verified.subject.sub.len()));
            assert!(now_us() < verified.expires_us.saturating_add(2_000_000));
        }
        Err(refusal) => assert!(!refusal.to_string().contains(char::is_control), "{refusal}"),
    }
}
