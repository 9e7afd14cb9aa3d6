//! The cookie by which the browser of a guest is known to the server's own page.
//!
//! `SameSite=Lax` and not `Strict`: a browser that follows a link from another site to the page then
//! sends the cookie, so that the page does not get a new one in its place. That a page of another
//! origin does not act by the cookie rests on [`RequestFacts::page`], and not on the browser's idea
//! of a site, to which other ports and subdomains belong.

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};

use crate::auth::{Guest, GuestCookies, RequestFacts, RequestingPage};
use crate::http::app::App;

/// The names of the cookie. By TLS its prefix has browsers refuse one that another host, or a page
/// without TLS, has set (RFC 6265bis, section 4.1.3).
const NAME: &str = "livecode-guest";
const SECURE_NAME: &str = "__Host-livecode-guest";
/// How long a browser keeps the cookie. Each visit of the page renews that.
const MAX_AGE_S: u64 = 365 * 24 * 60 * 60;

/// The cookie of a request, which this server has made.
#[derive(Debug)]
pub(crate) struct FoundCookie {
    value: String,
    pub guest: Guest,
}

/// A cookie that the answer to a request sets.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// The value that the browser has; `None` if it needs a new one.
    value: Option<String>,
    is_secure: bool,
}

/// The cookie of a guest in a request. There is none if a request has several that are valid: one
/// of them may have been set by another page of this host's domain.
pub(crate) fn find(cookies: &GuestCookies, headers: &HeaderMap, is_secure: bool) -> Option<FoundCookie> {
    let name = if is_secure { SECURE_NAME } else { NAME };
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let values = pairs.filter(|(own, _)| *own == name).map(|(_, value)| value);
    let mut found = values.filter_map(|value| {
        let guest = cookies.guest(value)?;
        Some(FoundCookie { value: value.to_owned(), guest })
    });
    let first = found.next()?;
    found.all(|other| other.guest == first.guest).then_some(first)
}

/// The cookie that the answer to a guest's request should set: one that the page at `/` has not
/// yet, or has renewed; elsewhere a missing one, if the page is the server's own.
pub(crate) fn offer(
    facts: &RequestFacts<'_>,
    request: &Request,
    found: Option<&FoundCookie>,
) -> Option<Offer> {
    let is_page = request.method() == Method::GET && request.uri().path() == "/";
    let destination = request.headers().get("sec-fetch-dest");
    let is_opened = is_page && destination.is_none_or(|destination| destination == "document");
    let is_missed = found.is_none() && facts.page() == RequestingPage::Own;
    (is_opened || is_missed)
        .then(|| Offer { value: found.map(|found| found.value.clone()), is_secure: facts.is_secure })
}

/// Middleware of the page and of the routes that it uses: sets the cookie that the answer should
/// set.
pub(crate) async fn set(
    State(app): State<App>,
    offer: Option<Extension<Offer>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let Some(Extension(Offer { value, is_secure })) = offer else { return response };
    // Without random numbers the browser gets no cookie, and the answer is as good as before.
    let made = || app.credentials.guest_cookies()?.make().ok();
    let Some(value) = value.or_else(made) else { return response };
    let (name, secure) = if is_secure { (SECURE_NAME, "; Secure") } else { (NAME, "") };
    let cookie = format!("{name}={value}; Path=/; Max-Age={MAX_AGE_S}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        let headers = response.headers_mut();
        headers.append(header::SET_COOKIE, cookie);
        // A cache must give nobody the cookie of another browser.
        let caching =
            headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let caching = if caching == "no-cache" { "private, no-cache" } else { "no-store" };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use livecode_store::SIGNING_KEY_BYTES;

    #[test]
    fn a_cookie_is_found_among_others_if_only_one_is_valid() {
        let cookies = GuestCookies::new([7; SIGNING_KEY_BYTES]);
        let (one, other) = (cookies.make().unwrap(), cookies.make().unwrap());
        let find = |lines: &[String], is_secure| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::try_from(line).unwrap());
            }
            super::find(&cookies, &headers, is_secure).map(|found| found.value)
        };
        let plain = |value: &str| format!("{NAME}={value}");
        assert_eq!(find(&[], false), None);
        assert_eq!(find(&[plain(&one)], false), Some(one.clone()));
        assert_eq!(find(&[format!("a=b; {}; c=d", plain(&one))], false), Some(one.clone()));
        assert_eq!(find(&["a=b".into(), plain(&one), plain("wrong")], false), Some(one.clone()));
        assert_eq!(find(&[format!("{}; {}", plain(&one), plain(&one))], false), Some(one.clone()));
        assert_eq!(find(&[format!("{}; {}", plain(&one), plain(&other))], false), None);
        assert_eq!(find(&[format!("x{}", plain(&one))], false), None);
        assert_eq!(find(&[plain("wrong")], false), None);
        // By TLS only the name counts that no page without TLS can set.
        assert_eq!(find(&[plain(&one)], true), None);
        assert_eq!(find(&[format!("__Host-{}", plain(&one))], true), Some(one.clone()));
        assert_eq!(find(&[format!("__Host-{}", plain(&one))], false), None);
    }
}
