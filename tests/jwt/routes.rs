//! Every route with every credential of a server that takes JWTs.

use serde_json::Value;

use super::{Site, claims, start, with};
use crate::{
    routes::Targets,
    users::{User, crc32c},
};

#[test]
fn every_route_with_every_credential_of_a_server_with_jwts() {
    let site = Site::new();
    let (key, other) = (site.ed25519(), site.ed25519());
    let server = start(&site, &key, &[]);
    let ada = User::with(&server, &site.jwt(&key, "ada"));
    let headers = [("authorization", ada.authorization.as_str())];
    let targets = Targets::of(&server, &headers, None);
    let token = format!("livecode_{:040x}", 1);
    let wrong = [
        site.jwt(&other, "ada"),
        site.sign(&key, &with("exp", 1), &Value::Null),
        site.sign(&key, &with("iss", "https://elsewhere.example"), &Value::Null),
        site.sign(&key, &with("aud", "elsewhere"), &Value::Null),
        site.sign_as(&key.public, "HS256", &claims("ada"), &Value::Null),
        format!("{token}{:08x}", crc32c(&token)),
    ];
    targets.refuse(&[]);
    for credential in &wrong {
        targets.refuse(&[("authorization", &format!("Bearer {credential}"))]);
    }
    let mallory = format!("Bearer {}", site.jwt(&key, "mallory"));
    targets.hide(&[("authorization", &mallory)]);
    targets.are_whole(&headers);
}
