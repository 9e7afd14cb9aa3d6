//! The parts that all black-box tests share: a server for each test, and small clients for it.
//!
//! Each test starts the real binary on a free port, with a data directory of its own, and drops
//! the server at its end.

pub mod cgroups;
pub mod guest;
pub mod http;
pub mod logged;
pub mod proxy;
mod stream;

use std::{
    fs,
    io::{BufRead, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
pub use stream::Stream;

/// Timeout of everything that a test waits for. It is generous, because it matters only when
/// something is broken.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(25);

/// [`WAIT_TIMEOUT`], multiplied on a machine that declares itself slower (an emulated one).
pub fn wait_timeout() -> Duration {
    let scale = std::env::var("LIVECODE_TEST_TIME_SCALE").ok().and_then(|text| text.parse().ok());
    WAIT_TIMEOUT * scale.unwrap_or(1)
}

/// The binary under test.
pub fn binary() -> PathBuf {
    std::env::var_os("LIVECODE_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_livecode").into(), PathBuf::from)
}

/// Whether the tests run as root. Root can inspect a few things that an ordinary user cannot see.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Polls `condition` every few milliseconds until it returns a value, for states of the machine
/// that no event reports. Panics with `what` if that takes longer than [`wait_timeout`].
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + wait_timeout();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < until, "timed out after {:?}: {what}", wait_timeout());
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The pids of all processes of the machine whose command line contains `mark`.
pub fn processes(mark: &str) -> Vec<u32> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").expect("/proc can be read").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| *pid != own)
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(mark)
        })
        .collect()
}

/// A server that belongs to one test.
pub struct Server {
    child: Child,
    address: String,
    data: DataDir,
    options: LaunchOptions,
}

/// How a server is launched.
#[derive(Clone, Default)]
struct LaunchOptions {
    /// A command that executes the binary; the binary and its arguments follow.
    wrapper: Vec<String>,
    /// Further arguments.
    arguments: Vec<String>,
    /// Further environment variables.
    environment: Vec<(String, String)>,
}

/// Environment variables for every server that is started from now on.
static ENVIRONMENT: std::sync::Mutex<Vec<(String, String)>> = std::sync::Mutex::new(vec![]);

/// Sets [`ENVIRONMENT`].
pub fn set_server_environment(variables: &[(&str, &str)]) {
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    *ENVIRONMENT.lock().expect("no holder panics") = owned.collect();
}

/// The data directory, removed together with the server.
struct DataDir(tempfile::TempDir);

