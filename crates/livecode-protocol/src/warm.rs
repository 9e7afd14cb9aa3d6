//! What is made ready before there is a session for it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::run_spec::{RunSpec, SandboxLayout, StepLimits};

/// How a spawner is set up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpawnerSettings {
    /// The server's data directory.
    pub data_dir: PathBuf,
    /// The sandboxes to be made ahead, if any.
    pub warm: Option<WarmPoolSettings>,
    /// The interpreter that the spawner is, if it is one.
    pub template: Option<InterpreterZygote>,
}

/// Sandboxes that wait for a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmPoolSettings {
    /// What they are made for. An order for another is a cold start.
    pub layout: SandboxLayout,
    /// The limits they are made with; set anew where an order says otherwise.
    pub limits: StepLimits,
    /// The same of the CPU share, in thousandths of a processor.
    pub cpu_millicores: u32,
    /// How many may wait at once.
    pub sandboxes_max: u32,
}

/// An interpreter that was started once, and goes on as a session's program in a copy of its process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterpreterZygote {
    /// Where the interpreter is on the machine.
    pub interpreter: PathBuf,
    /// The file it runs, in the working directory.
    pub source: String,
    /// How such a program's command begins: program and arguments up to the file.
    pub argv: Vec<String>,
    /// The environment that it was started with.
    pub env: Vec<(String, String)>,
}

/// Variables that an interpreter or its C library reads when it starts, besides those that start with a [`SHAPING_PREFIXES`].
const SHAPING: [&str; 5] = ["HOME", "LANG", "LANGUAGE", "TZ", "TZDIR"];
const SHAPING_PREFIXES: [&str; 6] = ["PYTHON", "LC_", "LD_", "MALLOC_", "GLIBC_", "LOCPATH"];
/// Of those, the one that the template looks at again.
const READ_AGAIN: &str = "PYTHONPATH";

impl InterpreterZygote {
    /// Whether a program of this order would find all that the interpreter found when it started.
    pub fn fits(&self, order: &RunSpec) -> bool {
        order.run.argv.starts_with(&self.argv)
            && order.files.iter().any(|file| file.name.as_str() == self.source)
            && shaping(&order.env).eq(shaping(&self.env))
    }
}

/// The variables that shape an interpreter, which come sorted by name.
fn shaping(env: &[(String, String)]) -> impl Iterator<Item = &(String, String)> {
    env.iter().filter(|(name, _)| {
        name != READ_AGAIN
            && (SHAPING.contains(&name.as_str())
                || SHAPING_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
    })
}
