//! Bytes and digests as hexadecimal text, in lower case.

use sha2::{Digest as _, Sha256};

/// Writes each byte as two hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of `data`, as 64 hexadecimal digits.
pub(crate) fn sha256_hex(data: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(data))
}
