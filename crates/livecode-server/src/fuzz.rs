//! The checks of this crate that `fuzz/` runs: what holds for every request, JWT, session folder and
//! `runtime.toml`, whatever bytes they consist of. A test runs the same checks with the seeds.

pub use crate::{
    auth::fuzz::jwt,
    catalogue::fuzz::runtime_toml,
    http::fuzz::{multipart, session_document},
    sessions::fuzz::session_folder,
};

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    use super::seeds::for_each_seed;

    #[test]
    fn all_seeds_pass() {
        let folder = tempfile::tempdir().unwrap();
        for_each_seed("session_document", super::session_document);
        for_each_seed("multipart", super::multipart);
        for_each_seed("jwt", super::jwt);
        for_each_seed("session_folder", |data| super::session_folder(folder.path(), data));
        for_each_seed("runtime_toml", |data| super::runtime_toml(folder.path(), data));
    }
}
