//! Runs the checks of a fuzz target on its seeds. Each fuzzed crate includes this file in its
//! tests by `#[path]`; the file does not belong to the `fuzz` crate.

/// Calls `check` with the content of each seed of the fuzz target `target`.
pub(crate) fn for_each_seed(target: &str, check: impl Fn(&[u8])) {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds");
    let seeds = std::fs::read_dir(std::path::Path::new(seeds).join(target)).unwrap();
    let seeds: Vec<_> = seeds.map(|seed| seed.unwrap().path()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        println!("{}", seed.display());
        check(&std::fs::read(&seed).unwrap());
    }
}
