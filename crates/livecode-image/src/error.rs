//! Why an image is refused.

use std::{fmt, io};

use crate::digest::Digest;

/// The number of characters of a text of an image that an error shows.
const MAX_SHOWN_CHARS: usize = 200;

/// The beginning of a text that a manifest may have made megabytes long, for messages.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Where in an image something was found: in which layer, counted from 1, and in which entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The layer; 0 for the archive around the layers.
    pub layer: usize,
    /// The name of the entry as it stands there.
    pub name: String,
}

impl Place {
    pub(crate) fn new(layer: usize, name: &[u8]) -> Self {
        Self { layer, name: String::from_utf8_lossy(name).into_owned() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `{:?}` escapes control characters, so that a name cannot forge a line.
        match self.layer {
            0 => write!(f, "{:?}", self.name),
            layer => write!(f, "{:?} of layer {layer}", self.name),
        }
    }
}

/// Why an image cannot be imported. Nothing of it is kept then.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The archive or folder has no manifest.
    #[error("{0} is no image: it has neither an index.json (OCI) nor a manifest.json (docker save)")]
    NotAnImage(String),
    /// The whole archive is compressed.
    #[error("{0} is compressed as a whole ({1}); decompress it first")]
    CompressedArchive(String, &'static str),
    /// The archive has several images.
    #[error("the archive has several images ({0}); save only the one that is wanted")]
    Ambiguous(String),
    /// No image of the archive is for this machine.
    #[error("no image of the archive is for linux/{wanted}; there is {found}")]
    WrongPlatform {
        /// This machine's architecture, as images name it.
        wanted: &'static str,
        /// The platforms that there are.
        found: String,
    },
    /// A manifest, index or configuration is malformed.
    #[error("{file} of the image is wrong: {flaw}")]
    BadManifest {
        /// The file in the archive.
        file: String,
        /// The mistake.
        flaw: String,
    },
    /// The archive lacks a file that a manifest names.
    #[error("the archive has no file {0:?}, which its manifest names")]
    MissingBlob(String),
    /// A file has other contents than its digest says.
    #[error("{what} does not have the digest that the image names: expected {expected}, found {found}")]
    BadDigest {
        /// The file, or what it contains.
        what: String,
        /// The digest in the manifest or configuration.
        expected: Digest,
        /// The digest of the contents.
        found: Digest,
    },
    /// A tar archive or compressed stream is damaged.
    #[error("{what} is damaged: {source}")]
    Damaged {
        /// The archive or layer.
        what: String,
        /// How it is damaged.
        #[source]
        source: io::Error,
    },
    /// The name of an entry leads out of the root, or is no name.
    #[error("the name {place} {flaw}")]
    HostilePath {
        /// The entry.
        place: Place,
        /// The flaw of the name, as the end of a sentence.
        flaw: &'static str,
    },
    /// A hard link leads out of the root, or to nothing.
    #[error("the hard link {place} leads to {target:?}, which {flaw}")]
    HostileLink {
        /// The entry.
        place: Place,
        /// The target of the link.
        target: String,
        /// The flaw of the target, as the end of a sentence.
        flaw: &'static str,
    },
    /// A whiteout would remove a folder above it, or is no whiteout.
    #[error("the whiteout {0} names no file beside it")]
    HostileWhiteout(Place),
    /// An entry would be written through a link, or below something that is no folder.
    #[error("a folder in the path of {0} is a link or no folder; entries are not written through links")]
    LinkInPath(Place),
    /// An entry is of a kind that images do not have.
    #[error("{place} is {kind}, which is not supported")]
    UnsupportedEntry {
        /// The entry.
        place: Place,
        /// The kind of the entry.
        kind: &'static str,
    },
    /// A limit of [`crate::Limits`] is exceeded.
    #[error("the image exceeds the limit {limit} = {max}{}", at.as_ref().map_or_else(String::new, |at| format!(" at {at}")))]
    LimitExceeded {
        /// The name of the limit.
        limit: &'static str,
        /// Its value.
        max: u64,
        /// The entry at which it was exceeded.
        at: Option<Place>,
    },
    /// The disk would have less free space than the server needs.
    #[error(
        "the disk of {folder} has no room for the image: {free_bytes} bytes are free, {min_free_bytes} must stay free"
    )]
    DiskFull {
        /// The folder of the images.
        folder: String,
        /// The free space.
        free_bytes: u64,
        /// The free space that must be left.
        min_free_bytes: u64,
    },
    /// The disk would have fewer free inodes than the server needs.
    #[error(
        "the disk of {folder} has no room for the files of the image: {free_inodes} inodes are free, \
         {min_free_inodes} must stay free"
    )]
    InodesFull {
        /// The folder of the images.
        folder: String,
        /// The number of free inodes.
        free_inodes: u64,
        /// The number of free inodes that must be left.
        min_free_inodes: u64,
    },
    /// The document about an image is unreadable, and the image cannot be replaced.
    #[error("the image {0} is damaged here, and cannot be unpacked again while a sandbox or server uses it")]
    DamagedInUse(Digest),
    /// The import was asked to stop.
    #[error("the import was interrupted; nothing of the image is kept")]
    Interrupted,
    /// Another import or removal works in the same folder.
    #[error("another import or removal is at work in {0}; try again when it is done")]
    Busy(String),
    /// The machine has failed.
    #[error("cannot {step}: {source}")]
    Io {
        /// The step that failed.
        step: String,
        /// The error of the system call.
        #[source]
        source: io::Error,
    },
}

impl ImageError {
    /// The name of the error for machines. It never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnImage(_) => "not_an_image",
            Self::CompressedArchive(..) => "compressed_archive",
            Self::Ambiguous(_) => "ambiguous_image",
            Self::WrongPlatform { .. } => "wrong_platform",
            Self::BadManifest { .. } => "bad_manifest",
            Self::MissingBlob(_) => "missing_blob",
            Self::BadDigest { .. } => "bad_digest",
            Self::Damaged { .. } => "damaged_archive",
            Self::HostilePath { .. } => "hostile_path",
            Self::HostileLink { .. } => "hostile_link",
            Self::HostileWhiteout(_) => "hostile_whiteout",
            Self::LinkInPath(_) => "link_in_path",
            Self::UnsupportedEntry { .. } => "unsupported_entry",
            Self::LimitExceeded { .. } => "limit_exceeded",
            Self::DiskFull { .. } | Self::InodesFull { .. } => "disk_full",
            Self::DamagedInUse(_) => "damaged_image_in_use",
            Self::Interrupted => "interrupted",
            Self::Busy(_) => "busy",
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk_full",
                _ => "io",
            },
        }
    }

    /// The error of a step that worked with the machine's own files.
    pub(crate) fn io(step: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { step: step.into(), source: source.into() }
    }

    /// The error that a reader of a layer has returned: one of ours that it has passed on, or a
    /// damage of the layer.
    pub(crate) fn from_reader(what: impl Into<String>, error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(|source| Self::Damaged { what: what.into(), source })
    }
}
