//! Which file of a session a line of a tool names.

use std::collections::{HashMap, HashSet};

use livecode_protocol::FileName;

/// The working directory of programs.
const WORKING_DIRECTORY: &str = "/code/";

/// The files that the request for a session had.
pub(super) struct SessionFiles {
    names: HashSet<String>,
    /// The name of the file with this last part; `None` if there are several.
    by_last_part: HashMap<String, Option<String>>,
    /// The only source of Java, if there is one: its compiler sees it under the name of its class.
    only_java_source: Option<String>,
}

impl SessionFiles {
    pub fn new<'n>(files: impl Iterator<Item = &'n FileName>) -> Self {
        let names: HashSet<String> = files.map(ToString::to_string).collect();
        let mut by_last_part = HashMap::new();
        for name in &names {
            let is_first = !by_last_part.contains_key(last_part(name));
            by_last_part.insert(last_part(name).to_owned(), is_first.then(|| name.clone()));
        }
        let mut java_sources = names.iter().filter(|name| name.ends_with(".java"));
        let only_java_source = java_sources.next().cloned().filter(|_| java_sources.next().is_none());
        Self { names, by_last_part, only_java_source }
    }

    /// The name of the file at a path; `None` if it is none of the session's.
    pub fn find(&self, path: &str) -> Option<String> {
        let path = path.strip_prefix("file://").unwrap_or(path);
        let path = path.strip_prefix(WORKING_DIRECTORY).unwrap_or(path);
        let path = path.strip_prefix("./").unwrap_or(path);
        self.names.get(path).cloned()
    }

    /// Whether there is a source of Go.
    pub fn has_go(&self) -> bool {
        self.names.iter().any(|name| name.ends_with(".go"))
    }

    /// As [`Self::find`], for tools of Java, which name a file without its folder, or by its class.
    pub fn find_java(&self, path: &str) -> Option<String> {
        if !path.ends_with(".java") {
            return None;
        }
        let by_last_part = || self.by_last_part.get(last_part(path)).cloned().flatten();
        self.find(path).or_else(by_last_part).or_else(|| self.only_java_source.clone())
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
