//! The commands of a session: the compile steps and the program.

use livecode_protocol::{
    FileName,
    session::{CreateSession, Mode},
};

use crate::{
    catalogue::Runtime,
    spec::{bad_field::BadField, files::Files, placeholders::Placeholders},
};

/// The largest size of the program's name and its arguments together, in bytes.
pub(super) const MAX_ARGUMENT_BYTES: usize = 64 * 1024;

/// The size of the words of a command, each with the NUL that ends it, in bytes.
pub(super) fn argument_bytes(words: &[String]) -> usize {
    words.iter().map(|word| word.len() + 1).sum()
}

/// The commands of a session, each a program and its arguments.
pub(super) struct Commands {
    pub compile: Vec<Vec<String>>,
    pub run: Vec<String>,
}

impl Commands {
    /// Takes the command of the request, or else that of the runtime for this mode.
    pub fn resolve(
        request: &CreateSession,
        runtime: &Runtime,
        mode: Mode,
        source: &FileName,
        files: &Files,
        (compile, run): (&Placeholders<'_>, &Placeholders<'_>),
    ) -> Result<Self, BadField> {
        let manifest = &runtime.manifest;
        let mut commands = match (&request.command, mode) {
            (Some(command), _) => {
                if command.first().is_none_or(String::is_empty) {
                    return Err(BadField::new(
                        "command",
                        "needs at least a program, e.g. [\"python\", \"main.py\"]",
                    ));
                }
                Self { compile: vec![], run: command.clone() }
            }
            (None, Mode::Test) => {
                let bad = |detail| BadField::new("mode", detail);
                let name = &runtime.name;
                let test = manifest.test.as_ref();
                let test = test.ok_or_else(|| bad(format!("the runtime {name:?} has no test mode")))?;
                if let Some(needs) = &runtime.test_needs {
                    return Err(bad(format!("the test mode of {name:?} cannot run here: {needs}")));
                }
                Self { compile: vec![], run: run.fill_command(&test.run) }
            }
            (None, Mode::Exec) => {
                if !files.contains_key(source) {
                    let detail = format!("there is no file {:?} to run among those given", source.as_str());
                    return Err(BadField::new("files", detail));
                }
                let compile_steps = manifest.compile.iter().map(|command| compile.fill_command(command));
                Self { compile: compile_steps.collect(), run: run.fill_command(&manifest.run) }
            }
        };
        commands.run.extend(request.args.iter().flatten().cloned());
        let field = if request.args.is_some() { "args" } else { "command" };
        let bytes = argument_bytes(&commands.run);
        if bytes > MAX_ARGUMENT_BYTES {
            let detail = format!("the command has {bytes} bytes; at most {MAX_ARGUMENT_BYTES} are allowed");
            return Err(BadField::new(field, detail));
        }
        if commands.run.iter().any(|word| word.contains('\0')) {
            return Err(BadField::new(field, "no word of a command may contain a NUL character"));
        }
        Ok(commands)
    }
}
