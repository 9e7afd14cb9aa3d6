//! How a session is run: the spawners that fork its supervisor, the task that drives it from its creation to its end, and
//! the connection to its supervisor.
//!
//! | module | what |
//! | --- | --- |
//! | `spawner` | the client of one spawner process, which starts another where that one died or hangs |
//! | `spawner_set` | all spawners of a server: the default one, and one for each interpreter zygote |
//! | `driver` | the task that drives one session from its creation to its end |
//! | `supervisor_client` | one connection to a session's supervisor |
//! | `process` | the supervisor as a process, to be killed where it does not answer |

pub(crate) mod driver;
pub(crate) mod process;
pub mod spawner;
pub mod spawner_set;
pub(crate) mod supervisor_client;
