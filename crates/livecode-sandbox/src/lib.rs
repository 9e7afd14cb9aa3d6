//! livecode-sandbox
