//! The link by which a session is shared, as a person pastes it.

use std::{fmt, str::FromStr};

use super::url::ServerUrl;

/// A link to a session: the server, and the secret that opens the session.
#[derive(Clone)]
pub struct ShareLink {
    /// The server.
    pub server: ServerUrl,
    /// The secret.
    pub secret: String,
}

impl FromStr for ShareLink {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (server, fragment) =
            text.split_once('#').ok_or("a link has the secret behind a #, as in https://host/#share=…")?;
        // A page adds the program to its links.
        let secret = fragment.split('&').find_map(|parameter| parameter.strip_prefix("share="));
        let secret = secret.filter(|secret| !secret.is_empty()).ok_or(
            "this link opens no session: it has no #share=…; quote the link, so that the shell keeps it whole",
        )?;
        let server = server.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { server, secret: secret.to_owned() })
    }
}

/// The secret is not shown by accident.
impl fmt::Debug for ShareLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShareLink({}/#share=…)", self.server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_taken_apart() {
        let link: ShareLink =
            "https://live.example/course/#share=livecode_share_0&runtime=python".parse().unwrap();
        assert_eq!(
            (link.server.to_string(), link.secret.as_str()),
            ("https://live.example/course".to_owned(), "livecode_share_0")
        );
        assert!(!format!("{link:?}").contains("livecode_share_0"));
        for text in
            ["https://live.example/", "https://live.example/#share=", "https://a/#session=0", "a#share=x"]
        {
            assert!(text.parse::<ShareLink>().is_err(), "{text}");
        }
    }
}
