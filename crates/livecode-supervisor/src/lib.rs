//! livecode-supervisor
