//! How large an image may be. An image beyond one of these limits is refused as a whole.

/// The bounds of an import. [`Limits::default`] has room for the images of languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Uncompressed size of all layers together, in bytes.
    pub unpacked_bytes: u64,
    /// Number of entries of all layers together, and of folders that are made only since an entry
    /// is below them.
    pub entries: u64,
    /// Memory for the whiteouts of all layers together, in bytes.
    pub whiteout_bytes: u64,
    /// Length of the path of an entry, as it stands in the archive, and of the target of a link, in
    /// bytes.
    pub path_bytes: usize,
    /// Number of components of a path.
    pub path_depth: usize,
    /// Number of layers.
    pub layers: usize,
    /// Size of each manifest, index and configuration, in bytes.
    pub manifest_bytes: u64,
    /// Size of the variables and the command of the image together, in bytes.
    pub process_bytes: usize,
    /// Number of images that an index names, with those of the indices in it.
    pub descriptors: usize,
    /// Number of entries of the archive around the layers.
    pub archive_members: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unpacked_bytes: 8 << 30,
            entries: 1_000_000,
            whiteout_bytes: 32 << 20,
            path_bytes: 2048,
            path_depth: 128,
            layers: 128,
            manifest_bytes: 4 << 20,
            process_bytes: 64 << 10,
            descriptors: 1000,
            archive_members: 4096,
        }
    }
}
