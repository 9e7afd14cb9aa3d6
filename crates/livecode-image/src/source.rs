//! The files of an image: members of a tar archive, or files of a folder. They are found by their
//! names in the image's manifests and read where they are; nothing is unpacked here.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::{
        fd::OwnedFd,
        unix::fs::{FileExt as _, OpenOptionsExt as _},
    },
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    io::Errno,
};

use crate::{
    compression,
    error::{ImageError, cut},
    limits::Limits,
};

/// How many links between members are followed. Old archives have links between equal layers.
const MAX_LINKS: usize = 8;

/// The archive or folder that an image is in.
pub(crate) enum Source {
    Tar { path: String, file: File, members: HashMap<String, Member> },
    Folder { path: String, folder: OwnedFd },
}

/// A member of the archive.
pub(crate) enum Member {
    /// A file, by the place of its contents.
    File { offset: u64, bytes: u64 },
    /// A link to another member.
    Link(String),
}

/// A part of a file. Several can be read side by side, since the file has no position then.
pub(crate) struct Section {
    file: File,
    at: u64,
    end: u64,
}

impl Source {
    /// Opens an archive or folder. The members of an archive are listed, unless `cancelled` is set.
    pub fn open(path: &Path, limits: &Limits, cancelled: &AtomicBool) -> Result<Self, ImageError> {
        let name = path.display().to_string();
        let failed = |error: io::Error| ImageError::io(format!("read {name}"), error);
        // Without this flag, the call would wait for the writer of a named pipe.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Ok(Self::Folder { path: name, folder: file.into() });
        }
        if !metadata.is_file() {
            let text = "it is neither a regular file nor a folder";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        let mut start = [0; 8];
        let length = file.read_at(&mut start, 0).map_err(failed)?;
        if let Some(kind) = compression::kind_of(&start[..length]) {
            return Err(ImageError::CompressedArchive(name, kind));
        }
        let members = list(&file, metadata.len(), &name, limits, cancelled)?;
        Ok(Self::Tar { path: name, file, members })
    }

    /// The path of the archive or folder, for messages.
    pub fn path(&self) -> &str {
        match self {
            Self::Tar { path, .. } | Self::Folder { path, .. } => path,
        }
    }

    /// Opens a file of the image; `None` if there is none with this name.
    pub fn find(&self, name: &str) -> Result<Option<Section>, ImageError> {
        let failed =
            |error: io::Error| ImageError::io(format!("read {} of {}", cut(name), self.path()), error);
        match self {
            Self::Tar { file, members, .. } => {
                let mut name = name.to_owned();
                for _ in 0..MAX_LINKS {
                    match members.get(&name) {
                        None => return Ok(None),
                        Some(Member::File { offset, bytes }) => {
                            let file = file.try_clone().map_err(failed)?;
                            return Ok(Some(Section { file, at: *offset, end: offset + bytes }));
                        }
                        Some(Member::Link(target)) => name.clone_from(target),
                    }
                }
                Ok(None)
            }
            Self::Folder { folder, .. } => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let resolve_flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                let file = match openat2(folder, name, flags, Mode::empty(), resolve_flags) {
                    // No regular file of the folder can have such a name.
                    Err(
                        Errno::NOENT
                        | Errno::NOTDIR
                        | Errno::LOOP
                        | Errno::XDEV
                        | Errno::NAMETOOLONG
                        | Errno::INVAL,
                    ) => return Ok(None),
                    other => other.map_err(|errno| failed(errno.into()))?,
                };
                let stat = fstat(&file).map_err(|errno| failed(errno.into()))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Ok(None);
                }
                Ok(Some(Section { file: file.into(), at: 0, end: stat.st_size.unsigned_abs() }))
            }
        }
    }

    /// Opens a file that a manifest names.
    pub fn open_blob(&self, name: &str) -> Result<Section, ImageError> {
        self.find(name)?.ok_or_else(|| ImageError::MissingBlob(cut(name)))
    }

    /// The whole contents of a file that a manifest names.
    pub fn read_document(&self, name: &str, limits: &Limits) -> Result<Vec<u8>, ImageError> {
        let section = self.open_blob(name)?;
        let max = limits.manifest_bytes;
        if section.end - section.at > max {
            return Err(ImageError::LimitExceeded { limit: "manifest_bytes", max, at: None });
        }
        let mut bytes = vec![];
        let mut section = section.take(max);
        section
            .read_to_end(&mut bytes)
            .map_err(|error| ImageError::io(format!("read {} of {}", cut(name), self.path()), error))?;
        Ok(bytes)
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.file.read_at(&mut buffer[..left], self.at)?;
        if length == 0 && left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += length as u64;
        Ok(length)
    }
}

/// Lists the members of an archive.
fn list(
    file: &File,
    file_bytes: u64,
    name: &str,
    limits: &Limits,
    cancelled: &AtomicBool,
) -> Result<HashMap<String, Member>, ImageError> {
    let damaged = |source| ImageError::Damaged { what: name.to_owned(), source };
    let mut members = HashMap::new();
    let mut archive = tar::Archive::new(file);
    // Names that need more room than a header has do not occur among the files of images.
    for (index, entry) in archive.entries_with_seek().map_err(damaged)?.raw(true).enumerate() {
        if cancelled.load(Ordering::Relaxed) {
            return Err(ImageError::Interrupted);
        }
        let entry = entry.map_err(damaged)?;
        let max = limits.archive_members as u64;
        if index as u64 >= max {
            return Err(ImageError::LimitExceeded { limit: "archive_members", max, at: None });
        }
        let Some(name) = plain_name(&entry.path_bytes(), "") else { continue };
        let link = || Some(String::from_utf8_lossy(&entry.link_name_bytes()?).into_owned());
        let kind = entry.header().entry_type();
        let member = if kind.is_file() {
            let (offset, bytes) = (entry.raw_file_position(), entry.size());
            if offset.checked_add(bytes).is_none_or(|end| end > file_bytes) {
                return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
            }
            Member::File { offset, bytes }
        } else if kind.is_symlink() {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let Some(target) = link().and_then(|link| plain_name(link.as_bytes(), folder)) else { continue };
            Member::Link(target)
        } else if kind.is_hard_link() {
            let Some(target) = link().and_then(|link| plain_name(link.as_bytes(), "")) else { continue };
            Member::Link(target)
        } else {
            continue;
        };
        members.insert(name, member);
    }
    Ok(members)
}

/// The name of a member without `.` and `..`, relative to the folder `base`; `None` if it leads out
/// of the archive, or is no text.
fn plain_name(name: &[u8], base: &str) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    if name.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_members_stay_in_the_archive() {
        assert_eq!(plain_name(b"./blobs//sha256/a", "").as_deref(), Some("blobs/sha256/a"));
        assert_eq!(plain_name(b"../b/layer.tar", "a").as_deref(), Some("b/layer.tar"));
        assert_eq!(plain_name(b"../../b", "a"), None);
        assert_eq!(plain_name(b"/etc/passwd", ""), None);
        assert_eq!(plain_name(b"./", ""), None);
    }
}
