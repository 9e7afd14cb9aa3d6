//! A `runtime.toml` that extends the one of another runtime: it has only what differs.

use std::path::Path;

use serde::Deserialize as _;
use toml::{
    Table, Value,
    de::{DeTable, DeValue, Deserializer},
};

use crate::catalogue::manifest::Manifest;

/// The runtime that is extended.
pub(super) struct Base<'b> {
    /// The text of its `runtime.toml`.
    pub toml: &'b str,
    /// Its folder.
    pub folder: &'b Path,
}

/// Keys that concern the machine's own files. They are not inherited by a runtime with a root of its
/// own.
const KEYS_OF_THE_MACHINE: [&str; 4] = ["zygote_interpreter", "template", "virtual_environment", "mounts"];

/// The keys of `own` over those of `base`, as [`parse_extended`] has them.
pub(super) fn merge(mut base: Table, own: Table) -> Table {
    base.remove("aliases");
    for (key, value) in own.into_iter().filter(|(key, _)| key != "extends") {
        let merged = match (base.remove(&key), value) {
            (Some(Value::Table(mut old)), Value::Table(new)) => {
                old.extend(new);
                Value::Table(old)
            }
            (_, new) => new,
        };
        base.insert(key, merged);
    }
    base
}

/// Parses the text of a `runtime.toml` over that of `base`. A key of the text replaces that of the
/// base; in tables, such as `[env]`, each key by itself. Aliases are not inherited, nor, with a
/// `[root]`, what concerns the machine's own files. An error has the line in the text.
pub(super) fn parse_extended(text: &str, base: &Base<'_>) -> Result<Manifest, String> {
    let own = DeTable::parse(text).map_err(|error| error.to_string())?.into_inner();
    let has_own_mounts = own.contains_key("mounts");
    let mut merged = DeTable::parse(base.toml).map_err(|error| error.to_string())?;
    let table = merged.get_mut();
    table.remove("aliases");
    if own.contains_key("root") {
        for key in KEYS_OF_THE_MACHINE {
            table.remove(key);
        }
    }
    for (key, value) in own {
        // A key keeps its place in the text if the old one is removed first.
        let merged_value = match (table.remove(&key), value) {
            (Some(mut old), new) if old.get_ref().is_table() && new.get_ref().is_table() => {
                if let (DeValue::Table(old), DeValue::Table(new)) = (old.get_mut(), new.into_inner()) {
                    for (key, value) in new {
                        old.remove(&key);
                        old.insert(key, value);
                    }
                }
                old
            }
            (_, new) => new,
        };
        table.insert(key, merged_value);
    }
    let manifest = Manifest::deserialize(Deserializer::from(merged));
    let mut manifest = manifest.map_err(|mut error| {
        error.set_input(Some(text));
        error.to_string()
    })?;
    if !has_own_mounts {
        // These are relative to the folder of the base.
        for source in manifest.mounts.iter_mut().flat_map(|mount| &mut mount.sources) {
            if source.starts_with("./") {
                *source = base.folder.join(&*source).to_string_lossy().into_owned();
            }
        }
    }
    manifest.checked(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "title = 'Base'\naliases = ['b']\nfile = 'main.b'\neditor_mode = 'b'\ninstall = 'x'\n\
                        run = ['b']\n\n[env]\nA = '1'\nB = '2'\n\n[[mounts]]\nsources = ['./x', '/y']\ntarget = '/x'\n";

    fn parse(text: &str) -> Result<Manifest, String> {
        parse_extended(text, &Base { toml: BASE, folder: Path::new("/base") })
    }

    #[test]
    fn what_is_not_named_is_inherited() {
        let manifest = parse("extends = 'b'\ntitle = 'Own'\n[env]\nB = '3'\nC = '4'\n").unwrap();
        assert_eq!((manifest.title.as_str(), manifest.file.as_str()), ("Own", "main.b"));
        assert!(manifest.aliases.is_empty());
        let env: Vec<_> = manifest.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["A=1", "B=3", "C=4"]);
        assert_eq!(manifest.mounts[0].sources, ["/base/./x", "/y"]);
        let own = parse("[[mounts]]\nsources = ['./z']\ntarget = '/z'\n").unwrap();
        assert_eq!(own.mounts[0].sources, ["./z"]);
    }

    #[test]
    fn a_root_of_its_own_inherits_nothing_of_the_machine() {
        let base =
            BASE.replace("title", "zygote_interpreter = '/usr/bin/b'\nvirtual_environment = '/b'\ntitle");
        let parse = |text: &str| parse_extended(text, &Base { toml: &base, folder: Path::new("/base") });
        let manifest = parse("[root]\nimage = '/srv/root'\n").unwrap();
        assert!(manifest.zygote_interpreter.is_none() && manifest.virtual_environment.is_none());
        assert!(manifest.mounts.is_empty() && manifest.env["A"] == "1");
        assert!(parse("title = 'Own'\n").unwrap().zygote_interpreter.is_some());
        let own = "zygote_interpreter = '/usr/bin/b'\n[root]\nimage = '/srv/root'\n";
        assert!(parse(own).unwrap_err().contains("zygote_interpreter"));
    }

    #[test]
    fn an_error_is_at_its_line_in_the_text() {
        for (text, line, word) in [
            ("\ntitel = 'x'\n", "line 2", "titel"),
            ("title = 'x'\nfile = 3\n", "line 2", "file"),
            ("title = 'x'\n[env]\n\nB = 5\n", "line 4", "string"),
            ("title = \n", "line 1", "title"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(line) && error.contains(word), "{text}: {error}");
        }
    }
}