impl Server {
    /// Starts a server with default settings.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with further arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self::start_as(LaunchOptions { arguments, ..LaunchOptions::default() })
    }

    /// Starts a server with further environment variables.
    pub fn start_with_environment(variables: &[(&str, &str)]) -> Self {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self::start_as(LaunchOptions { environment: owned.collect(), ..LaunchOptions::default() })
    }

    /// Starts a server through another command, which executes the binary in the end.
    pub fn start_by(wrapper: &[&str], arguments: &[&str]) -> Self {
        let owned = |arguments: &[&str]| arguments.iter().map(|word| (*word).to_owned()).collect();
        Self::start_as(LaunchOptions {
            wrapper: owned(wrapper),
            arguments: owned(arguments),
            environment: vec![],
        })
    }

    /// Starts a server that listens on other addresses, with further arguments.
    pub fn listen_on(listen: &str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self::launch_on(listen, LaunchOptions { arguments, ..LaunchOptions::default() })
    }

    fn start_as(options: LaunchOptions) -> Self {
        Self::launch_on("127.0.0.1:0", options)
    }

    fn launch_on(listen: &str, options: LaunchOptions) -> Self {
        let data = DataDir(tempfile::tempdir().expect("a temporary folder is created"));
        let (child, address) = launch(data.0.path(), listen, &options);
        Self { child, address, data, options }
    }

    /// The output of a server that fails to start when another command executes it. A server that
    /// does start is killed, and its status is reported as success.
    pub fn output_by(wrapper: &[&str]) -> std::process::Output {
        let data = DataDir(tempfile::tempdir().expect("a temporary folder is created"));
        let wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        let mut child =
            command(data.0.path(), "127.0.0.1:0", &LaunchOptions { wrapper, ..LaunchOptions::default() })
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the wrapper starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        // An empty line means that the process has ended.
        let _ = BufReader::new(stdout).read_line(&mut line);
        if !line.is_empty() {
            let _ = child.kill();
        }
        let mut output = child.wait_with_output().expect("the child has not been reaped");
        if !line.is_empty() {
            output.status = std::os::unix::process::ExitStatusExt::from_raw(0);
        }
        output
    }

    /// The server's address, e.g. `127.0.0.1:40123`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The URL of a path on the server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The directory in which the server keeps its sessions.
    pub fn data(&self) -> &Path {
        self.data.0.path()
    }

    /// The server's pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the server, as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("the child has not been reaped");
    }

    /// Asks the server to stop, and waits until it has.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a valid pid");
        kill_process(pid, Signal::TERM).expect("the server runs");
        self.child.wait().expect("the child has not been reaped")
    }

    /// Starts the server again after [`Self::kill`] or [`Self::stop`], with the same data and
    /// port.
    pub fn start_again(&mut self) {
        (self.child, self.address) = launch(self.data.0.path(), &self.address, &self.options);
    }

    /// Like [`Self::start_again`], with other arguments.
    pub fn start_again_with(&mut self, arguments: &[&str]) {
        self.options.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self.start_again();
    }

    /// Creates a session and returns its document.
    pub fn create(&self, request: &Value) -> Value {
        let response = self.post("/sessions", request);
        assert_eq!(response.status, 201, "{}", response.text());
        response.json()
    }

    /// Creates a session from a runtime's name and a source; returns the session's id.
    pub fn create_id(&self, runtime: &str, code: &str) -> String {
        id(&self.create(&serde_json::json!({"runtime": runtime, "code": code})))
    }

    /// Runs a program to its end.
    pub fn run(&self, request: &Value) -> Run {
        let session = self.create(request);
        Run::collect(self.stream(&id(&session), ""))
    }

    /// Runs a source to its end.
    pub fn run_code(&self, runtime: &str, code: &str) -> Run {
        self.run(&serde_json::json!({"runtime": runtime, "code": code}))
    }

    /// Opens a websocket on a session's stream; `query` is e.g. `?after=3`.
    pub fn stream(&self, id: &str, query: &str) -> Stream {
        Stream::connect(&self.address, &format!("/sessions/{id}/stream{query}"))
    }

    /// Opens a websocket on any path.
    pub fn websocket(&self, path: &str) -> Stream {
        Stream::connect(&self.address, path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Sessions outlive a server, so they are deleted first. If the server is already dead, its
        // test has chosen to leave them.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            // Their names are read from the disk, since a server may have no local user, who alone
            // sees all sessions.
            let mut are_all_deleted = true;
            for session in fs::read_dir(self.data().join("sessions")).into_iter().flatten().flatten() {
                let name = session.file_name().to_string_lossy().into_owned();
                // A test may have made a folder that is no session.
                if !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    continue;
                }
                let path = format!("/sessions/{name}");
                match UnixStream::connect(self.data().join("admin.sock")) {
                    // The server asks for a token everywhere else.
                    Ok(admin_socket) => delete_over(admin_socket, &path),
                    Err(_) => {
                        let answer = self.try_request("DELETE", &path, &[], &[]);
                        are_all_deleted &= answer.is_some_and(|answer| answer.status == 204);
                    }
                }
            }
            if !are_all_deleted {
                self.end_sessions();
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Stops the server, and ends the sessions that are their guests' alone.
    fn end_sessions(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let arguments = vec!["--end-sessions".to_owned()];
        let options = LaunchOptions { arguments, ..self.options.clone() };
        let _ = command(self.data(), "127.0.0.1:0", &options).stdout(Stdio::null()).status();
    }
}

/// Sends a DELETE over a socket, and waits until it is answered.
fn delete_over(mut socket: UnixStream, path: &str) {
    let request = format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let _ = socket.write_all(request.as_bytes());
    let _ = socket.read_to_end(&mut vec![]);
}

fn command(data: &Path, listen: &str, options: &LaunchOptions) -> Command {
    // If a cgroup was delegated to the tests (cgroup v2), each server runs in a group of its own
    // inside it.
    let enter = r#"group=$0/$$; mkdir "$group" && echo $$ > "$group/cgroup.procs" && exec "$@""#;
    let delegated = std::env::var_os("LIVECODE_TEST_DELEGATED");
    let enter = delegated.map(|group| ["sh".into(), "-c".into(), enter.into(), group]);
    let wrapper = options.wrapper.iter().map(std::ffi::OsString::from);
    let mut arguments = enter.into_iter().flatten().chain(wrapper).chain([binary().into()]);
    let mut command = Command::new(arguments.next().expect("the command line names at least the binary"));
    command
        .args(arguments)
        .args(["serve", "--listen", listen, "--data-dir"])
        .arg(data)
        .args(&options.arguments)
        .env_remove("LIVECODE_SERVER")
        .env_remove("LIVECODE_BINARY")
        .env("RUST_LOG", "error")
        // Checks of runtimes are sessions, which tests would count.
        .env("LIVECODE_RUNTIME_CHECK_IDLE_MS", "0")
        .envs(ENVIRONMENT.lock().expect("no holder panics").iter().cloned())
        .envs(options.environment.iter().cloned());
    command
}

fn launch(data: &Path, listen: &str, options: &LaunchOptions) -> (Child, String) {
    let mut child = command(data, listen, options).stdout(Stdio::piped()).spawn().expect("the binary starts");
    let stdout = child.stdout.take().expect("standard output is piped");
    let line =
        BufReader::new(stdout).lines().next().expect("the server prints its address").expect("valid UTF-8");
    let address = line.split_once("http://").map_or("", |(_, rest)| rest);
    let address = address.split([' ', '"']).next().unwrap_or_default(); // empty if it has only a unix socket
    (child, address.trim_end_matches('/').to_owned())
}

/// The id in a session's document.
pub fn id(session: &Value) -> String {
    session["id"].as_str().expect("an id").to_owned()
}

/// Everything that a program did from its start to its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    pub stdout: String,
    pub stderr: String,
    /// The program's own messages, in order.
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
                        other => panic!("output on an unknown file: {other:?}"),
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
