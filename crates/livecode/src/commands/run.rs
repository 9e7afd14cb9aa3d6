//! `livecode run`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Args;
use livecode_protocol::session::{CreateSession, Encoding, RequestedLimits, SourceFile};

use crate::{
    Failure,
    client::{Server, Viewer, Watching},
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
    /// A further file for the program, under the same name; may be given several times.
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
        let request = self.request().map_err(|error| Failure { error, code: 2 })?;
        let failed = |error| Failure { error, code: 125 };
        let id = self.server.create(&request).map_err(failed)?;
        if self.detach {
            println!("{id}");
            return Ok(ExitCode::SUCCESS);
        }
        if self.verbose {
            eprintln!("livecode: session {id}");
        }
        let watching =
            Watching { with_input: true, with_messages: self.messages, owns_program: true, after: 0 };
        Viewer::new(self.server, id, watching).run().map_err(failed)
    }

    fn request(&self) -> anyhow::Result<CreateSession> {
        let runtime = match &self.runtime {
            Some(runtime) => runtime.clone(),
            None => self.runtime_by_ending()?,
        };
        let mut files = vec![read(&self.program, file_name(&self.program)?)?];
        for path in &self.file {
            let name = path.to_str().filter(|_| path.is_relative()).map(str::to_owned);
            files.push(read(path, name.map_or_else(|| file_name(path), Ok)?)?);
        }
        let mut env = self.env.iter().map(|pair| split(pair)).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        env.insert("FALCON_SOURCE_FILE".into(), files[0].filename.clone());
        Ok(CreateSession {
            runtime: Some(runtime),
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

    /// The first runtime that takes files with this ending.
    fn runtime_by_ending(&self) -> anyhow::Result<String> {
        let ending = self.program.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let runtimes = self.server.runtimes()?;
        let found = runtimes.iter().find(|runtime| runtime.extensions.iter().any(|known| known == ending));
        found.map(|runtime| runtime.name.clone()).ok_or_else(|| {
            let known: Vec<_> =
                runtimes.iter().flat_map(|runtime| &runtime.extensions).map(|e| format!(".{e}")).collect();
            anyhow!(
                "no runtime is known for {} (endings: {}); choose one with --runtime",
                self.program.display(),
                known.join(" ")
            )
        })
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
