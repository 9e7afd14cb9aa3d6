//! The files of a request: their names, their contents, and whether the working directory can hold
//! them.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use livecode_protocol::{
    FileName,
    run_spec::{Contents, SessionLimits},
    session::{CreateSession, Encoding, MAX_FILES, SourceFile},
};

use crate::{catalogue::Runtime, spec::bad_field::BadField};

/// A file with this name is standard input and not a file of the working directory.
pub(super) const STDIN_FILE: &str = "stdin";
/// The space that a file takes in a tmpfs is a multiple of this.
const PAGE_BYTES: u64 = 4096;

/// The files of a session, by name.
pub(super) type Files = BTreeMap<FileName, Contents>;

/// Parses the name of a file that `field` of a request gives.
pub(super) fn parse_file_name(field: &str, name: &str) -> Result<FileName, BadField> {
    name.parse().map_err(|error| BadField::new(field, format!("{name:?} cannot be a file's name: {error}")))
}

/// Collects the files of a request, from `code` and from `files`.
pub(super) fn collect_files(request: &CreateSession, runtime: &Runtime) -> Result<Files, BadField> {
    let mut files = Files::new();
    if let Some(code) = &request.code {
        let name = match &request.code_filename {
            Some(name) => parse_file_name("code_filename", name)?,
            None => runtime.manifest.file.clone(),
        };
        files.insert(name, Contents::Text(code.clone()));
    }
    let source_files = request.files.as_deref().unwrap_or_default();
    if source_files.len() > MAX_FILES {
        let detail = format!("there are {} files; at most {MAX_FILES} are allowed", source_files.len());
        return Err(BadField::new("files", detail));
    }
    if request.code.is_none() && source_files.is_empty() {
        let detail = "the program is missing; give it as \"code\" or as \"files\"";
        return Err(BadField::new("code", detail));
    }
    collect_source_files("files", source_files, &mut files)?;
    check_folders("files", files.keys())?;
    Ok(files)
}

/// Adds the files that `field` of a request gives.
pub(super) fn collect_source_files(
    field: &str,
    source_files: &[SourceFile],
    files: &mut Files,
) -> Result<(), BadField> {
    for (index, file) in source_files.iter().enumerate() {
        let name_field = format!("{field}[{index}].filename");
        let name = parse_file_name(&name_field, &file.filename)?;
        let contents = decode_contents(&format!("{field}[{index}].contents"), file)?;
        if files.insert(name, contents).is_some() {
            return Err(BadField::new(name_field, format!("{:?} is given twice", file.filename)));
        }
    }
    Ok(())
}

/// Checks that no file is also a folder of another one.
pub(super) fn check_folders<'f>(
    field: &str,
    files: impl Iterator<Item = &'f FileName> + Clone,
) -> Result<(), BadField> {
    let names: BTreeSet<&str> = files.clone().map(FileName::as_str).collect();
    let mut parents = files.flat_map(FileName::parents);
    match parents.find(|parent| names.contains(parent)) {
        Some(both) => {
            Err(BadField::new(field, format!("{both:?} is a file and also a folder of another file")))
        }
        None => Ok(()),
    }
}

fn decode_contents(field: &str, file: &SourceFile) -> Result<Contents, BadField> {
    match file.encoding {
        None => Ok(Contents::Text(file.contents.clone())),
        Some(Encoding::Base64) => {
            BASE64_STANDARD.decode(&file.contents).map(Contents::new).map_err(|error| {
                let detail = format!("the contents are not base64 (RFC 4648, section 4): {error}");
                BadField::new(field, detail)
            })
        }
    }
}

/// Checks that the files fit into the working directory, counted as its file system counts them.
pub(super) fn check_disk_limits(
    request: &CreateSession,
    files: &Files,
    limits: &SessionLimits,
) -> Result<(), BadField> {
    check_disk_space(if request.files.is_some() { "files" } else { "code" }, files.iter(), limits)
}

/// Checks that files, the last of which `field` of a request gives, fit into the working
/// directory.
pub(super) fn check_disk_space<'f>(
    field: &str,
    files: impl Iterator<Item = (&'f FileName, &'f Contents)> + Clone,
    limits: &SessionLimits,
) -> Result<(), BadField> {
    let bytes: u64 = files.clone().map(|(_, contents)| file_bytes(content_bytes(contents))).sum();
    if bytes > limits.disk_bytes {
        let detail = format!("the files take {bytes} bytes; the working directory has {}", limits.disk_bytes);
        return Err(BadField::new(field, detail));
    }
    let folders: BTreeSet<&str> = files.clone().flat_map(|(name, _)| name.parents()).collect();
    let count = (files.count() + folders.len()) as u64;
    if count > limits.disk_files {
        let detail = format!(
            "there are {count} files and folders; the working directory can hold {}",
            limits.disk_files
        );
        return Err(BadField::new(field, detail));
    }
    Ok(())
}

/// The space that a file with so many bytes takes.
pub(super) fn file_bytes(content_bytes: u64) -> u64 {
    content_bytes.next_multiple_of(PAGE_BYTES)
}

pub(super) fn content_bytes(contents: &Contents) -> u64 {
    match contents {
        Contents::Text(text) => text.len() as u64,
        Contents::Base64(text) => text.len() as u64 / 4 * 3,
    }
}
