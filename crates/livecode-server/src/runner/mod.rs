//! How one session is run: the spawners that fork its supervisor, the driver that takes it from
//! its creation to its end, and the connection to its supervisor.
//!
//! | module | content |
//! | --- | --- |
//! | `spawner` | the client of one spawner process, which is restarted if it dies or hangs |
//! | `spawner_set` | all spawners: the default one, and one for each interpreter zygote |
//! | `reload` | a reload of the catalogue, with the spawners that it needs |
//! | `driver` | the task that drives one session from its creation to its end |
//! | `cpu_weights` | how payers share the processors |
//! | `run_queue` | the queue in which new sessions wait for a permit to run |
//! | `start_pace` | how many sessions of one payer start in a second |
//! | `turns` | queues that are served in turn |
//! | `start_attempts` | the attempts to start a session, and when to give up |
//! | `backoff` | pauses between tries |
//! | `supervisor_client` | one connection to a session's supervisor |
//! | `process` | the supervisor as a process that can be killed |

mod backoff;
pub(crate) mod cpu_weights;
pub(crate) mod driver;
mod process;
pub mod reload;
pub(crate) mod run_queue;
pub mod spawner;
pub mod spawner_set;
mod start_attempts;
mod start_pace;
pub(crate) mod supervisor_client;
mod turns;
