//! What the black-box tests share: a server of their own each, and small clients for it.
//!
//! Every test starts the real binary on a free port with a data directory of its own, and drops it at the end.

pub mod cgroups;
mod http;
mod stream;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
pub use stream::Stream;

/// How long anything may take that a test waits for: generous, since it only matters when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(25);

/// [`PATIENCE`], longer on a machine that says it is slower (one that emulates).
pub fn patience() -> Duration {
    let scale = std::env::var("LIVECODE_TEST_TIME_SCALE").ok().and_then(|text| text.parse().ok());
    PATIENCE * scale.unwrap_or(1)
}

/// The binary under test.
pub fn binary() -> PathBuf {
    std::env::var_os("LIVECODE_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_livecode").into(), PathBuf::from)
}

/// Whether the tests run as root, where a few things can be looked at that an ordinary user cannot see.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Waits until `condition` gives something, looking again every few milliseconds: for states of the machine that nobody
/// announces. Panics with `what` where that takes too long.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < until, "{what}: not within {:?}", patience());
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Processes of the whole machine whose command line contains `mark`.
pub fn processes(mark: &str) -> Vec<u32> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| *pid != own)
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(mark)
        })
        .collect()
}

/// A server of one test's own.
pub struct Server {
    child: Child,
    address: String,
    data: Data,
    how: How,
}

/// How a server is started.
#[derive(Clone, Default)]
struct How {
    /// A command that executes the binary with its arguments, which follow.
    wrapper: Vec<String>,
    /// Further arguments.
    arguments: Vec<String>,
    /// Further variables.
    environment: Vec<(String, String)>,
}

/// Variables that every server is given from now on.
static ENVIRONMENT: std::sync::Mutex<Vec<(String, String)>> = std::sync::Mutex::new(vec![]);

/// Sets [`ENVIRONMENT`].
pub fn set_server_environment(variables: &[(&str, &str)]) {
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    *ENVIRONMENT.lock().expect("no holder panics") = owned.collect();
}

/// The data directory; removed with the server.
struct Data(tempfile::TempDir);

