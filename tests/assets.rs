//! The browser client's files, which the binary serves.

use crate::common::Server;

#[test]
fn scripts_are_served_to_pages_of_every_origin() {
    let server = Server::start();
    for name in ["livecode.js", "livecode-client.js", "livecode-editor.js"] {
        let path = format!("/static/{name}");
        let origin = [("origin", "https://course.example")];
        let response = server.request("GET", &path, &origin, &[]);
        assert_eq!(response.status, 200, "{name}");
        assert_eq!(response.header("content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.header("cross-origin-resource-policy"), Some("cross-origin"));
        assert_eq!(response.header("cache-control"), Some("no-cache"));

        // A browser revalidates its copy with the tag and receives the body only if it has
        // changed.
        let etag = response.header("etag").expect("an ETag").to_owned();
        for tag in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}")] {
            let revalidated = server.request("GET", &path, &[("if-none-match", &tag)], &[]);
            assert_eq!((revalidated.status, revalidated.text().as_str()), (304, ""), "{tag}");
            assert_eq!(revalidated.header("etag"), Some(etag.as_str()));
        }
        assert_eq!(server.request("GET", &path, &[("if-none-match", "\"other\"")], &[]).status, 200);
    }
    let licences = server.get("/static/licences.txt");
    assert_eq!(licences.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(licences.text().contains("@codemirror/view\n\nMIT License"), "{}", licences.text());
    assert_eq!(
        server.get("/static/livecode-page.css").header("content-type"),
        Some("text/css; charset=utf-8")
    );
    // The page is served at `/` only, where its policy is sent with it.
    for path in ["/static/page.html", "/static/livecode.css", "/static/", "/static/..%2flivecode.js"] {
        assert_eq!(server.request("GET", path, &[], &[]).status, 404, "{path}");
    }
}

#[test]
fn the_front_page_is_served_under_a_strict_policy() {
    let server = Server::start();
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a Content-Security-Policy");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    for allowed in ["unsafe", "http", "*", "blob:"] {
        assert!(!policy.contains(allowed), "{policy}");
    }
    for (directive, sources) in
        [("script-src", "'self'"), ("img-src", "data:"), ("frame-ancestors", "'none'")]
    {
        assert!(policy.contains(&format!("{directive} {sources};")), "{policy}");
    }
    // The page refers to nothing outside this server, and every file that it refers to exists.
    let text = page.text();
    for name in text.split(['"', '\'']).filter(|part| part.starts_with("static/")) {
        assert_eq!(server.get(&format!("/{name}")).status, 200, "{name}");
    }
    assert!(!text.contains("=\"http") && !text.contains("=\"//"), "{text}");
    assert!(!text.contains(" style=") && !text.contains("<style"), "{text}");
    let etag = page.header("etag").expect("an ETag").to_owned();
    assert_eq!(server.request("GET", "/", &[("if-none-match", &etag)], &[]).status, 304);
}
