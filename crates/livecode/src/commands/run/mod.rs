//! `livecode run`.

mod cases;
mod folder;
mod program;
mod results;
mod runtime_choice;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::bail;
use clap::Args;
use livecode_protocol::{
    SessionId,
    results::FilePattern,
    session::{CreateSession, RequestedLimits},
};
use livecode_server::catalogue::RuntimeInfo;
use program::Program;

use crate::{
    client::{ServerClient, StreamViewer, ViewOptions, print_note, silence_notes},
    failure::{CommandFailure, EXIT_NOT_RUN, EXIT_USAGE},
};

/// Runs a program: prints its output and sends standard input to it.
///
/// Ctrl-C interrupts the program, a second Ctrl-C within two seconds kills it, and a third one
/// ends this command without waiting for the program. After a lost connection the command
/// reconnects; nothing is lost or duplicated. While the server is away, Ctrl-C, SIGTERM and SIGHUP
/// end this command, and the program goes on.
#[derive(Args)]
pub struct RunCommand {
    #[command(flatten)]
    server: ServerClient,
    /// Runtime to use instead of the one for the program's extension or `#!` line (`livecode
    /// runtimes` lists them).
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
    /// placed beside the program. Sources in the same language are compiled together with the
    /// program.
    #[arg(long, value_name = "PATH")]
    file: Vec<PathBuf>,
    /// Tell compilation apart from the program: exit with 126 if a compile step fails.
    #[arg(long)]
    stages: bool,
    /// File that is fetched when the program has ended; in each part of the name, `*` stands for
    /// any characters and `?` for one. May be given several times.
    #[arg(long, value_name = "PATTERN", requires = "output_dir")]
    collect: Vec<FilePattern>,
    /// Folder into which these files are written.
    #[arg(long, value_name = "DIR", requires = "collect", conflicts_with = "detach")]
    output_dir: Option<PathBuf>,
    /// File with cases, as a JSON array: run the program once for each, print which have passed,
    /// and exit with 0 if all have.
    #[arg(long, value_name = "FILE", conflicts_with = "collect")]
    cases: Option<PathBuf>,
    /// Run no case after one that has failed.
    #[arg(long, requires = "cases")]
    stop_on_first_failure: bool,
    /// Wall-clock limit of all cases together, in milliseconds; `--timeout` is that of each.
    #[arg(long, value_name = "MS", requires = "cases")]
    total_timeout: Option<u64>,
    /// Also print the program's own messages, each as a line of JSON between its output.
    #[arg(long)]
    messages: bool,
    /// Start the program, print the session's id, and leave the program running. Standard input
    /// that is not a terminal and not empty is passed to the program before.
    #[arg(long, short)]
    detach: bool,
    /// How long the server may be out of reach before this command gives up, in milliseconds;
    /// without a limit by default.
    #[arg(long, value_name = "MS")]
    reconnect_timeout: Option<u64>,
    /// Print the session's id on standard error.
    #[arg(long, short)]
    verbose: bool,
    /// Print no notes about the connection.
    #[arg(long, short, conflicts_with = "verbose")]
    quiet: bool,
    /// File of the program, or a folder that holds it (its main file is the one that the runtime
    /// runs, such as main.py; files that .gitignore names are left out), or `-` for standard
    /// input.
    program: PathBuf,
    /// Arguments for the program.
    #[arg(last = true)]
    args: Vec<String>,
}

