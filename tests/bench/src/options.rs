//! What a run of the bench measures.

use std::path::PathBuf;

/// The binary under test, the selected rows and the size of the run.
pub struct BenchOptions {
    pub binary: PathBuf,
    is_quick: bool,
    only: Vec<String>,
}

impl BenchOptions {
    /// `only` lists row names or their beginnings; an empty list selects every row. `is_quick`
    /// replaces each count by a small one.
    pub fn new(binary: PathBuf, is_quick: bool, only: Vec<String>) -> Self {
        Self { binary, is_quick, only }
    }

    /// The count for a full run, or the one for a quick run.
    pub fn count(&self, full: usize, quick: usize) -> usize {
        if self.is_quick { quick } else { full }
    }

    /// Whether the row with this name is selected.
    pub fn selects(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only.as_str()))
    }

    /// An entry of `only` that selects none of these rows, if there is one.
    pub fn find_unknown(&self, names: &[&str]) -> Option<&str> {
        let is_known = |only: &str| names.iter().any(|name| name.starts_with(only));
        self.only.iter().map(String::as_str).find(|only| !is_known(only))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_selected_by_the_beginning_of_their_names() {
        let options = |only: &[&str]| {
            let only = only.iter().map(|name| (*name).to_owned()).collect();
            BenchOptions::new(PathBuf::new(), false, only)
        };
        assert!(options(&[]).selects("rate"));
        assert!(options(&["exit", "rate-c"]).selects("exit-p50"));
        assert!(!options(&["exit", "rate-c"]).selects("rate"));
        assert_eq!(options(&["exit"]).find_unknown(&["rate", "exit-p50"]), None);
        assert_eq!(options(&["exit", "rat", "x"]).find_unknown(&["rate", "exit-p50"]), Some("x"));
    }
}
