//! The placeholders in commands and variables of a runtime.
//!
//! | placeholder | stands for |
//! | --- | --- |
//! | `{source}` | the file to run |
//! | `{stem}` | the same without its ending |
//! | `{sources}` | as a word of its own: this file and the sources beside it |
//! | `{memory_bytes}` | the memory that the step may use |
//! | `{cpu_millicores}`, `{cpus}` | the session's share of the processors, and that in whole ones |

use livecode_protocol::{FileName, run_spec::StepLimits};

use crate::spec::{files::Files, includes::included_files};

/// The file that is run.
pub(super) struct SourceChoice {
    pub name: FileName,
    /// Whether the request chose the file among several (`FALCON_SOURCE_FILE`). Then `{sources}`
    /// stands for this file alone.
    pub is_explicit: bool,
}

/// The values of the placeholders of one step.
pub(super) struct Placeholders<'r> {
    source: &'r SourceChoice,
    files: &'r Files,
    memory_bytes: String,
    cpu_millicores: String,
    cpus: String,
}

impl<'r> Placeholders<'r> {
    /// The placeholders of a step with these limits.
    pub fn new(source: &'r SourceChoice, files: &'r Files, limits: &StepLimits, cpu_millicores: u32) -> Self {
        Self {
            source,
            files,
            memory_bytes: limits.memory_bytes.to_string(),
            cpu_millicores: cpu_millicores.to_string(),
            cpus: cpu_millicores.div_ceil(1000).max(1).to_string(),
        }
    }

    /// Fills in a command.
    pub fn fill_command(&self, command: &[String]) -> Vec<String> {
        let mut words = vec![];
        for word in command {
            match word.as_str() {
                "{sources}" => {
                    words.push(self.source.name.to_string());
                    if !self.source.is_explicit {
                        words.extend(sibling_sources(&self.source.name, self.files));
                    }
                }
                word => words.push(self.fill(word)),
            }
        }
        words
    }

    /// Fills in the value of a variable, or a word of a command.
    pub fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let known = self.values().into_iter().find(|(placeholder, _)| rest.starts_with(placeholder));
            let (placeholder, value) = known.unwrap_or(("{", "{"));
            filled.push_str(value);
            rest = &rest[placeholder.len()..];
        }
        filled + rest
    }

    fn values(&self) -> [(&'static str, &str); 5] {
        [
            ("{source}", self.source.name.as_str()),
            ("{stem}", stem(self.source.name.as_str())),
            ("{memory_bytes}", &self.memory_bytes),
            ("{cpu_millicores}", &self.cpu_millicores),
            ("{cpus}", &self.cpus),
        ]
    }
}

/// A file's name without its ending.
fn stem(name: &str) -> &str {
    let (_, file) = split_folder(name);
    let ending_bytes = file.rfind('.').filter(|at| *at > 0).map_or(0, |at| file.len() - at);
    &name[..name.len() - ending_bytes]
}

/// The folder and the rest of a file's name.
fn split_folder(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

/// The other files with the same extension in the same folder. A file that another one includes is
/// left out, since it would be compiled twice, and so are test files of Go, which Go's tools
/// recognize by their names.
fn sibling_sources<'f>(source: &'f FileName, files: &'f Files) -> impl Iterator<Item = String> + 'f {
    fn folder_and_extension(name: &FileName) -> (&str, &str) {
        let (folder, file) = split_folder(name.as_str());
        (folder, file.rsplit_once('.').map_or("", |(_, extension)| extension))
    }
    let included = included_files(files);
    files
        .keys()
        .filter(move |name| *name != source && folder_and_extension(name) == folder_and_extension(source))
        .filter(|name| !name.as_str().ends_with("_test.go"))
        .filter(move |name| !included.contains(name.as_str()))
        .map(FileName::to_string)
}

#[cfg(test)]
mod tests {
    use livecode_protocol::run_spec::Contents;

    use super::*;

    /// Fills in a command for the file `name` among `files`, each with its contents.
    fn fill(name: &str, files: &[(&str, &str)], command: &[&str]) -> Vec<String> {
        let source = SourceChoice { name: name.parse().unwrap(), is_explicit: false };
        let file = |(name, text): &(&str, &str)| (name.parse().unwrap(), Contents::Text((*text).into()));
        let files = files.iter().map(file).collect();
        let limits = StepLimits { cpu_ms: 1, memory_bytes: 1 << 20, processes: 1 };
        let command: Vec<_> = command.iter().map(|word| (*word).to_owned()).collect();
        Placeholders::new(&source, &files, &limits, 1500).fill_command(&command)
    }

    #[test]
    fn each_placeholder_is_filled_in() {
        for (name, text, filled) in [
            ("a.b/main.c", "{source} {stem} {{stem}} {x} {", "a.b/main.c a.b/main {a.b/main} {x} {"),
            ("main.c", "-m{memory_bytes} {cpu_millicores} {cpus}", "-m1048576 1500 2"),
            ("main", "{stem}", "main"),
            (".x", "{stem}", ".x"),
            // The result is not filled in again.
            ("{stem}.c", "{source}", "{stem}.c"),
        ] {
            assert_eq!(fill(name, &[], &[text]), [filled]);
        }
    }

    #[test]
    fn an_included_source_is_not_compiled_itself() {
        let files = [
            ("main.c", "  # include  \"list.c\"\n#include <text.c>\n// #include \"other.c\"\n"),
            ("list.c", "#include \"./deep/../tree.c\"\n"),
            ("tree.c", "#include \"main.c\""),
            ("text.c", ""),
            ("other.c", "#include \"/etc/passwd\"\n#include \"../../x.c\"\n#include"),
            ("deep/x.c", "#include \"../y.c\"\n"),
            ("y.c", ""),
        ];
        assert_eq!(fill("main.c", &files, &["cc", "{sources}"]), ["cc", "main.c", "other.c", "text.c"]);
    }
}
