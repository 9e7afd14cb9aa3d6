//! What was found, tried again by a test in each crate that is fuzzed. A part of those crates (`#[path]`), not of `fuzz`.

/// Tries each seed of a target.
pub(crate) fn each_seed(target: &str, check: impl Fn(&[u8])) {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds");
    let seeds = std::fs::read_dir(std::path::Path::new(seeds).join(target)).unwrap();
    let seeds: Vec<_> = seeds.map(|seed| seed.unwrap().path()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        println!("{}", seed.display());
        check(&std::fs::read(&seed).unwrap());
    }
}
