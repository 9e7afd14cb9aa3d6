//! `livecode run`.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::{Component, Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Args;
use livecode_protocol::session::{CreateSession, Encoding, RequestedLimits, SourceFile};
use livecode_server::catalogue::RuntimeInfo;

use crate::{
    client::{ServerClient, StreamViewer, ViewOptions, print_status},
    failure::{CommandFailure, EXIT_NOT_RUN, EXIT_USAGE},
};

/// Runs a program: prints its output and sends standard input to it.
///
/// Ctrl-C interrupts the program, a second Ctrl-C within two seconds kills it, and a third one
/// ends this command without waiting for the program. After a lost connection the command
/// reconnects; nothing is lost or duplicated.
#[derive(Args)]
pub struct RunCommand {
    #[command(flatten)]
    server: ServerClient,
    /// Runtime to use instead of the one for the file's extension (`livecode runtimes` lists
    /// them).
    #[arg(long, short)]
    runtime: Option<String>,
    /// Wall-clock limit, in milliseconds.
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
    /// CPU time limit, in milliseconds.
    #[arg(long, value_name = "MS")]
    cpu_ms: Option<u64>,
    /// Memory limit, in bytes.
    #[arg(long, value_name = "BYTES")]
    memory_bytes: Option<u64>,
    /// Environment variable for the program; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Additional file for the program; may be given several times.
    ///
    /// A file below the program's folder keeps its path relative to that folder; any other file is
    /// placed beside the program.
    #[arg(long, value_name = "PATH")]
    file: Vec<PathBuf>,
    /// Also print the program's own messages, each as a line of JSON between its output.
    #[arg(long)]
    messages: bool,
    /// Start the program, print the session's id, and leave the program running.
    #[arg(long, short)]
    detach: bool,
    /// Print the session's id on standard error.
    #[arg(long, short)]
    verbose: bool,
    /// File of the program.
    program: PathBuf,
    /// Arguments for the program.
    #[arg(last = true)]
    args: Vec<String>,
}

impl RunCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        let usage_failure = |error| CommandFailure { error, exit_code: EXIT_USAGE };
        let not_run = |error| CommandFailure { error, exit_code: EXIT_NOT_RUN };
        let mut request = self.request().map_err(usage_failure)?;
        if request.runtime.is_none() {
            let runtimes = self.server.runtimes().map_err(not_run)?;
            request.runtime = Some(runtime_by_extension(&self.program, &runtimes).map_err(usage_failure)?);
        }
        let id = self.server.create(&request).map_err(not_run)?;
        if self.detach {
            writeln!(io::stdout(), "{id}")?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.verbose {
            print_status(format_args!("session {id}"));
        }
        let options =
            ViewOptions { with_input: true, with_messages: self.messages, owns_program: true, after: 0 };
        StreamViewer::run(self.server, id, options).map_err(not_run)
    }

    /// The request for the session. If the user names no runtime, the field stays empty, since the
    /// runtime for the file's extension must be asked from the server.
    fn request(&self) -> anyhow::Result<CreateSession> {
        let mut files = vec![read_source_file(&self.program, file_name(&self.program)?)?];
        for path in &self.file {
            files.push(read_source_file(path, name_relative_to(&self.program, path)?)?);
        }
        let mut env =
            self.env.iter().map(|pair| parse_variable(pair)).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        env.insert("FALCON_SOURCE_FILE".into(), files[0].filename.clone());
        Ok(CreateSession {
            runtime: self.runtime.clone(),
            files: Some(files),
            args: Some(self.args.clone()).filter(|args| !args.is_empty()),
            env: Some(env),
            timeout: self.timeout,
            limits: Some(RequestedLimits {
                cpu_ms: self.cpu_ms,
                memory_bytes: self.memory_bytes,
                ..RequestedLimits::default()
            }),
            ..CreateSession::default()
        })
    }
}

