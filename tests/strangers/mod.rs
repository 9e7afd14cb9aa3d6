//! One stranger cannot take the server away from the others.

mod bodies;
mod followers;
mod payers;
mod programs;
mod rootless;
mod sandboxes;
mod starts;
