//! livecode-server
