//! The endpoints of protocol v0.1, implemented on top of sessions.
//!
//! Each request creates an ephemeral session, answers with what is in its journal, and deletes it.
//! As in the first server, a program ends when the connection of its client is closed.
//!
//! | module | content |
//! | --- | --- |
//! | `livecode` | `GET /livecode`: a websocket that runs one program |
//! | `exec` | `POST /exec`: the output while the program runs |
//! | `runtimes` | `POST /runtimes/{runtime}`: the output when the program has ended |
//! | `request` | the parsing of `exec` documents, `X-Falcon-…` headers, and files |
//! | `ephemeral` | the session behind one request |

mod ephemeral;
pub(crate) mod exec;
pub(crate) mod livecode;
pub(crate) mod request;
pub(crate) mod runtimes;
