//! Properties that hold for any request, whatever its bytes. The fuzz targets and a test with the
//! fuzz seeds check them.
//!
//! | module | content |
//! | --- | --- |
//! | `requests` | the parsing of requests |
//! | `resolution` | the resolution of a request into the spec of a session |

mod requests;
pub(crate) mod resolution;

pub use requests::{multipart, session_document};
