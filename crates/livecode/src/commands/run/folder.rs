//! A folder as a program.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ignore::WalkBuilder;
use livecode_server::catalogue::RuntimeInfo;

use super::{
    find_runtime,
    program::{Program, name_relative_to, read_file},
    runtime_choice::by_extension,
};
use crate::client::print_note;

/// The largest number of files in a request, which every server accepts.
const MAX_FILES: usize = 1000;
/// The largest size of all files together, in bytes. A server's `body_max_bytes` is 16 MiB by
/// default, and bytes that are no text take a third more in a request.
const MAX_BYTES: usize = 12 * 1024 * 1024;

/// Reads a folder: the program, and the name of its runtime.
///
/// Hidden files and files that .gitignore names are left out; links are not followed. The main
/// file is the file that the runtime runs, at the top of the folder. If the user names no runtime,
/// the folder must have such a file of exactly one runtime, or only one file with a known
/// extension.
pub fn read(
    folder: &Path,
    runtime: Option<&str>,
    runtimes: &[RuntimeInfo],
    additional: &[PathBuf],
) -> anyhow::Result<(Program, String)> {
    let mut files = read_files(folder)?;
    for path in additional {
        files.push((name_relative_to(&folder.join("main"), path)?, read_file(path)?));
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let shown = folder.display();
    let (main, runtime) = match runtime {
        Some(name) => {
            let Some(runtime) = find_runtime(name, runtimes) else {
                bail!("there is no runtime {name:?}; `livecode runtimes` lists those of the server");
            };
            let own = |file: &&str| by_extension(file, std::slice::from_ref(runtime)).is_some();
            let main = Some(runtime.file.as_str()).filter(|main| names.contains(main));
            let Some(main) = main.or_else(|| single(names.iter().copied().filter(own))) else {
                bail!("{shown} has no file {:?}, which the runtime {name:?} runs", runtime.file);
            };
            (main, runtime)
        }
        None => choose_main(&names, runtimes).with_context(|| {
            let known: Vec<_> = runtimes.iter().map(|runtime| runtime.file.as_str()).collect();
            format!(
                "it is not clear which file of {shown} is to be run: a folder has one of {}, or a single \
                 source; choose with --runtime, or run the file itself with --file for the others",
                known.join(", ")
            )
        })?,
    };
    let runtime = runtime.name.clone();
    let main = main.to_owned();
    let position = files.iter().position(|(name, _)| *name == main).context("the main file was read")?;
    let (name, source) = files.swap_remove(position);
    files.sort();
    Ok((Program { name, source, files, is_standard_input: false }, runtime))
}

/// The main file of a folder with these files, and its runtime: the only file that a runtime runs
/// by its name, or else the only file at the top whose extension is known.
fn choose_main<'n, 'r>(names: &[&'n str], runtimes: &'r [RuntimeInfo]) -> Option<(&'n str, &'r RuntimeInfo)> {
    let by_name = |name: &&'n str| {
        // Several runtimes may run one file, such as main.py; the one for its extension is meant.
        let runtime = by_extension(name, runtimes).filter(|runtime| runtime.file == *name);
        runtime.map(|runtime| (*name, runtime))
    };
    let sources = names.iter().filter(|name| !name.contains('/'));
    single(names.iter().filter_map(by_name)).or_else(|| {
        single(sources.filter_map(|name| by_extension(name, runtimes).map(|runtime| (*name, runtime))))
    })
}

/// The only item; `None` if there are none or several.
fn single<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

/// The files below a folder, by their paths from there.
fn read_files(folder: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut files = vec![];
    let mut bytes = 0;
    // A folder that is no git repository may have a .gitignore, too.
    for entry in WalkBuilder::new(folder).require_git(false).build() {
        let entry = entry.with_context(|| format!("cannot read the folder {}", folder.display()))?;
        let (path, kind) = (entry.path(), entry.file_type());
        if kind.is_some_and(|kind| kind.is_dir()) {
            continue;
        }
        if !kind.is_some_and(|kind| kind.is_file()) {
            print_note(format_args!("{} is left out: it is not a regular file", path.display()));
            continue;
        }
        let inside = path.strip_prefix(folder).context("a path below the folder")?;
        let name = inside.to_str().with_context(|| format!("the name of {} is not UTF-8", path.display()))?;
        let contents = read_file(path)?;
        bytes += contents.len();
        files.push((name.to_owned(), contents));
        if files.len() > MAX_FILES {
            bail!(
                "{} has more than {MAX_FILES} files, as many as a program may have; name those that it does \
                 not need in .gitignore",
                folder.display()
            );
        }
        if bytes > MAX_BYTES {
            bail!(
                "the files of {} have more than {MAX_BYTES} bytes, as many as a program may have; name those \
                 that it does not need in .gitignore",
                folder.display()
            );
        }
    }
    if files.is_empty() {
        bail!(
            "{} has no files (hidden files and those that .gitignore names do not count)",
            folder.display()
        );
    }
    Ok(files)
}
