//! The server that a command uses: its URL, the credentials for it, requests and their answers.

mod answer;
mod requests;
mod tls;
mod tokens;
mod unix;
mod url;

pub use answer::refusal;
pub use requests::{ServerClient, SessionRef};
