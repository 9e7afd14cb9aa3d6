//! Reads the kernel's lists of a sandbox's sockets, as far as that is cheap.

use std::{fs::File, io::Read as _};

/// The most that is read of one list, in bytes: about 500 sockets. The kernel walks a list anew
/// for each page, so reading a long list to its end costs the square of its length.
const MAX_LIST_BYTES: usize = 64 * 1024;
/// The longest line of a list, in bytes.
const MAX_LINE_BYTES: usize = 512;

/// The whole lines at the start of `/proc/net/<name>` of the network namespace of `init`. Empty if
/// the list cannot be read.
pub(super) fn read(init: i32, name: &str) -> String {
    let mut text = String::new();
    if let Ok(file) = File::open(format!("/proc/{init}/net/{name}"))
        && file.take(MAX_LIST_BYTES as u64).read_to_string(&mut text).is_ok()
    {
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    }
    text
}

/// Whether a text that [`read`] has returned may be only the start of its list.
pub(super) fn is_cut(text: &str) -> bool {
    text.len() + MAX_LINE_BYTES > MAX_LIST_BYTES
}
