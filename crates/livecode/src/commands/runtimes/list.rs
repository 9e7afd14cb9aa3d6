//! `livecode runtimes` without a further word.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use livecode_server::catalogue::RuntimeInfo;

use crate::{
    client::{DEFAULT_URL, ServerClient},
    commands::{data_dir::AdministeredServerArgs, tables::print_table},
    failure::{CommandFailure, EXIT_FAILURE},
};

/// How long the check of one runtime may take: compilers of some languages are slow, and further
/// checks may be before it.
const CHECK_TIMEOUT: Duration = Duration::from_secs(600);

/// Flags of the list of runtimes.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    server: AdministeredServerArgs,
    /// Run the hello of each runtime that is installed, and print how long it took, or why it has
    /// failed. The exit status is 1 if one has. For the local user and admins; without a URL, the
    /// command uses the admin socket in the data directory, as `livecode runtimes reload` does.
    #[arg(long)]
    check: bool,
    /// Print the runtimes' documents as JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub fn run(self) -> Result<ExitCode, CommandFailure> {
        if self.check {
            return self.check(&self.server.find()?);
        }
        let runtimes = self.server.find_or(DEFAULT_URL)?.runtimes()?;
        if self.json {
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&runtimes)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let rows = runtimes.into_iter().map(|runtime| {
            let state = state(&runtime);
            let names = std::iter::once(runtime.name).chain(runtime.aliases).collect::<Vec<_>>().join(", ");
            [names, runtime.title, runtime.version.unwrap_or_else(|| "-".into()), runtime.file, state]
        });
        print_table(["NAME", "TITLE", "VERSION", "FILE", "STATE"], rows)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Checks one runtime after the other, and prints each result once it is known.
    fn check(&self, server: &ServerClient) -> Result<ExitCode, CommandFailure> {
        let mut runtimes = server.runtimes()?;
        let width = runtimes.iter().map(|runtime| runtime.name.len()).max().unwrap_or(0);
        let mut has_failure = false;
        let mut has_result = false;
        for runtime in runtimes.iter_mut().filter(|runtime| runtime.needs.is_none()) {
            let path = format!("/catalogue/check?runtime={}", query_value(&runtime.name));
            match server.post_json_within(&path, &(), CHECK_TIMEOUT) {
                Ok(checked) => *runtime = checked,
                // A refusal of the first one has to do with the caller and not with the runtime.
                Err(error) if !has_result => return Err(error.into()),
                Err(error) => {
                    has_failure = true;
                    if self.json {
                        eprintln!("{}: not checked: {error:#}", runtime.name);
                    } else {
                        let name = &runtime.name;
                        writeln!(
                            io::stdout(),
                            "{name:width$}  {:12}  {:>9}  not checked: {error:#}",
                            "-",
                            ""
                        )?;
                    }
                    continue;
                }
            }
            has_result = true;
            has_failure |= !runtime.available;
            if !self.json {
                let version = runtime.version.as_deref().unwrap_or("-");
                let check = runtime.check.as_ref();
                let time = check.map(|check| format!("{} ms", check.duration_ms)).unwrap_or_default();
                let state = state(runtime);
                writeln!(io::stdout(), "{:width$}  {version:12}  {time:>9}  {state}", runtime.name)?;
            }
        }
        if self.json {
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&runtimes)?)?;
        } else {
            for runtime in runtimes.iter().filter(|runtime| runtime.needs.is_some()) {
                writeln!(io::stdout(), "{:width$}  {:12}  {:>9}  {}", runtime.name, "-", "", state(runtime))?;
            }
        }
        Ok(if has_failure { ExitCode::from(EXIT_FAILURE) } else { ExitCode::SUCCESS })
    }
}

/// Whether a runtime works, in words.
fn state(runtime: &RuntimeInfo) -> String {
    match (&runtime.needs, &runtime.check) {
        (Some(needs), _) => needs.clone(),
        (None, Some(check)) if check.passed => "ready".to_owned(),
        (None, Some(check)) => match &check.failure {
            Some(failure) => format!("fails: {failure}"),
            None => "fails".to_owned(),
        },
        (None, None) => "installed, not checked yet".to_owned(),
    }
}

/// A name of a runtime in a query. It has no other characters that mean something there.
fn query_value(name: &str) -> String {
    name.replace('+', "%2B").replace('#', "%23")
}
