//! The names of entries: which are allowed, and which are whiteouts.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use crate::{
    error::{ImageError, Place},
    limits::Limits,
};

/// The longest component of a path, in bytes (`NAME_MAX` of Linux).
const MAX_COMPONENT_BYTES: usize = 255;
/// The prefix of the name of a whiteout.
const WHITEOUT: &[u8] = b".wh.";
/// The prefix of names with a meaning of their own.
const WHITEOUT_META: &[u8] = b".wh..wh.";
/// The name of an opaque whiteout.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The path of an entry relative to the root: plain components, or none for the root itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct EntryPath(Vec<u8>);

/// The meaning of an entry by its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NameMeaning {
    /// An entry that is to be unpacked.
    Entry,
    /// The entry of lower layers at this path is removed.
    Whiteout(EntryPath),
    /// All entries of lower layers in this folder are removed.
    Opaque(EntryPath),
    /// Notes of a storage driver, which mean nothing.
    Ignored,
}

impl EntryPath {
    /// Checks a name. `.` and doubled slashes are left out.
    ///
    /// # Errors
    /// The flaw of the name, as the end of a sentence.
    pub fn parse(name: &[u8], limits: &Limits) -> Result<Self, &'static str> {
        if name.is_empty() {
            return Err("is empty");
        }
        if name.contains(&0) {
            return Err("contains a NUL character");
        }
        // umoci(1) calls the root itself `/`.
        if name.starts_with(b"/") && name != b"/" {
            return Err("is absolute");
        }
        let parts: Vec<&[u8]> =
            name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
        if parts.contains(&&b".."[..]) {
            return Err("contains \"..\"");
        }
        if parts.iter().any(|part| part.len() > MAX_COMPONENT_BYTES) {
            return Err("has a component of more than 255 bytes");
        }
        let path = parts.join(&b'/');
        if path.len() > limits.path_bytes {
            return Err("is longer than the limit path_bytes");
        }
        if parts.len() > limits.path_depth {
            return Err("has more components than the limit path_depth");
        }
        Ok(Self(path))
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path of a folder for openat2(2): `.` for the root.
    pub fn as_path(&self) -> &Path {
        if self.0.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(&self.0)) }
    }

    /// The folder, and the name in it. The root has an empty name.
    pub fn split(&self) -> (EntryPath, &OsStr) {
        let (parent, name) = match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&self.0[..at], &self.0[at + 1..]),
            None => (&self.0[..0], &self.0[..]),
        };
        (Self(parent.to_owned()), OsStr::from_bytes(name))
    }

    /// The components, from the root downwards.
    pub fn components(&self) -> impl Iterator<Item = &OsStr> {
        self.0.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).map(OsStr::from_bytes)
    }

    /// The path as text.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The meaning of an entry with this path in a layer.
    ///
    /// # Errors
    /// If it is a whiteout that names no file beside it, such as `.wh...`, which would be `..`.
    pub fn meaning(&self, layer: usize) -> Result<NameMeaning, ImageError> {
        let hostile = || ImageError::HostileWhiteout(Place::new(layer, &self.0));
        let (parent, name) = self.split();
        let name = name.as_bytes();
        if name == OPAQUE && parent.components().all(|part| !part.as_bytes().starts_with(WHITEOUT)) {
            return Ok(NameMeaning::Opaque(parent));
        }
        if self.components().any(|part| part.as_bytes().starts_with(WHITEOUT_META)) {
            return Ok(NameMeaning::Ignored);
        }
        if parent.components().any(|part| part.as_bytes().starts_with(WHITEOUT)) {
            return Err(hostile());
        }
        match name.strip_prefix(WHITEOUT) {
            None => Ok(NameMeaning::Entry),
            Some(b"" | b"." | b"..") => Err(hostile()),
            Some(hidden) => {
                let mut path = parent.0;
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend(hidden);
                Ok(NameMeaning::Whiteout(Self(path)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> Result<EntryPath, &'static str> {
        EntryPath::parse(name.as_bytes(), &Limits::default())
    }

    #[test]
    fn only_plain_paths_below_the_root_are_allowed() {
        for (name, path) in
            [("a/b", "a/b"), ("./a//b/", "a/b"), ("./", ""), (".", ""), ("/", ""), ("a/..b/...", "a/..b/...")]
        {
            assert_eq!(parse(name).unwrap().bytes(), path.as_bytes(), "{name}");
        }
        let long = "x".repeat(256);
        let deep = "a/".repeat(200);
        let longer = format!("{}/", "y".repeat(200)).repeat(20);
        for name in ["", "//", "/etc/passwd", "..", "../x", "a/../b", "a/..", "a\0b", &long, &deep, &longer] {
            assert!(parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_whiteout_names_a_file_beside_it() {
        let meaning = |name: &str| parse(name).unwrap().meaning(1);
        assert_eq!(meaning("a/.wh.b").unwrap(), NameMeaning::Whiteout(parse("a/b").unwrap()));
        assert_eq!(meaning(".wh.b").unwrap(), NameMeaning::Whiteout(parse("b").unwrap()));
        assert_eq!(meaning("a/.wh..wh..opq").unwrap(), NameMeaning::Opaque(parse("a").unwrap()));
        assert_eq!(meaning(".wh..wh..opq").unwrap(), NameMeaning::Opaque(EntryPath::default()));
        assert_eq!(meaning(".wh..wh.plnk/1").unwrap(), NameMeaning::Ignored);
        assert_eq!(meaning("a/.wh").unwrap(), NameMeaning::Entry);
        for name in [".wh.", "a/.wh.", ".wh..", ".wh...", "a/.wh...", ".wh.a/b", ".wh.a/.wh..wh..opq"] {
            let result = meaning(name);
            assert!(
                matches!(result, Err(ImageError::HostileWhiteout(_)) | Ok(NameMeaning::Ignored)),
                "{name}: {result:?}"
            );
            assert!(name.ends_with("opq") || result.is_err(), "{name}");
        }
    }
}
