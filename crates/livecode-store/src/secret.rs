//! The form of secrets that the server hands out: a prefix, 40 hexadecimal digits, and 8 more that
//! are a checksum of all before them.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::hex::hex;
use crate::store::ControlStoreError;

/// Random bytes in a secret.
const SECRET_BYTES: usize = 20;
/// Hexadecimal digits of a secret's checksum (CRC-32C), by which scanners tell a secret from a text
/// that looks like one.
const CHECKSUM_DIGITS: usize = 8;

/// A new secret that begins with `prefix`.
pub(crate) fn generate(prefix: &str) -> Result<String, ControlStoreError> {
    let mut text = format!("{prefix}{}", hex(&random::<SECRET_BYTES>()?));
    let checksum = crc32c::crc32c(text.as_bytes());
    let _ = write!(text, "{checksum:08x}");
    Ok(text)
}

/// Whether a text has the form of a secret that begins with `prefix`.
pub(crate) fn is_well_formed(prefix: &str, text: &str) -> bool {
    let Some(digits) = text.strip_prefix(prefix) else { return false };
    let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex || digits.len() != 2 * SECRET_BYTES + CHECKSUM_DIGITS {
        return false;
    }
    let (checked, checksum) = text.split_at(text.len() - CHECKSUM_DIGITS);
    format!("{:08x}", crc32c::crc32c(checked.as_bytes())) == checksum
}

/// The form in which a secret is stored. It is random enough that a digest without salt and
/// iterations tells nothing about it.
pub(crate) fn digest(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], ControlStoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(ControlStoreError::Random)?;
    Ok(bytes)
}
