//! Tickets: what a browser puts into the URL of a websocket, since it cannot send a token there.
//!
//! A ticket stands for the credential of the caller for whom it was made, for one session, and for a
//! short time. The server keeps no tickets: a ticket is signed (HMAC-SHA-256, RFC 2104), and what it
//! stands for is checked whenever it is used.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use livecode_protocol::SessionId;
use livecode_store::SIGNING_KEY_BYTES;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::users::Credential;

/// The content of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The session whose stream it opens; `None` for `/livecode`.
    pub session: Option<SessionId>,
    /// The caller for whom it was made.
    #[serde(rename = "credential")]
    pub holder: TicketHolder,
    /// When it expires, in microseconds since the epoch.
    pub expires_us: u64,
}

/// The caller for whom a ticket was made, by what it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TicketHolder {
    /// A user.
    User(Credential),
    /// A caller that has the secret of the share with this id.
    Share {
        /// The share's id.
        share: String,
    },
    /// A guest that is known by a token.
    Guest {
        /// The digest that names it.
        guest: String,
    },
}

/// Signs tickets, and checks what was signed.
pub struct TicketSigner {
    key: [u8; SIGNING_KEY_BYTES],
}

impl TicketSigner {
    /// A signer with a key from the control store.
    pub fn new(key: [u8; SIGNING_KEY_BYTES]) -> Self {
        Self { key }
    }

    /// The text of a ticket: what it says and the signature, each in base64url, with a dot between
    /// them.
    pub fn sign(&self, ticket: &Ticket) -> String {
        let content = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(ticket).unwrap_or_default());
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.mac(&content).finalize().into_bytes());
        format!("{content}.{signature}")
    }

    /// The content of a ticket, if this server has signed it and it has not expired at `now_us`.
    pub fn check(&self, text: &str, now_us: u64) -> Option<Ticket> {
        let (content, signature) = text.split_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        // The comparison takes as long for a wrong signature as for the right one.
        self.mac(content).verify_slice(&signature).ok()?;
        let ticket: Ticket = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(content).ok()?).ok()?;
        (now_us < ticket.expires_us).then_some(ticket)
    }

    fn mac(&self, content: &str) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new(&self.key.into());
        mac.chain_update(content)
    }
}

/// The key is not shown by accident.
impl std::fmt::Debug for TicketSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketSigner(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_here_is_a_ticket() {
        let signer = TicketSigner::new([7; SIGNING_KEY_BYTES]);
        let ticket = Ticket {
            session: Some("00112233445566778899aabbccddeeff".parse().unwrap()),
            holder: TicketHolder::User(Credential::Token("5f0c61c1a3d9".into())),
            expires_us: 100,
        };
        let text = signer.sign(&ticket);
        assert_eq!(signer.check(&text, 99), Some(ticket.clone()));
        assert_eq!(signer.check(&text, 100), None, "it has expired");
        assert_eq!(TicketSigner::new([8; SIGNING_KEY_BYTES]).check(&text, 1), None, "another key");
        let (content, signature) = text.split_once('.').unwrap();
        let other = signer.sign(&Ticket { expires_us: 1_000, ..ticket });
        let (other_content, _) = other.split_once('.').unwrap();
        for wrong in [
            format!("{other_content}.{signature}"),
            format!("{content}."),
            content.to_owned(),
            format!("{content}.{signature}.{signature}"),
            String::new(),
        ] {
            assert_eq!(signer.check(&wrong, 1), None, "{wrong}");
        }
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{text}");
    }
}
