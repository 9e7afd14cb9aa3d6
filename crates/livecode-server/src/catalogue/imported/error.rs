//! Why no runtime can be made of an image, or removed. Each text has its cause in it and ends with
//! the code, so no variant has a source, which would follow it.

use std::{io, path::PathBuf};

use livecode_image::ImageError;

/// Why no runtime can be made of an image.
#[derive(Debug, thiserror::Error)]
pub enum ImportedRuntimeError {
    /// The name is not allowed.
    #[error(
        "the name {0:?} is not allowed: a name has at most 64 characters, which are a-z, 0-9 and -_.+#, no \
         dot first, and perhaps a version of such characters after an @ (invalid_name)"
    )]
    InvalidName(String),
    /// The operator's folder has a runtime of this name, or another runtime has it as an alias.
    #[error("a runtime in {folder} has the name or alias {name:?} already; choose another name (name_taken)")]
    NameTaken {
        /// The name.
        name: String,
        /// The folder with the other runtime.
        folder: PathBuf,
    },
    /// There is no runtime with the name of the template.
    #[error("there is no runtime {0:?} to take the commands from; there are {1} (no_template)")]
    NoTemplate(String, String),
    /// Nothing says which command runs a program.
    #[error(
        "the image names no command, so LiveCode cannot know how programs are run; name a runtime \
         whose commands fit by --from (no_command)"
    )]
    NoCommand,
    /// There is no such imported runtime.
    #[error("no import has made a runtime {0:?}; there are {1} (no_such_runtime)")]
    NoSuchRuntime(String, String),
    /// The runtime's own file cannot be changed without loss.
    #[error(
        "{0} is not changed, since it is not as an import left it: {1}; correct the file, or choose \
         another name (mistaken_runtime)"
    )]
    MistakenRuntime(PathBuf, String),
    /// A runtime of the operator extends the one that was to be changed or removed.
    #[error("nothing is changed, since no server could start with the runtimes then: {0} (breaks_runtimes)")]
    BreaksRuntimes(String),
    /// The template is not valid, or the new `runtime.toml` is not.
    #[error("{0} (invalid_template)")]
    InvalidTemplate(String),
    /// It is unknown which images runtimes name.
    #[error("no image is removed, since {0} cannot be read and may name one: {1} (runtimes_unread)")]
    RuntimesUnread(PathBuf, io::Error),
    /// It is unknown which images the sessions need that wait to run.
    #[error(
        "no image is removed, since {0} cannot be read, and a session that waits may need one: {1} (sessions_unread)"
    )]
    SessionsUnread(PathBuf, io::Error),
    /// The images cannot be removed.
    #[error("the images that no runtime names cannot be removed: {0} ({code})", code = .0.code())]
    Images(ImageError),
    /// A file cannot be read or written.
    #[error("cannot use {0}: {1} (io)")]
    Io(PathBuf, io::Error),
}
