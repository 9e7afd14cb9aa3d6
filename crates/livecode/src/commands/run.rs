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
    Failure,
    client::{Server, Viewer, Watching, say},
};

/// Runs a program: its output appears here, and what is typed here goes to it.
///
/// Ctrl-C interrupts the program, a second one within two seconds kills it, a third leaves it alone. A lost connection is
/// taken up again; nothing is lost or doubled.
#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    server: Server,
    /// Runtime to use instead of the one for the file's ending (`livecode runtimes` lists them).
    #[arg(long, short)]
    runtime: Option<String>,
    /// Wall-clock limit, in milliseconds.
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
    /// Limit of CPU time, in milliseconds.
    #[arg(long, value_name = "MS")]
    cpu_ms: Option<u64>,
    /// Limit of memory, in bytes.
    #[arg(long, value_name = "BYTES")]
    memory_bytes: Option<u64>,
    /// Environment variable of the program; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// A further file for the program; may be given several times. It keeps its place relative to the program's folder
    /// if it is below it.
    #[arg(long, value_name = "PATH")]
    file: Vec<PathBuf>,
    /// Print the program's own messages too, as lines of JSON among its output.
    #[arg(long)]
    messages: bool,
    /// Start the program, print its session's id, and leave it running.
    #[arg(long, short)]
    detach: bool,
    /// Say the session's id on standard error.
    #[arg(long, short)]
    verbose: bool,
    /// The program.
    program: PathBuf,
    /// Arguments for it.
    #[arg(last = true)]
    args: Vec<String>,
}

impl Run {
    pub fn run(self) -> Result<ExitCode, Failure> {
        let wrong = |error| Failure { error, code: 2 };
        let failed = |error| Failure { error, code: 125 };
        let mut request = self.request().map_err(wrong)?;
        if request.runtime.is_none() {
            let runtimes = self.server.runtimes().map_err(failed)?;
            request.runtime = Some(runtime_by_ending(&self.program, &runtimes).map_err(wrong)?);
        }
        let id = self.server.create(&request).map_err(failed)?;
        if self.detach {
            writeln!(io::stdout(), "{id}")?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.verbose {
            say(format_args!("session {id}"));
        }
        let watching =
            Watching { with_input: true, with_messages: self.messages, owns_program: true, after: 0 };
        Viewer::run(self.server, id, watching).map_err(failed)
    }

    /// The request as far as it can be made without the server.
    fn request(&self) -> anyhow::Result<CreateSession> {
        let mut files = vec![read(&self.program, file_name(&self.program)?)?];
        for path in &self.file {
            files.push(read(path, name_beside(&self.program, path)?)?);
        }
        let mut env = self.env.iter().map(|pair| split(pair)).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
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

/// The first runtime that takes files with the program's ending.
fn runtime_by_ending(program: &Path, runtimes: &[RuntimeInfo]) -> anyhow::Result<String> {
    let ending = program.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let found = runtimes.iter().find(|runtime| runtime.extensions.iter().any(|known| known == ending));
    found.map(|runtime| runtime.name.clone()).ok_or_else(|| {
        let known: Vec<_> =
            runtimes.iter().flat_map(|runtime| &runtime.extensions).map(|e| format!(".{e}")).collect();
        anyhow!(
            "no runtime is known for {} (endings: {}); choose one with --runtime",
            program.display(),
            known.join(" ")
        )
    })
}

/// The name of a further file: its path from the program's folder where it is below it, else its last part.
fn name_beside(program: &Path, path: &Path) -> anyhow::Result<String> {
    // Components leave out every `.` but the first.
    let plain =
        |path: &Path| -> PathBuf { path.components().filter(|part| *part != Component::CurDir).collect() };
    let (program, path) = (plain(program), plain(path));
    let inside = path
        .strip_prefix(program.parent().unwrap_or(Path::new("")))
        .ok()
        .filter(|inside| inside.components().all(|part| matches!(part, Component::Normal(_))));
    match inside {
        Some(inside) => {
            let name = inside.to_str().map(str::to_owned);
            name.with_context(|| format!("{} is no name in UTF-8", path.display()))
        }
        None => file_name(&path),
    }
}

fn file_name(path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).with_context(|| format!("{} has no name in UTF-8", path.display()))
}

fn read(path: &Path, filename: String) -> anyhow::Result<SourceFile> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(match String::from_utf8(bytes) {
        Ok(contents) => SourceFile { filename, contents, encoding: None },
        Err(error) => {
            let contents = BASE64_STANDARD.encode(error.as_bytes());
            SourceFile { filename, contents, encoding: Some(Encoding::Base64) }
        }
    })
}

fn split(pair: &str) -> anyhow::Result<(String, String)> {
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
    fn the_first_runtime_with_the_ending_is_taken() {
        let runtimes = [runtime("python", &["py"]), runtime("go", &["go"]), runtime("mypy", &["py"])];
        let pick =
            |name: &str| runtime_by_ending(Path::new(name), &runtimes).map_err(|error| error.to_string());
        assert_eq!(pick("a/b.py").as_deref(), Ok("python"));
        assert_eq!(pick("x.go").as_deref(), Ok("go"));
        for unknown in ["x.zzz", "py", ".py", ""] {
            let error = pick(unknown).unwrap_err();
            assert!(error.contains(".py") && error.contains(".go") && error.contains("--runtime"), "{error}");
        }
    }

    #[test]
    fn files_keep_their_place_beside_the_program() {
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
            assert_eq!(name_beside(Path::new(program), Path::new(path)).unwrap(), name, "{program} {path}");
        }
        assert!(name_beside(Path::new("main.py"), Path::new("..")).is_err());
    }
}
