//! The server that a command uses: its URL, the credentials for it, requests and their answers.

mod answer;
mod requests;
mod share_link;
mod tls;
mod tokens;
mod unix;
mod url;

pub use answer::{into_success, refusal};
pub use requests::{DEFAULT_URL, HttpRequest, ServerClient, SessionRef};
pub use share_link::ShareLink;
pub use tls::explain as explain_tls;
pub use url::ServerUrl;
