//! What must hold of requests, folders of sessions and runtimes whatever bytes they are. Called by `fuzz/`, and by a test
//! with its seeds.

pub use crate::{
    catalogue::fuzz::runtime_toml,
    http::fuzz::{multipart, session_document},
    sessions::fuzz::session_folder,
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn each_seed(target: &str, check: impl Fn(&Path, &[u8])) {
        let seeds = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds")).join(target);
        let seeds: Vec<_> = std::fs::read_dir(seeds).unwrap().map(|seed| seed.unwrap().path()).collect();
        assert!(!seeds.is_empty());
        let folder = tempfile::tempdir().unwrap();
        for seed in seeds {
            println!("{}", seed.display());
            check(folder.path(), &std::fs::read(&seed).unwrap());
        }
    }

    #[test]
    fn the_seeds_hold() {
        each_seed("session_document", |_, data| super::session_document(data));
        each_seed("multipart", |_, data| super::multipart(data));
        each_seed("session_folder", super::session_folder);
        each_seed("runtime_toml", super::runtime_toml);
    }
}
