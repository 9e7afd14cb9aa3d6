//! Fetches the files that a program has left.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::{Context as _, bail};
use livecode_protocol::{
    SessionId,
    results::{FilePattern, RefusedFile, ResultFilesDocument},
};

use crate::client::{ServerClient, print_status};

/// Writes the result files of a session into `folder`, and tells which were refused. Files that are
/// there are replaced.
///
/// # Errors
/// If a file cannot be fetched or written.
pub fn fetch(
    server: &ServerClient,
    id: SessionId,
    patterns: &[FilePattern],
    folder: &Path,
) -> anyhow::Result<()> {
    let path = format!("/sessions/{id}/files");
    let ResultFilesDocument { files, refused, complete } = server.get_json(&path)?;
    for RefusedFile { name, reason } in refused {
        let reason = serde_json::to_value(reason)?;
        print_status(format_args!("{name} was not taken: {}", reason.as_str().unwrap_or_default()));
    }
    if !complete {
        print_status(format_args!("not all files of the program could be taken"));
    }
    for file in files {
        // The server has no business to write any other file.
        if !patterns.iter().any(|pattern| pattern.matches(&file.name)) {
            bail!("the server offers {}, which was not asked for", file.name);
        }
        let target = folder.join(file.name.as_str());
        let parent = target.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let partial = parent.join(format!(".livecode-{id}"));
        let fetched = File::create(&partial).map_err(anyhow::Error::from).and_then(|mut to| {
            let mut from = server.download(&format!("{path}/{}", file.name.url_path()), file.bytes)?;
            let copied = io::copy(&mut from, &mut to)?;
            if copied != file.bytes {
                bail!("the server has sent {copied} bytes of {}", file.bytes);
            }
            Ok(fs::rename(&partial, &target)?)
        });
        if fetched.is_err() {
            let _ = fs::remove_file(&partial);
        }
        fetched.with_context(|| format!("cannot fetch {}", file.name))?;
    }
    Ok(())
}
