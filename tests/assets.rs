//! The files of the browser's client, served from the binary.

use crate::common::Server;

#[test]
fn scripts_are_served_to_pages_of_every_origin() {
    let server = Server::start();
    for name in ["livecode.js", "livecode-client.js", "livecode-editor.js"] {
        let path = format!("/static/{name}");
        let origin = [("origin", "https://course.example")];
        let answer = server.request("GET", &path, &origin, &[]);
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("cross-origin"));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));

        // What a browser has is asked for once, and sent again only when it is another.
        let etag = answer.header("etag").expect("a tag").to_owned();
        for tag in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}")] {
            let again = server.request("GET", &path, &[("if-none-match", &tag)], &[]);
            assert_eq!((again.status, again.text().as_str()), (304, ""), "{tag}");
            assert_eq!(again.header("etag"), Some(etag.as_str()));
        }
        assert_eq!(server.request("GET", &path, &[("if-none-match", "\"other\"")], &[]).status, 200);
    }
    let licences = server.get("/static/licences.txt");
    assert_eq!(licences.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(licences.text().contains("@codemirror/view\n\nMIT License"), "{}", licences.text());
    for path in ["/static/livecode.css", "/static/", "/static/..%2flivecode.js"] {
        assert_eq!(server.request("GET", path, &[], &[]).status, 404, "{path}");
    }
}
