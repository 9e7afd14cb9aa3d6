//! What must hold of requests, folders of sessions and runtimes whatever bytes they are. Called by `fuzz/`, and by a test
//! with its seeds.

pub use crate::{
    catalogue::fuzz::runtime_toml,
    http::fuzz::{multipart, session_document},
    sessions::fuzz::session_folder,
};

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    use super::seeds::each_seed;

    #[test]
    fn the_seeds_hold() {
        let folder = tempfile::tempdir().unwrap();
        each_seed("session_document", super::session_document);
        each_seed("multipart", super::multipart);
        each_seed("session_folder", |data| super::session_folder(folder.path(), data));
        each_seed("runtime_toml", |data| super::runtime_toml(folder.path(), data));
    }
}
