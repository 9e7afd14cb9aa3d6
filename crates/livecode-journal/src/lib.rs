//! livecode-journal
