//! The entries of a layer. Extended headers are read here and not by the tar library, which would
//! read any length of them into memory.

use std::io::{self, Read};

use crate::{
    entry_path::EntryPath,
    error::{ImageError, Place},
    limits::Limits,
};

/// The largest extended header (pax), in bytes. File attributes are in it, too.
const MAX_PAX_BYTES: u64 = 1 << 20;

/// One entry of a layer, without its contents.
#[derive(Debug)]
pub(crate) struct Entry {
    pub place: Place,
    pub path: EntryPath,
    pub kind: EntryKind,
    /// The permissions, of which setuid and the like are left out later.
    pub mode: u32,
    /// The time of the last change, in seconds since 1970.
    pub mtime_s: u64,
}

/// The kind of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Folder,
    File {
        bytes: u64,
    },
    SymbolicLink {
        target: Vec<u8>,
    },
    HardLink {
        target: EntryPath,
    },
    /// A device or named pipe. It is left out.
    Special,
}

/// The names that extended headers give to the next entry.
#[derive(Default)]
struct ExtendedNames {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// Calls `visit` with each entry of an uncompressed layer, and with its contents. `count` is the
/// number of entries so far, in all layers.
pub(crate) fn for_each_entry(
    source: impl Read,
    layer: usize,
    limits: &Limits,
    count: &mut u64,
    mut visit: impl FnMut(Entry, &mut dyn Read) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let what = format!("layer {layer}");
    let damaged = |error| ImageError::from_reader(&*what, error);
    let mut extended = ExtendedNames::default();
    let mut archive = tar::Archive::new(source);
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        *count += 1;
        if *count > limits.entries {
            let at = Some(Place::new(layer, &entry.path_bytes()));
            return Err(ImageError::LimitExceeded { limit: "entries", max: limits.entries, at });
        }
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_gnu_longlink() {
            let mut name = read_bounded(&mut entry, limits.path_bytes as u64 + 1, "path_bytes", layer)?;
            while name.last() == Some(&0) {
                name.pop();
            }
            if kind.is_gnu_longname() {
                extended.path = Some(name)
            } else {
                extended.link = Some(name)
            }
            continue;
        }
        if kind.is_pax_local_extensions() {
            let records = read_bounded(&mut entry, MAX_PAX_BYTES, "pax_bytes", layer)?;
            read_pax(&records, entry.path_bytes().as_ref(), layer, limits, &mut extended)?;
            continue;
        }
        if kind.is_pax_global_extensions() {
            continue; // notes such as a comment; nothing in it names an entry
        }
        let names = std::mem::take(&mut extended);
        let entry_header = make_entry(entry.header(), names, layer, limits)?;
        visit(entry_header, &mut entry)?;
    }
    Ok(())
}

/// Reads an extended header.
fn read_bounded(
    entry: &mut impl Read,
    max: u64,
    limit: &'static str,
    layer: usize,
) -> Result<Vec<u8>, ImageError> {
    let mut bytes = vec![];
    let read = entry.take(max + 1).read_to_end(&mut bytes);
    read.map_err(|error| ImageError::from_reader(format!("layer {layer}"), error))?;
    if bytes.len() as u64 > max {
        return Err(ImageError::LimitExceeded { limit, max, at: Some(Place::new(layer, start_of(&bytes))) });
    }
    Ok(bytes)
}

/// The beginning of a name that is too long, for messages.
fn start_of(name: &[u8]) -> &[u8] {
    &name[..name.len().min(64)]
}

/// Refuses a name that is too long as it stands in the archive, whatever it means: `./././a` is a
/// short path, and the name of an entry is kept for messages.
fn check_length(name: &[u8], layer: usize, limits: &Limits) -> Result<(), ImageError> {
    if name.len() <= limits.path_bytes {
        return Ok(());
    }
    let (max, at) = (limits.path_bytes as u64, Some(Place::new(layer, start_of(name))));
    Err(ImageError::LimitExceeded { limit: "path_bytes", max, at })
}

