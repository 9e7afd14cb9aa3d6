//! One file a command.

pub mod attach;
pub mod doctor;
pub mod ls;
pub mod rm;
pub mod run;
pub mod runtimes;
pub mod serve;
pub mod spawner;
