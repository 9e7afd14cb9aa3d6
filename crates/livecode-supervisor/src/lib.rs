//! One program's pipes to one journal, and the spawner that makes a supervisor for each program.
//!
//! | module | what |
//! | --- | --- |
//! | [`bench`] | what `benches/` measures |
//! | [`spawner`] | the process that forks supervisors, and the life of a template |
//! | `begin` | how a session begins |
//! | `supervisor` | the loop of one supervisor: what it waits for, and what it does about it |
//! | `cache` | what was compiled before, and what is kept of what is compiled now |
//! | `ending` | why and with which status a session ended |
//! | `splitter`, `message` | a program's output into entries: text in whole characters, `--MSG--` lines, messages |
//! | `outputs`, `record` | what is read from the program; what is written to the journal |
//! | `idle` | for how long nothing was done |
//! | `input` | bounded queues to the program, and which ids were delivered |
//! | `memory` | when memory is looked at, where no cgroup limits it |
//! | `pace` | which programs give way to others |
//! | `patience` | when the program's pipes are looked at |
//! | `connection` | the talk with servers |
//! | `sync` | the journal to the disk, off the loop |
//! | `pool` | supervisors that are ahead of their requests, or rest |
//! | `group` | names of the sandboxes' cgroups |
//! | `sweep` | what dead supervisors left |

pub mod bench;
mod compile_cache;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod io;
mod journal;
mod limits;
mod session;
pub mod spawner;

pub use livecode_sandbox::{ZygoteProgram, exit_now, fd_passing};
