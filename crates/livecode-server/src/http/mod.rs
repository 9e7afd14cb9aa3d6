//! The HTTP interface and the websockets of the server, on top of the sessions.
//!
//! | module | content |
//! | --- | --- |
//! | `app` | the state that every handler can reach |
//! | `router` | all routes, and the OpenAPI document that describes them |
//! | `caller` | the caller of a request, and the address that it used |
//! | `body` | the bodies of requests: read within limits, charged, parsed |
//! | `notices` | what streams tell besides the session's entries, if asked |
//! | `parse_permits` | how many large bodies are parsed at once |
//! | `paging` | the pages of long lists |
//! | `problem` | problem documents: the errors of other modules with their HTTP status and code |
//! | `api::assets` | `/`, `/static/…`: the front page and the files of the browser client |
//! | `api::exercises` | `/exercises`, `/exercises/{id}` |
//! | `api::health` | `/healthz`, `/livez` |
//! | `api::info` | `/runtimes`, `/catalogue/reload`, `/catalogue/check` |
//! | `api::metrics` | `/metrics` |
//! | `api::session_list` | `GET /sessions` |
//! | `api::sessions` | `/sessions`, `/sessions/{id}` |
//! | `api::shares` | `/sessions/{id}/shares`, `/shares/redeem` |
//! | `api::stream` | `/sessions/{id}/stream`: websocket, server-sent events, NDJSON |
//! | `api::tickets` | `/tickets`, which open `/livecode` |
//! | `api::tokens` | `/tokens`: the users' tokens |
//! | `api::users` | `/users`: what the server has of users, for admins |
//! | `api::v01` | `/livecode`, `/exec`, `/runtimes/{runtime}` |
//! | `guest_cookie` | the cookie by which the browser of a guest is known |
//! | `origins` | which pages of other origins may use the server |
//! | `websocket` | the two halves of a websocket connection, for v0.1 and v0.2 |
//! | `encode` | journal entries as messages |
//! | `transport` | connections: accepted, limited, and closed without loss |

mod api;
mod app;
mod body;
mod caller;
mod encode;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod guest_cookie;
mod notices;
mod origins;
mod paging;
mod parse_permits;
mod problem;
mod router;
mod transport;
mod websocket;

pub(crate) use api::exercises::exercise_document;
pub use api::tokens::token_document;
pub(crate) use app::App;
pub(crate) use encode::entry_message;
pub(crate) use parse_permits::ParsePermits;
pub use transport::listeners::{ADMIN_SOCKET, ListenError};
pub(crate) use transport::{listen::serve, listeners::Listeners};
