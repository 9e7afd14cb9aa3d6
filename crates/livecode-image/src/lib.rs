//! Container images: reads an OCI image layout or the archive of `docker save`, checks every
//! digest, and unpacks the layers once into a folder of the data directory. No container engine is
//! needed, and nothing of an image is ever executed here.
//!
//! Every byte of an image is a stranger's. So each layer is read twice: first its digests, names
//! and sizes are checked, and then it is unpacked. Nothing is found by a path that the image could
//! lead elsewhere: the folder of each entry is opened by openat2(2), below the root and through no
//! link.
//!
//! Files import only files that stand further up in this list:
//!
//! | file | what it decides |
//! | --- | --- |
//! | `limits` | how large an image may be |
//! | `digest` | names of contents by SHA-256 |
//! | `error` | why an image is refused, each with a code |
//! | `entry_path` | which names of entries are allowed, and what a whiteout is |
//! | `compression` | gzip, zstd, or neither |
//! | `source` | files of the archive or folder that the image is in |
//! | `manifest` | which image it is, and its layers |
//! | `entry` | the entries of a layer |
//! | `tree` | changes of the root that stay below it |
//! | `layer` | a layer, checked and unpacked |
//! | `store` | the folder of all imported images |
//! | `lookup` | what exists in a root, as a program in it would see it |

mod compression;
mod digest;
mod entry;
mod entry_path;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod layer;
mod limits;
pub mod lookup;
mod manifest;
mod source;
mod store;
mod tree;

pub use digest::Digest;
pub use error::ImageError;
pub use limits::Limits;
pub use manifest::ProcessConfig;
pub use store::{Archive, ImageStore, Imported, ImportedImage, LockedStore, Removal};
