//! A server whose log a test reads.

use std::{fs, path::PathBuf};

use super::Server;

/// A server that writes its log into a file, at level `info` unless a test wants more.
pub struct LoggedServer {
    pub server: Server,
    folder: tempfile::TempDir,
}

impl LoggedServer {
    /// Starts a server with further arguments.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_by_level("info", arguments)
    }

    /// Starts a server that logs at another level.
    pub fn start_by_level(level: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder is created");
        let script = format!("RUST_LOG={level} exec \"$@\" 2>>'{}'", folder.path().join("log").display());
        let server = Server::start_by(&["sh", "-c", &script, "sh"], arguments);
        Self { server, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// All bytes that were logged.
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).expect("the shell has made the file")
    }

    /// All whole lines that were logged.
    pub fn lines(&self) -> Vec<String> {
        let bytes = self.bytes();
        let text = String::from_utf8(bytes).expect("the log is UTF-8");
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        whole.lines().map(str::to_owned).collect()
    }
}