impl RunCommand {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        let not_run = |error| CommandFailure { error, exit_code: EXIT_NOT_RUN };
        if self.quiet {
            silence_notes();
        }
        let request = self.request()?;
        let id = self.server.create(&request).map_err(not_run)?.id;
        let reconnect_timeout = self.reconnect_timeout.map(Duration::from_millis);
        if self.detach {
            writeln!(io::stdout(), "{id}")?;
            return pass_input(self.server, id, &request, reconnect_timeout).map_err(not_run);
        }
        if self.verbose {
            print_note(format_args!("session {id}"));
        }
        let options = ViewOptions {
            with_input: takes_input(&request),
            with_messages: self.messages,
            owns_program: true,
            after: 0,
            only_input: false,
            reconnect_timeout,
        };
        let exit_code = StreamViewer::run(self.server.clone(), id, options).map_err(not_run)?;
        if let Some(folder) = &self.output_dir {
            results::fetch(&self.server, id, &self.collect, folder).map_err(not_run)?;
        }
        Ok(exit_code)
    }

    /// The request for the session.
    ///
    /// # Errors
    /// With [`EXIT_USAGE`] if the command line or a file is wrong, and with [`EXIT_NOT_RUN`] if
    /// the server cannot be asked for its runtimes.
    fn request(&self) -> Result<CreateSession, CommandFailure> {
        let usage = |error| CommandFailure { error, exit_code: EXIT_USAGE };
        let ask_runtimes =
            || self.server.runtimes().map_err(|error| CommandFailure { error, exit_code: EXIT_NOT_RUN });
        let mut env = self
            .env
            .iter()
            .map(|pair| parse_variable(pair))
            .collect::<anyhow::Result<BTreeMap<_, _>>>()
            .map_err(usage)?;
        let (program, runtime) = if self.program.is_dir() {
            let runtimes = ask_runtimes()?;
            let folder = folder::read(&self.program, self.runtime.as_deref(), &runtimes, &self.file);
            folder.map_err(usage)?
        } else {
            let program = Program::read(&self.program, &self.file).map_err(usage)?;
            let runtime = match &self.runtime {
                Some(runtime) => runtime.clone(),
                None => {
                    runtime_choice::choose(&program.name, &program.source, &ask_runtimes()?).map_err(usage)?
                }
            };
            (program, runtime)
        };
        let has_taken_stdin = program.is_standard_input;
        let cases = self.cases.as_deref().map(cases::read).transpose().map_err(usage)?;
        let parts = program.into_parts(&mut env);
        Ok(CreateSession {
            runtime: Some(runtime),
            code: parts.code,
            code_filename: parts.code_filename,
            files: Some(parts.files).filter(|files| !files.is_empty()),
            // Standard input was the program, so the program has none.
            stdin: (has_taken_stdin && cases.is_none()).then(String::new),
            args: Some(self.args.clone()).filter(|args| !args.is_empty()),
            env: Some(env).filter(|env| !env.is_empty()),
            stages: self.stages.then_some(true),
            collect: (!self.collect.is_empty())
                .then(|| self.collect.iter().map(FilePattern::to_string).collect()),
            cases,
            stop_on_first_failure: self.stop_on_first_failure.then_some(true),
            total_timeout: self.total_timeout,
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

/// Whether the program gets its input from this command.
fn takes_input(request: &CreateSession) -> bool {
    request.stdin.is_none() && request.cases.is_none()
}

/// Passes standard input to a program that is left running, unless a person would have to type it
/// or the program has its input already.
fn pass_input(
    server: ServerClient,
    id: SessionId,
    request: &CreateSession,
    reconnect_timeout: Option<Duration>,
) -> anyhow::Result<ExitCode> {
    if !takes_input(request) || io::stdin().is_terminal() {
        return Ok(ExitCode::SUCCESS);
    }
    StreamViewer::run(server, id, ViewOptions::for_input(reconnect_timeout))
}

/// The runtime with this name or alias, among those of the server.
fn find_runtime<'r>(name: &str, runtimes: &'r [RuntimeInfo]) -> Option<&'r RuntimeInfo> {
    runtimes.iter().find(|runtime| runtime.name == name || runtime.aliases.iter().any(|alias| alias == name))
}

/// Splits `NAME=VALUE`.
fn parse_variable(pair: &str) -> anyhow::Result<(String, String)> {
    match pair.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => bail!("--env {pair}: must be NAME=VALUE"),
    }
}
