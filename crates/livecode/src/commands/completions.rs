//! `livecode completions`.

use std::io::{self, Write as _};

use clap::Args;
use clap_complete::Shell;

use crate::failure::CommandFailure;

/// Prints a script that completes this command's words in a shell.
///
/// In bash: `source <(livecode completions bash)`.
#[derive(Args)]
pub struct CompletionsCommand {
    /// The shell.
    shell: Shell,
}

impl CompletionsCommand {
    /// Prints the script for `command`.
    pub fn run(self, mut command: clap::Command) -> Result<(), CommandFailure> {
        let name = command.get_name().to_owned();
        let mut script = vec![];
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        Ok(io::stdout().write_all(&script)?)
    }
}
