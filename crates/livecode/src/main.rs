//! `livecode`: the server, and a client for the shell. Each command has a file of its own in
//! `commands`.

mod client;
mod commands;
mod failure;
mod hangup;
mod log;
mod readiness;
mod scope;
mod start;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use client::print_status;
use failure::EXIT_BROKEN_PIPE;

/// Runs programs in sandboxes and streams their output.
///
/// A session belongs to its program and not to a connection: a client that reconnects receives
/// everything that it has missed.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: `run` and `attach` exit with the program's exit status. Otherwise it is 0 after \
                  success; 1 after a failure; 2 if the command line is wrong; 125 if LiveCode itself failed to \
                  run the program; 130 or 143 if Ctrl-C or SIGTERM ended the command and not the program; 141 \
                  if the reader of the command's output has closed it."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(Box<commands::serve::ServeCommand>),
    Run(commands::run::RunCommand),
    Attach(commands::sessions::attach::AttachCommand),
    Ls(commands::tables::ls::LsCommand),
    Share(commands::sessions::share::ShareCommand),
    Rm(commands::sessions::rm::RmCommand),
    Runtimes(commands::runtimes::RuntimesCommand),
    Quota(commands::tables::quota::QuotaCommand),
    Token(commands::token::TokenCommand),
    Users(commands::users::UsersCommand),
    Backup(commands::backup::BackupCommand),
    Doctor(commands::doctor::DoctorCommand),
    Config(commands::config::ConfigCommand),
    Completions(commands::completions::CompletionsCommand),
    Man(commands::man::ManCommand),
    #[command(hide = true)]
    Spawner(commands::spawner::SpawnerCommand),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Attach(command) => command.run(),
        Command::Ls(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Share(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Rm(command) => command.run(),
        Command::Runtimes(command) => command.run(),
        Command::Quota(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Token(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Users(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Backup(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Doctor(command) => command.run(),
        Command::Config(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Completions(command) => command.run(Cli::command()).map(|()| ExitCode::SUCCESS),
        Command::Man(command) => command.run(Cli::command()).map(|()| ExitCode::SUCCESS),
        Command::Spawner(command) => Ok(command.run()),
    };
    result.unwrap_or_else(|failure| {
        if failure.is_broken_pipe() {
            return ExitCode::from(EXIT_BROKEN_PIPE);
        }
        print_status(format_args!("{:#}", failure.error));
        ExitCode::from(failure.exit_code)
    })
}
