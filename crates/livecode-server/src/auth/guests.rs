//! Guests: what names them, and the signed cookie by which their browsers are known.
//!
//! A guest is named by a token that its client has chosen and keeps, or by a cookie that the server
//! has made for its own page. Both are secrets of 128 random bits. The server keeps neither, and no
//! list of guests: a session's record has a digest of what named its owner.
//!
//! The cookie is signed with a key of its own (HMAC-SHA-256, RFC 2104), so that only the server makes
//! some. It says who a browser is, and nothing about the page that had it sent. So it counts only for
//! requests of the server's own page ([`super::RequestingPage`]).
//!
//! A page of `/embed` gets its token from the server, with a signature ([`FramePasses`]).

use std::{net::IpAddr, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use livecode_protocol::SessionId;
use livecode_store::SIGNING_KEY_BYTES;
use sha2::Sha256;

use super::{Owner, Payer};
use crate::hex::{hex, sha256_hex};

/// Goes before the number of a cookie in the digest that names its guest, so that no token names
/// the same guest.
const COOKIE_PREFIX: &str = "cookie ";

/// A guest that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The digest that names the guest, in hexadecimal.
    digest: String,
    /// Whether its browser is known by a cookie, so that it needs no ticket for a stream.
    is_of_cookie: bool,
    /// Whether the GETs of the same page will show the guest, too.
    has_lasting_name: bool,
}

impl Guest {
    /// The guest that a token names.
    pub fn of_token(token: &str) -> Self {
        Self::of_digest(sha256_hex(token))
    }

    /// The guest with this digest, which a ticket has.
    pub fn of_digest(digest: String) -> Self {
        Self { digest, is_of_cookie: false, has_lasting_name: true }
    }

    /// The digest that names the guest. It is of no use in place of the token or cookie.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether the guest is known by a cookie.
    pub fn is_of_cookie(&self) -> bool {
        self.is_of_cookie
    }

    /// Whether all requests of the same page show the guest. A page without TLS that adds no header
    /// sends `Origin` with its POSTs alone, so the cookie does not count for its GETs.
    pub fn has_lasting_name(&self) -> bool {
        self.has_lasting_name
    }

    /// The same guest, by a request of a page.
    pub fn with_lasting_name(self, has_lasting_name: bool) -> Self {
        Self { has_lasting_name, ..self }
    }

    /// The owner of the sessions that this guest creates.
    pub fn owner(&self) -> Owner {
        Owner::Guest(self.digest.clone())
    }
}

/// Makes the cookies of guests, and checks what was made.
pub struct GuestCookies {
    key: [u8; SIGNING_KEY_BYTES],
}

impl GuestCookies {
    /// Cookies that are signed with a key from the control store.
    pub fn new(key: [u8; SIGNING_KEY_BYTES]) -> Self {
        Self { key }
    }

    /// The value of a cookie for a new guest: 32 hexadecimal digits and the signature in base64url,
    /// with a dot between them.
    ///
    /// # Errors
    /// If the kernel has no random numbers.
    pub fn make(&self) -> Result<String, getrandom::Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        Ok(self.sign(&hex(&random)))
    }

    fn sign(&self, number: &str) -> String {
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.mac(number).finalize().into_bytes());
        format!("{number}.{signature}")
    }

    /// The guest that the value of a cookie names, if this server has made it.
    pub fn guest(&self, value: &str) -> Option<Guest> {
        let (number, signature) = value.split_once('.')?;
        number.parse::<SessionId>().ok()?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        // The comparison takes as long for a wrong signature as for the right one.
        self.mac(number).verify_slice(&signature).ok()?;
        let digest = sha256_hex(format!("{COOKIE_PREFIX}{number}"));
        Some(Guest { digest, is_of_cookie: true, has_lasting_name: true })
    }

    fn mac(&self, number: &str) -> Hmac<Sha256> {
        Hmac::<Sha256>::new(&self.key.into()).chain_update(number)
    }
}

/// The key is not shown by accident.
impl std::fmt::Debug for GuestCookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GuestCookies(…)")
    }
}

/// The token of a guest in what a client sends as its bearer token: all of it, or the part of a
/// frame's pass before the signature.
///
/// Only tokens of our form count. A faulty page may send a constant such as "undefined"; its users
/// must not all become one owner.
pub fn guest_token(bearer: &str) -> Option<&str> {
    let token = bearer.split_once('.').map_or(bearer, |(token, _)| token);
    token.parse::<SessionId>().is_ok().then_some(token)
}

/// Makes the passes of frames, and checks what was made.
///
/// A page of `/embed` has an opaque origin, as every page in a sandbox. By its pass the server
/// tells it from the others. A pass is the token of a new guest, 32 hexadecimal digits, the time
/// until which it is good, in milliseconds since the epoch, and a signature (HMAC-SHA-256) in
/// base64url, with dots between them. The signature covers the network of the client that has
/// loaded the page: another site cannot fetch a pass and hand it to its visitors. Behind a proxy
/// that the server does not know, all clients have the proxy's address, and only the time bounds
/// what such a pass is good for.
pub struct FramePasses {
    key: [u8; SIGNING_KEY_BYTES],
    /// How long a pass is good.
    lifetime: Duration,
}

