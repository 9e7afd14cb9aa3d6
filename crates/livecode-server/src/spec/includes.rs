//! Which of a request's files are included by others (`#include "list.c"`, or `%include` in
//! assembly).

use std::collections::BTreeSet;

use livecode_protocol::run_spec::Contents;

use crate::spec::files::Files;

/// The names of all files that another file includes by a path relative to its own folder.
pub(super) fn included_files(files: &Files) -> BTreeSet<String> {
    let mut included = BTreeSet::new();
    for (name, contents) in files {
        let Contents::Text(text) = contents else { continue };
        let folder = name.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
        included.extend(text.lines().filter_map(included_path).filter_map(|path| join(folder, path)));
    }
    included
}

/// The path in quotation marks that a line includes, if it does.
fn included_path(line: &str) -> Option<&str> {
    let directive = line.trim_start().strip_prefix(['#', '%'])?.trim_start();
    let (path, _) = directive.strip_prefix("include")?.trim_start().strip_prefix('"')?.split_once('"')?;
    Some(path)
}

/// A path relative to `folder`, without `.` and `..`; `None` if it leads out of the working
/// directory.
fn join(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = vec![];
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
