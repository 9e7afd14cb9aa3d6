//! A server in containers: `livecode doctor` names what each kind lacks, with the flag that gives
//! it, and nothing else; and the flags of docs/containers.md suffice.
//!
//! Only root can make the containers. An ordinary user's containers are run from there.

mod doctor;
mod documents;
pub mod machine;
