//! One stranger cannot take the server away from the others.

mod bodies;
#[allow(dead_code)] // not every test uses every part
mod connection;
mod followers;
mod payers;
mod programs;
pub mod rootless;
mod sandboxes;
mod starts;