impl FramePasses {
    /// Passes that are good for `lifetime` and are signed with the key of tickets. No ticket has
    /// the text that is signed here.
    pub fn new(key: [u8; SIGNING_KEY_BYTES], lifetime: Duration) -> Self {
        Self { key, lifetime }
    }

    /// A pass for a page that `client` loads at `now_us`, in microseconds since the epoch; `None`
    /// stands for an address that is not known.
    ///
    /// # Errors
    /// If the kernel has no random numbers.
    pub fn make(&self, client: Option<IpAddr>, now_us: u64) -> Result<String, getrandom::Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let lifetime_ms = u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX);
        let signed = format!("{}.{}", hex(&random), (now_us / 1000).saturating_add(lifetime_ms));
        let signature = self.mac(&signed, client).finalize().into_bytes();
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Whether `bearer` is a pass that this server has made for a page of `client`, and is good at
    /// `now_us`, in microseconds since the epoch.
    pub fn has_made(&self, bearer: &str, client: Option<IpAddr>, now_us: u64) -> bool {
        let Some((signed, signature)) = bearer.rsplit_once('.') else { return false };
        let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else { return false };
        let expires_ms = signed.split_once('.').and_then(|(_, expires)| expires.parse::<u64>().ok());
        // The comparison takes as long for a wrong signature as for the right one.
        self.mac(signed, client).verify_slice(&signature).is_ok()
            && expires_ms.is_some_and(|expires_ms| now_us / 1000 < expires_ms)
    }

    fn mac(&self, signed: &str, client: Option<IpAddr>) -> Hmac<Sha256> {
        let network = client.map(Payer::network_of).map(|network| network.to_string()).unwrap_or_default();
        Hmac::<Sha256>::new(&self.key.into()).chain_update(format!("frame {signed} {network}"))
    }
}

/// The key is not shown by accident.
impl std::fmt::Debug for FramePasses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FramePasses(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_here_names_a_guest() {
        let cookies = GuestCookies::new([7; SIGNING_KEY_BYTES]);
        let (one, other) = (cookies.make().unwrap(), cookies.make().unwrap());
        let guest = cookies.guest(&one).unwrap();
        assert_eq!(cookies.guest(&one), Some(guest.clone()), "it is the same each time");
        assert_ne!(cookies.guest(&other), Some(guest.clone()));
        assert_eq!(GuestCookies::new([8; SIGNING_KEY_BYTES]).guest(&one), None, "another key");
        let (number, signature) = one.split_once('.').unwrap();
        assert_ne!(Guest::of_token(number).owner(), guest.owner(), "a token is no cookie");
        let (other_number, _) = other.split_once('.').unwrap();
        for wrong in [
            format!("{other_number}.{signature}"),
            format!("{number}."),
            number.to_owned(),
            format!("{number}.{signature}.{signature}"),
            format!(".{signature}"),
            cookies.sign("x"),
            String::new(),
        ] {
            assert_eq!(cookies.guest(&wrong), None, "{wrong}");
        }
        // A value needs neither quotes nor escapes (RFC 6265, section 4.1.1).
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{one}");
    }

    #[test]
    fn a_pass_is_good_for_the_network_that_has_loaded_its_frame() {
        const LIFETIME: Duration = Duration::from_secs(60);
        let passes = FramePasses::new([7; SIGNING_KEY_BYTES], LIFETIME);
        let at = |text: &str| Some(text.parse().unwrap());
        let pass = passes.make(at("192.0.2.7"), 5_000).unwrap();
        assert!(passes.has_made(&pass, at("192.0.2.7"), 5_000));
        assert!(passes.has_made(&pass, at("192.0.2.7"), 60_004_999));
        assert!(!passes.has_made(&pass, at("192.0.2.7"), 60_005_000), "it has expired");
        assert!(passes.has_made(&pass, at("::ffff:192.0.2.7"), 0), "the same address");
        assert!(!passes.has_made(&pass, at("192.0.2.8"), 0), "another client");
        assert!(!passes.has_made(&pass, None, 0));
        let other_key = FramePasses::new([8; SIGNING_KEY_BYTES], LIFETIME);
        assert!(!other_key.has_made(&pass, at("192.0.2.7"), 0), "another key");
        let wide = passes.make(at("2001:db8::1"), 0).unwrap();
        assert!(passes.has_made(&wide, at("2001:db8::2"), 0), "the same network");
        let token = guest_token(&pass).unwrap();
        assert_eq!(token.len(), 32);
        let other = passes.make(at("192.0.2.7"), 0).unwrap();
        let (_, other_signature) = other.rsplit_once('.').unwrap();
        let (signed, signature) = pass.rsplit_once('.').unwrap();
        for wrong in [
            format!("{signed}.{other_signature}"),
            format!("{token}.60006.{signature}"),
            format!("{token}.{signature}"),
            format!("{signed}."),
            signed.to_owned(),
            token.to_owned(),
            String::new(),
        ] {
            assert!(!passes.has_made(&wrong, at("192.0.2.7"), 0), "{wrong}");
        }
        for (bearer, expected) in [(token, Some(token)), ("undefined", None), ("a.b", None), ("", None)] {
            assert_eq!(guest_token(bearer), expected);
        }
    }
}
