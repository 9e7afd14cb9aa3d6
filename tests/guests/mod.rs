//! Servers that take guests: who lets them in, what names them, and that their sessions are theirs
//! alone.

mod admission;