/// The name of the first runtime that accepts files with the program's extension.
fn runtime_by_extension(program: &Path, runtimes: &[RuntimeInfo]) -> anyhow::Result<String> {
    let extension = program.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let found = runtimes.iter().find(|runtime| runtime.extensions.iter().any(|known| known == extension));
    found.map(|runtime| runtime.name.clone()).ok_or_else(|| {
        let known: Vec<_> =
            runtimes.iter().flat_map(|runtime| &runtime.extensions).map(|e| format!(".{e}")).collect();
        anyhow!(
            "no runtime is known for {} (known extensions: {}); choose one with --runtime",
            program.display(),
            known.join(" ")
        )
    })
}

/// The name of an additional file in the session: its path relative to the program's folder if it
/// is below that folder, otherwise the last part of its path.
fn name_relative_to(program: &Path, path: &Path) -> anyhow::Result<String> {
    // `Path::components` removes every `.` except a leading one.
    let without_dots =
        |path: &Path| -> PathBuf { path.components().filter(|part| *part != Component::CurDir).collect() };
    let (program, path) = (without_dots(program), without_dots(path));
    let inside = path
        .strip_prefix(program.parent().unwrap_or(Path::new("")))
        .ok()
        .filter(|inside| inside.components().all(|part| matches!(part, Component::Normal(_))));
    match inside {
        Some(inside) => {
            let name = inside.to_str().map(str::to_owned);
            name.with_context(|| format!("the name of {} is not UTF-8", path.display()))
        }
        None => file_name(&path),
    }
}

fn file_name(path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).with_context(|| format!("{} has no file name in UTF-8", path.display()))
}

/// Reads a file of the session; bytes that are not UTF-8 are encoded as base64.
fn read_source_file(path: &Path, filename: String) -> anyhow::Result<SourceFile> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(match String::from_utf8(bytes) {
        Ok(contents) => SourceFile { filename, contents, encoding: None },
        Err(error) => {
            let contents = BASE64_STANDARD.encode(error.as_bytes());
            SourceFile { filename, contents, encoding: Some(Encoding::Base64) }
        }
    })
}

/// Splits `NAME=VALUE`.
fn parse_variable(pair: &str) -> anyhow::Result<(String, String)> {
    match pair.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => bail!("--env {pair}: must be NAME=VALUE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime(name: &str, extensions: &[&str]) -> RuntimeInfo {
        let document = serde_json::json!({
            "name": name, "aliases": [], "title": name, "file": "main", "extensions": extensions, "editor_mode": "",
            "modes": ["exec"], "available": true, "example": "",
        });
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn the_first_runtime_with_the_extension_is_chosen() {
        let runtimes = [runtime("python", &["py"]), runtime("go", &["go"]), runtime("mypy", &["py"])];
        let pick =
            |name: &str| runtime_by_extension(Path::new(name), &runtimes).map_err(|error| error.to_string());
        assert_eq!(pick("a/b.py").as_deref(), Ok("python"));
        assert_eq!(pick("x.go").as_deref(), Ok("go"));
        for unknown in ["x.zzz", "py", ".py", ""] {
            let error = pick(unknown).unwrap_err();
            assert!(error.contains(".py") && error.contains(".go") && error.contains("--runtime"), "{error}");
        }
    }

    #[test]
    fn files_below_the_program_keep_their_relative_path() {
        for (program, path, name) in [
            ("main.py", "data/x.txt", "data/x.txt"),
            ("main.py", "./x.txt", "x.txt"),
            ("./main.py", "x.txt", "x.txt"),
            ("src/main.c", "src/util.h", "util.h"),
            ("src/main.c", "./src/a/../util.h", "util.h"),
            ("src/main.c", "data/x.txt", "x.txt"),
            ("main.py", "../x.txt", "x.txt"),
            ("main.py", "/data/x.txt", "x.txt"),
            ("/p/main.py", "/p/lib/x.py", "lib/x.py"),
        ] {
            assert_eq!(
                name_relative_to(Path::new(program), Path::new(path)).unwrap(),
                name,
                "{program} {path}"
            );
        }
        assert!(name_relative_to(Path::new("main.py"), Path::new("..")).is_err());
    }
}
