//! The server that is attacked, how it runs, and what the attacks share.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    attack::Verdict,
    common::{Run, Server, id, is_root},
};

/// A column of the table: the user that runs the server, and the version of the cgroups.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub is_root: bool,
    pub is_v2: bool,
    /// Whether the programs run in a root of their own.
    pub is_image: bool,
}

impl Column {
    /// The column of this user on this machine.
    pub fn here() -> Self {
        let is_v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        // `scripts/attacks --image` replaces the runtimes by those of an image.
        let is_image = std::env::var_os("LIVECODE_RUNTIMES_DIR").is_some();
        let name = [
            if is_root() { "root/" } else { "rootless/" },
            if is_v2 { "v2" } else { "v1" },
            if is_image { "/image" } else { "" },
        ]
        .concat();
        Self { name, is_root: is_root(), is_v2, is_image }
    }

    /// The column of this user on this machine. Panics if it does not have this name.
    pub fn named(name: &str) -> Self {
        let here = Self::here();
        assert_eq!(here.name, name, "this column cannot be run here");
        here
    }

    /// Whether limits must be enforced for a session as a whole. An ordinary user has no cgroup on
    /// v1.
    pub fn has_cgroups(&self) -> bool {
        self.is_root || self.is_v2
    }
}

/// The server for all attacks that need no server of their own.
pub struct Fixture {
    pub server: Server,
    pub column: Column,
}

impl Fixture {
    pub fn new(column: Column) -> Self {
        // An emulated machine takes more CPU time for the same program.
        let arguments: &[&str] = if time_scale() > 1 { &["--cpu-ms", "60000"] } else { &[] };
        Self { server: Server::start_with(arguments), column }
    }

    /// The verdict of an attack on a limit that only a cgroup enforces in full. Without cgroups
    /// the session's document must report that it is degraded.
    pub fn bounded(&self, session: &Value) -> Verdict {
        let degraded = session["degraded"].as_array().map_or(0, Vec::len);
        if self.column.has_cgroups() {
            assert_eq!(degraded, 0, "the session is degraded although there are cgroups: {session}");
            Verdict::Holds
        } else {
            assert!(degraded > 0, "the session does not report that it is degraded: {session}");
            Verdict::Degraded
        }
    }

    /// Runs a program to its end. `fields` are added to the request. Returns the run and the
    /// session's document.
    pub fn run(&self, runtime: &str, code: &str, fields: Value) -> (Run, Value) {
        let session = self.start(runtime, code, fields);
        let run = Run::collect(self.server.stream(&id(&session), ""));
        (run, self.server.get(&format!("/sessions/{}", id(&session))).json())
    }

    /// Creates a session. `fields` are added to the request. Returns the session's document.
    pub fn start(&self, runtime: &str, code: &str, fields: Value) -> Value {
        self.server.create(&request(runtime, code, fields))
    }
}

/// The request for a program of the suite. A Python program gets the module `attack` as a file.
pub fn request(runtime: &str, code: &str, fields: Value) -> Value {
    let mut request = json!({"runtime": runtime, "code": code});
    if runtime == "python" {
        request["files"] = json!([{"filename": "attack.py", "contents": include_str!("programs/attack.py")}]);
    }
    request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    request
}

/// How many times slower this machine is than the machines that the bounds were chosen for.
pub fn time_scale() -> u32 {
    std::env::var("LIVECODE_TEST_TIME_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A bound in milliseconds, multiplied by [`time_scale`].
pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds) * time_scale()
}

/// Asserts that a program printed `held`, and nothing else, and succeeded.
pub fn assert_held(run: &Run) {
    assert!(run.stdout == "held\n" && run.stderr.is_empty() && run.exitstatus == 0, "{run:?}");
}
