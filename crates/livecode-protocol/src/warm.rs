//! Settings of a spawner: which sandboxes and which interpreter are prepared before a session
//! exists.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::run_spec::{RunSpec, SandboxLayout, StepLimits};

/// How a spawner is set up. The server passes this to the spawner on its command line, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnerSettings {
    /// The server's data directory.
    pub data_dir: PathBuf,
    /// The pool of warm sandboxes; `None` if the spawner makes each sandbox on request.
    pub warm: Option<WarmPoolSettings>,
    /// The interpreter zygote that makes the spawner's sandboxes; `None` if the spawner's own
    /// zygote makes them. The interpreter zygote is a separate process beside the spawner.
    pub interpreter_zygote: Option<InterpreterZygote>,
    /// Whether the lines of the log are JSON.
    #[serde(default)]
    pub is_log_json: bool,
    /// Whether the order between standard output, standard error and messages is exact.
    #[serde(default)]
    pub is_order_exact: bool,
}

/// How a spawner's pool of warm sandboxes is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmPoolSettings {
    /// The usual layout, of which a warm sandbox always waits. Sandboxes of other layouts wait once
    /// a session has asked for one ([`crate::control::LayoutRequest`]).
    pub layout: SandboxLayout,
    /// The limits that the warm sandboxes are made with. They are changed if a session has others.
    pub limits: StepLimits,
    /// The CPU share that the warm sandboxes are made with, in thousandths of a processor. It is
    /// changed if a session has another.
    pub cpu_millicores: u32,
    /// The largest number of warm sandboxes of one layout at once.
    pub sandboxes_max: u32,
    /// The largest number of warm sandboxes of all layouts but the usual one at once.
    pub other_sandboxes_max: u32,
    /// How long sandboxes of another layout wait after the last session that asked for one, in
    /// milliseconds.
    pub layout_idle_ms: u64,
}

/// An interpreter that is started once, as a zygote. Each clone of its process is init of one
/// sandbox, and a fork of that init becomes the session's program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterpreterZygote {
    /// Path of the interpreter on the machine.
    pub interpreter: PathBuf,
    /// Name of the file that the interpreter runs, in the working directory.
    pub source: String,
    /// How the command of a fitting program begins: the program and its arguments up to the file.
    pub argv: Vec<String>,
    /// The environment of a fitting program, sorted by name. The interpreter was started with it,
    /// but for `PYTHONPATH` and `LIVECODE_FD`.
    pub env: Vec<(String, String)>,
}

/// Environment variables that an interpreter or its C library reads only at its start, besides
/// those that begin with one of the [`STARTUP_VARIABLE_PREFIXES`].
const STARTUP_VARIABLES: [&str; 5] = ["HOME", "LANG", "LANGUAGE", "TZ", "TZDIR"];
/// Prefixes of further environment variables that are read only at the start.
const STARTUP_VARIABLE_PREFIXES: [&str; 6] = ["PYTHON", "LC_", "LD_", "MALLOC_", "GLIBC_", "LOCPATH"];
/// A variable with one of these prefixes that the zygote's clones read again, so that a session
/// may set it to another value.
const REREAD_VARIABLE: &str = "PYTHONPATH";

impl InterpreterZygote {
    /// Whether a clone of this interpreter can run the program of `run_spec`: the command begins
    /// as that of the zygote, the source file exists, and all variables that matter at the start
    /// of the interpreter have the same values.
    pub fn fits(&self, run_spec: &RunSpec) -> bool {
        run_spec.run.argv.starts_with(&self.argv)
            && run_spec.file_names().any(|name| name.as_str() == self.source)
            && startup_variables(&run_spec.env).eq(startup_variables(&self.env))
    }
}

/// The variables of `env` that an interpreter reads only at its start. `env` must be sorted by
/// name.
fn startup_variables(env: &[(String, String)]) -> impl Iterator<Item = &(String, String)> {
    env.iter().filter(|(name, _)| {
        name != REREAD_VARIABLE
            && (STARTUP_VARIABLES.contains(&name.as_str())
                || STARTUP_VARIABLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
    })
}
