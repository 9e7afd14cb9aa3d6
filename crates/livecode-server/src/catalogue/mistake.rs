//! A mistake in a `runtime.toml` that the types of the manifest do not express, with its line.

use toml::de::{DeTable, DeValue};

/// A mistake in a `runtime.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The keys that lead to the mistake, from the outermost one. A number counts the items of a
    /// list from 0.
    key: Vec<String>,
    /// The mistake in words, and what would be right.
    text: String,
}

impl Mistake {
    /// A mistake at a key, such as `["mounts", "0", "target"]`. If there is no such key, it is at
    /// the longest beginning of it that exists.
    pub fn new(key: &[&str], text: impl Into<String>) -> Self {
        Self { key: key.iter().map(|&key| key.to_owned()).collect(), text: text.into() }
    }

    /// The text, with the line of the key in `toml`.
    pub fn in_toml(&self, toml: &str) -> String {
        match self.line_in(toml) {
            Some(line) => format!("line {line}: {}", self.text),
            None => self.text.clone(),
        }
    }

    /// The line of the key, from 1; `None` if the file does not have its first part.
    fn line_in(&self, toml: &str) -> Option<usize> {
        let document = DeTable::parse(toml).ok()?;
        let mut table = document.get_ref();
        let mut keys = self.key.iter();
        let mut offset = None;
        let (name, mut value) = table.get_key_value(keys.next()?.as_str())?;
        offset.get_or_insert(name.span().start);
        for key in keys {
            match value.get_ref() {
                DeValue::Table(inner) => {
                    table = inner;
                    let Some((name, inner)) = table.get_key_value(key.as_str()) else { break };
                    (offset, value) = (Some(name.span().start), inner);
                }
                DeValue::Array(items) => {
                    let item = key.parse().ok().and_then(|index: usize| items.get(index));
                    let Some(item) = item else { break };
                    (offset, value) = (Some(item.span().start), item);
                }
                _ => break,
            }
        }
        Some(toml.get(..offset?)?.matches('\n').count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_at_the_line_of_its_key() {
        let toml = "title = 'x'\ncompile = [\n  ['a'],\n  [],\n]\n\n[env]\nA = '1'\n\n[[mounts]]\ntarget = '/a'\n\
                    [[mounts]]\nsources = []\ntarget = '/b'\n";
        for (key, line) in [
            (&["title"][..], Some(1)),
            (&["compile"], Some(2)),
            (&["compile", "1"], Some(4)),
            (&["env", "A"], Some(8)),
            (&["env", "missing"], Some(7)),
            (&["mounts", "0", "target"], Some(11)),
            (&["mounts", "1", "target"], Some(14)),
            (&["run"], None),
        ] {
            assert_eq!(Mistake::new(key, "").line_in(toml), line, "{key:?}");
        }
        assert_eq!(Mistake::new(&["compile", "1"], "is wrong").in_toml(toml), "line 4: is wrong");
    }
}
