//! The kinds of endpoints that create sessions.

/// The kind of endpoint that received a request. The defaults for what a request leaves out differ
/// between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/sessions`. Standard input stays open for `input` messages.
    Sessions,
    /// The endpoints of v0.1. Standard input is what came with the request, and the default wall
    /// clock limit is short.
    V01,
}
