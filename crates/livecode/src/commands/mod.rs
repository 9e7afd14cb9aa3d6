//! The commands of `livecode`, each in a file of its own.

pub mod backup;
pub mod completions;
pub mod config;
mod data_dir;
pub mod doctor;
pub mod man;
pub mod run;
pub mod runtimes;
pub mod serve;
pub mod sessions;
pub mod spawner;
pub mod tables;
mod time_span;
pub mod token;
pub mod users;