impl Server {
    /// A server with default settings.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with further arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self::start_as(How { arguments, ..How::default() })
    }

    /// A server with further variables.
    pub fn start_with_environment(variables: &[(&str, &str)]) -> Self {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self::start_as(How { environment: owned.collect(), ..How::default() })
    }

    /// A server that another command executes in the end.
    pub fn start_by(wrapper: &[&str], arguments: &[&str]) -> Self {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self::start_as(How { wrapper: owned(wrapper), arguments: owned(arguments), environment: vec![] })
    }

    fn start_as(how: How) -> Self {
        let data = Data(tempfile::tempdir().expect("a temporary folder"));
        let (child, address) = launch(data.0.path(), "127.0.0.1:0", &how);
        Self { child, address, data, how }
    }

    /// What a server that does not start says, when another command executes it. One that does start is ended.
    pub fn output_by(wrapper: &[&str]) -> std::process::Output {
        let data = Data(tempfile::tempdir().expect("a temporary folder"));
        let wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        let mut child = command(data.0.path(), "127.0.0.1:0", &How { wrapper, ..How::default() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the wrapper starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe was asked for");
        let _ = BufReader::new(stdout).read_line(&mut line); // no line: it has ended
        if !line.is_empty() {
            let _ = child.kill();
        }
        let mut output = child.wait_with_output().expect("it was started here");
        if !line.is_empty() {
            output.status = std::os::unix::process::ExitStatusExt::from_raw(0);
        }
        output
    }

    /// Its address, e.g. `127.0.0.1:40123`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address of a path on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where it keeps its sessions.
    pub fn data(&self) -> &Path {
        self.data.0.path()
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("the server was started here");
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process");
        kill_process(pid, Signal::TERM).expect("the server runs");
        self.child.wait().expect("the server was started here")
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`], on the same data and the same port.
    pub fn start_again(&mut self) {
        (self.child, self.address) = launch(self.data.0.path(), &self.address, &self.how);
    }

    /// The same, with other arguments.
    pub fn start_again_with(&mut self, arguments: &[&str]) {
        self.how.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self.start_again();
    }

    /// Creates a session and returns its document.
    pub fn create(&self, request: &Value) -> Value {
        let answer = self.post("/sessions", request);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// Creates a session from a runtime's name and source, and returns its id.
    pub fn create_id(&self, runtime: &str, code: &str) -> String {
        id(&self.create(&serde_json::json!({"runtime": runtime, "code": code})))
    }

    /// Runs a program to its end; returns what it printed on standard output, on standard error, and its exit status.
    pub fn run(&self, request: &Value) -> Run {
        let session = self.create(request);
        Run::collect(self.stream(&id(&session), ""))
    }

    /// Runs a source to its end.
    pub fn run_code(&self, runtime: &str, code: &str) -> Run {
        self.run(&serde_json::json!({"runtime": runtime, "code": code}))
    }

    /// A websocket on a session's stream; `query` is e.g. `?after=3`.
    pub fn stream(&self, id: &str, query: &str) -> Stream {
        Stream::connect(&self.address, &format!("/sessions/{id}/stream{query}"))
    }

    /// A websocket on any path.
    pub fn websocket(&self, path: &str) -> Stream {
        Stream::connect(&self.address, path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Sessions outlive a server, so they are ended first; a server that is dead already has been asked to leave them.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let listed = self.try_get("/sessions").and_then(|answer| answer.try_json());
            for session in listed.as_ref().and_then(Value::as_array).into_iter().flatten() {
                let _ = self.try_request("DELETE", &format!("/sessions/{}", id(session)), &[], &[]);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(data: &Path, listen: &str, how: &How) -> Command {
    // A group of the server's own, where one for all was delegated to us (cgroup v2).
    let enter = r#"group=$0/$$; mkdir "$group" && echo $$ > "$group/cgroup.procs" && exec "$@""#;
    let delegated = std::env::var_os("LIVECODE_TEST_DELEGATED");
    let enter = delegated.map(|group| ["sh".into(), "-c".into(), enter.into(), group]);
    let wrapper = how.wrapper.iter().map(std::ffi::OsString::from);
    let mut words = enter.into_iter().flatten().chain(wrapper).chain([binary().into()]);
    let mut command = Command::new(words.next().expect("at least the binary"));
    command
        .args(words)
        .args(["serve", "--listen", listen, "--data-dir"])
        .arg(data)
        .args(&how.arguments)
        .env_remove("LIVECODE_SERVER")
        .env_remove("LIVECODE_BINARY")
        .env("RUST_LOG", "error")
        .envs(ENVIRONMENT.lock().expect("no holder panics").iter().cloned())
        .envs(how.environment.iter().cloned());
    command
}

fn launch(data: &Path, listen: &str, how: &How) -> (Child, String) {
    let mut child = command(data, listen, how).stdout(Stdio::piped()).spawn().expect("the binary starts");
    let stdout = child.stdout.take().expect("a pipe was asked for");
    let line =
        BufReader::new(stdout).lines().next().expect("the server says where it listens").expect("text");
    let address = line.split("http://").nth(1).unwrap_or_else(|| panic!("no address in {line:?}"));
    (child, address.trim_end_matches('/').to_owned())
}

/// The id in a session's document.
pub fn id(session: &Value) -> String {
    session["id"].as_str().expect("an id").to_owned()
}

/// What a program did from its beginning to its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    pub stdout: String,
    pub stderr: String,
    /// Messages of the program's own, in order.
    pub messages: Vec<Value>,
    pub exitstatus: i64,
    pub reason: Option<String>,
}

impl Run {
    /// Reads a stream to its end.
    pub fn collect(mut stream: Stream) -> Self {
        let mut run = Self::default();
        while let Some(message) = stream.next() {
            match message["msgtype"].as_str().expect("a msgtype") {
                "welcome" => {}
                "write" => {
                    let data = message["data"].as_str().expect("data");
                    match message["file"].as_str() {
                        Some("stdout") => run.stdout += data,
                        Some("stderr") => run.stderr += data,
                        other => panic!("written to {other:?}"),
                    }
                }
                "exitstatus" => {
                    run.exitstatus = message["exitstatus"].as_i64().expect("an integer");
                    run.reason = message["reason"].as_str().map(str::to_owned);
                }
                _ => run.messages.push(message),
            }
        }
        assert_eq!(stream.close_code(), Some(1000));
        run
    }
}