/// Takes the names from the records of a pax header. Each record is its length, a space, a keyword,
/// `=`, a value and a newline.
fn read_pax(
    mut records: &[u8],
    name: &[u8],
    layer: usize,
    limits: &Limits,
    extended: &mut ExtendedNames,
) -> Result<(), ImageError> {
    let damaged = || ImageError::Damaged {
        what: format!("layer {layer}"),
        source: io::Error::new(io::ErrorKind::InvalidData, "an extended header is malformed"),
    };
    while !records.is_empty() {
        let space = records.iter().take(20).position(|byte| *byte == b' ').ok_or_else(damaged)?;
        let length = std::str::from_utf8(&records[..space]).ok().and_then(|text| text.parse::<usize>().ok());
        let length = length.filter(|length| (space + 2..=records.len()).contains(length));
        let (record, rest) = records.split_at(length.ok_or_else(damaged)?);
        records = rest;
        let record = record[space + 1..].strip_suffix(b"\n").ok_or_else(damaged)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(damaged)?;
        let (keyword, value) = (&record[..equals], &record[equals + 1..]);
        match keyword {
            b"path" | b"linkpath" => {
                check_length(value, layer, limits)?;
                let name = if keyword == b"path" { &mut extended.path } else { &mut extended.link };
                *name = Some(value.to_vec());
            }
            // Without this value, the reader would take contents of a file for headers.
            b"size" => return Err(unsupported(layer, name, "a file with a size in an extended header")),
            _ if keyword.starts_with(b"GNU.sparse") => {
                return Err(unsupported(layer, name, "a sparse file"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn unsupported(layer: usize, name: &[u8], kind: &'static str) -> ImageError {
    ImageError::UnsupportedEntry { place: Place::new(layer, name), kind }
}

/// Checks the header of an entry.
fn make_entry(
    header: &tar::Header,
    names: ExtendedNames,
    layer: usize,
    limits: &Limits,
) -> Result<Entry, ImageError> {
    let damaged = |error| ImageError::from_reader(format!("layer {layer}"), error);
    let name = names.path.unwrap_or_else(|| header.path_bytes().into_owned());
    check_length(&name, layer, limits)?;
    let place = Place::new(layer, &name);
    let path = match EntryPath::parse(&name, limits) {
        Ok(path) => path,
        Err(flaw) => return Err(ImageError::HostilePath { place, flaw }),
    };
    let link = names.link.or_else(|| Some(header.link_name_bytes()?.into_owned())).unwrap_or_default();
    let link_error = |flaw| {
        let target = String::from_utf8_lossy(&link).into_owned();
        ImageError::HostileLink { place: place.clone(), target, flaw }
    };
    let kind = header.entry_type();
    let kind = if kind.is_dir() || (kind.is_file() && name.ends_with(b"/")) {
        EntryKind::Folder
    } else if kind.is_file() || kind.is_contiguous() {
        EntryKind::File { bytes: header.entry_size().map_err(damaged)? }
    } else if kind.is_symlink() {
        // The target is only text: nothing is ever opened through it outside of a sandbox.
        if link.is_empty() || link.contains(&0) || link.len() > limits.path_bytes {
            let target = String::from_utf8_lossy(&link).into_owned();
            return Err(ImageError::HostileLink { place, target, flaw: "is no path" });
        }
        EntryKind::SymbolicLink { target: link }
    } else if kind.is_hard_link() {
        let target = EntryPath::parse(&link, limits).map_err(link_error)?;
        if target.is_root() {
            return Err(link_error("is the root itself"));
        }
        EntryKind::HardLink { target }
    } else if kind.is_character_special() || kind.is_block_special() || kind.is_fifo() {
        EntryKind::Special
    } else if kind.is_gnu_sparse() {
        return Err(unsupported(layer, &name, "a sparse file"));
    } else {
        return Err(unsupported(layer, &name, "an entry of an unknown kind"));
    };
    let mode = header.mode().map_err(damaged)?;
    // Times before 1970 and malformed ones count as 1970: nothing depends on them.
    let mtime_s = header.mtime().unwrap_or(0);
    Ok(Entry { place, path, kind, mode, mtime_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_an_extended_header_may_contain_newlines() {
        let mut names = ExtendedNames::default();
        let records = b"24 SCHILY.xattr.x=a\nb\n=\n12 path=a/b\n";
        let limits = Limits::default();
        read_pax(records, b"", 1, &limits, &mut names).unwrap();
        assert_eq!(names.path.as_deref(), Some(&b"a/b"[..]));
        for wrong in
            [&b"12 path=a/b"[..], b"x", b"9999999999999999999999 path=a\n", b"3 \n", b"1 a=b\n", b"6 ab\n"]
        {
            assert!(read_pax(wrong, b"", 1, &limits, &mut names).is_err(), "{wrong:?}");
        }
        assert!(read_pax(b"11 size=10\n", b"", 1, &limits, &mut names).is_err());
    }
}
