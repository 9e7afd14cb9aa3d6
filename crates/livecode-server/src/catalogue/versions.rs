//! Versions of runtimes: `python@3.11` asks for a version of `python`. It is that of the toolchain
//! of the runtime itself, or of one whose folder has a version in its name, such as `python@3.13`.

use crate::catalogue::{Catalogue, runtime::Runtime};

/// Why a request's runtime was not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// There is no runtime of this name.
    #[error("there is no runtime {name:?}; there are {known}")]
    NoSuchRuntime {
        /// The name.
        name: String,
        /// The names of all runtimes.
        known: String,
    },
    /// No runtime of the name has the version.
    #[error("there is no version {version:?} of {name:?}; there is {known}")]
    NoSuchVersion {
        /// The name before the `@`.
        name: String,
        /// The version after it.
        version: String,
        /// The runtimes of the name with their versions.
        known: String,
    },
    /// A runtime of the name may have the version: it has not said its version yet.
    #[error("the version of {0:?} is not known yet; ask again in a moment, or leave the version out")]
    VersionUnknown(String),
}

impl Catalogue {
    /// The runtime with this name or alias, or with this name or alias and a version.
    ///
    /// # Errors
    /// See [`FindError`].
    pub fn find(&self, name: &str) -> Result<&Runtime, FindError> {
        if let Some(runtime) = self.get(name) {
            return Ok(runtime);
        }
        let no_such_runtime = || FindError::NoSuchRuntime { name: name.to_owned(), known: self.names() };
        let (base, wanted) = name.rsplit_once('@').ok_or_else(no_such_runtime)?;
        let base = self.get(base).map_or(base, |runtime| runtime.base_name());
        let mut candidates: Vec<_> = self.iter().filter(|runtime| runtime.base_name() == base).collect();
        if candidates.is_empty() {
            return Err(no_such_runtime());
        }
        // The runtime without a version in its name comes first, then the newest.
        candidates.sort_by_key(|runtime| (runtime.name != base, std::cmp::Reverse(numbers(runtime))));
        let fitting = candidates
            .iter()
            .find(|runtime| runtime.version().is_some_and(|version| is_beginning(wanted, &version)));
        if let Some(runtime) = fitting {
            return Ok(runtime);
        }
        let is_unknown = |runtime: &&&Runtime| runtime.needs.is_none() && runtime.is_version_unknown();
        if let Some(unknown) = candidates.iter().find(is_unknown) {
            return Err(FindError::VersionUnknown(unknown.name.clone()));
        }
        let known = candidates.iter().map(|runtime| match runtime.version() {
            Some(version) => format!("{} ({version})", runtime.name),
            None => format!("{} (of unknown version)", runtime.name),
        });
        Err(FindError::NoSuchVersion {
            name: base.to_owned(),
            version: wanted.to_owned(),
            known: known.collect::<Vec<_>>().join(", "),
        })
    }

    /// The names of all runtimes, as an error lists them.
    pub fn names(&self) -> String {
        self.iter().map(|runtime| runtime.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Runtime {
    /// The name without a version.
    fn base_name(&self) -> &str {
        self.name.split_once('@').map_or(&self.name, |(base, _)| base)
    }

    /// The version that the toolchain has said when it was checked, or else the one in the name.
    pub fn version(&self) -> Option<String> {
        let said = self.last_check.result().and_then(|result| result.version.clone());
        said.or_else(|| self.name.split_once('@').map(|(_, version)| version.to_owned()))
    }

    /// Whether a check could tell the version.
    fn is_version_unknown(&self) -> bool {
        !self.manifest.version.is_empty() && self.last_check.result().is_none()
    }
}

/// Whether `wanted` is the version, or its beginning: 3.11 is one of 3.11.2, and 3.1 is not.
fn is_beginning(wanted: &str, version: &str) -> bool {
    let rest = version.strip_prefix(wanted);
    !wanted.is_empty()
        && rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
}

/// The numbers in the version of a runtime, by which versions are compared.
fn numbers(runtime: &Runtime) -> Vec<u64> {
    let version = runtime.version().unwrap_or_default();
    version.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// The longest version that a toolchain may have, in bytes. Longer numbers are no versions: the
/// toolchain may be that of a stranger's image.
const MAX_VERSION_BYTES: usize = 64;

/// The version in what a toolchain prints when it is asked: the first number with a dot in it, or
/// else the first number.
pub(crate) fn version_in(text: &str) -> Option<String> {
    let is_part = |letter: char| letter.is_ascii_digit() || letter == '.';
    let words = text.split(|letter| !is_part(letter)).map(|word| word.trim_matches('.'));
    let numbers: Vec<_> = words.filter(|word| !word.is_empty() && word.len() <= MAX_VERSION_BYTES).collect();
    let with_dot = numbers.iter().find(|number| number.contains('.'));
    with_dot.or(numbers.first()).map(|&number| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_what_toolchains_print() {
        for (text, version) in [
            ("Python 3.11.2\n", Some("3.11.2")),
            ("gcc (Debian 12.2.0-14) 12.2.0\nCopyright (C) 2022", Some("12.2.0")),
            ("go version go1.19.8 linux/amd64", Some("1.19.8")),
            ("GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)", Some("5.2.15")),
            ("v18.19.0", Some("18.19.0")),
            ("This is perl 5, version 36, subversion 0 (v5.36.0) built for x86_64", Some("5.36.0")),
            ("javac 17", Some("17")),
            ("none. at all...", None),
        ] {
            assert_eq!(version_in(text).as_deref(), version, "{text}");
        }
        let long = "1".repeat(100_000);
        assert_eq!(version_in(&long), None);
        assert_eq!(version_in(&format!("{long}.2 3.4")).as_deref(), Some("3.4"));
    }

    #[test]
    fn a_version_is_asked_for_by_its_beginning() {
        for (wanted, version, expected) in [
            ("3.11", "3.11.2", true),
            ("3", "3.11.2", true),
            ("3.11.2", "3.11.2", true),
            ("3.1", "3.11.2", false),
            ("3.11.2.1", "3.11.2", false),
            ("", "3.11.2", false),
            ("1.0", "1.0-rc1", true),
        ] {
            assert_eq!(is_beginning(wanted, version), expected, "{wanted} of {version}");
        }
    }
}
