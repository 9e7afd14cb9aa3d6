//! Rules of the sources, from ARCHITECTURE.md and CONTRIBUTING.md: which crate may use which, that
//! no two files of a crate import each other in a circle, where `unsafe` is, and that files and
//! folders stay small.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::visit::{self, Visit};

/// Each crate of ours, and those of ours that it may use.
const MAY_USE: [(&str, &[&str]); 9] = [
    ("livecode-protocol", &[]),
    ("livecode-journal", &[]),
    ("livecode-image", &["livecode-protocol"]),
    ("livecode-sandbox", &["livecode-protocol"]),
    ("livecode-supervisor", &["livecode-protocol", "livecode-journal", "livecode-sandbox"]),
    ("livecode-store", &["livecode-protocol"]),
    ("livecode-server", &["livecode-protocol", "livecode-image", "livecode-journal", "livecode-store"]),
    ("livecode-zygote", &["livecode-protocol", "livecode-supervisor"]),
    (
        "livecode",
        &[
            "livecode-protocol",
            "livecode-image",
            "livecode-sandbox",
            "livecode-server",
            "livecode-store",
            "livecode-supervisor",
        ],
    ),
];

/// The longest file, in lines, and the largest folder, in entries.
const MAX_LINES: usize = 600;
const MAX_FOLDER_ENTRIES: usize = 16;

/// The folder of the crates. The second run of these tests, as an ordinary user, has the same
/// binary but no sources.
fn crates() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_dir(&folder).is_ok().then_some(folder)
}

/// Every Rust file below `folder`, by its path from there.
fn sources(folder: &Path) -> BTreeMap<PathBuf, String> {
    fn add(top: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                add(top, &path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(top).expect("a path below the folder").to_owned();
                found.insert(name, fs::read_to_string(&path).expect("text"));
            }
        }
    }
    let mut found = BTreeMap::new();
    add(folder, folder, &mut found);
    found
}

/// A module's path from the root of its crate, and an item's likewise.
type ItemPath = Vec<String>;

/// The module that a file is: `a/b.rs` and `a/b/mod.rs` are `a::b`.
fn module_of(file: &Path) -> ItemPath {
    let parts = file.with_extension("");
    let mut parts: ItemPath = parts.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts
        .last()
        .is_some_and(|last| last == "mod" || (parts.len() == 1 && matches!(&**last, "lib" | "main")))
    {
        parts.pop();
    }
    parts
}

/// What one file imports from its own crate, and what it passes on under its own path.
#[derive(Default)]
struct Imports {
    /// Absolute paths of items and modules that the file's code names.
    used: BTreeSet<ItemPath>,
    /// Re-exports: the name here, and the absolute path that it stands for.
    passed_on: BTreeMap<String, ItemPath>,
    /// The inline modules around the code that is visited now.
    inside: ItemPath,
    module: ItemPath,
}

/// Whether an item is built for tests or fuzzing only.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| {
                let condition = list.tokens.to_string();
                condition.contains("test") && !condition.starts_with("not")
            })
    })
}

impl Imports {
    fn of(module: ItemPath, text: &str) -> Self {
        let file = syn::parse_file(text).expect("Rust that can be parsed");
        let mut imports = Self { module, ..Self::default() };
        imports.visit_file(&file);
        imports
    }

    /// The absolute form of a path that starts with `crate`, `self` or `super`; `None` for others.
    fn absolute(&self, segments: &[String]) -> Option<ItemPath> {
        let mut base = self.module.iter().chain(&self.inside).cloned().collect::<ItemPath>();
        let mut rest = segments;
        match rest.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {}
            _ => return None,
        }
        while rest.first().is_some_and(|first| first == "super") {
            base.pop()?;
            rest = &rest[1..];
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    fn add_tree(&mut self, tree: &syn::UseTree, before: &[String], is_passed_on: bool) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<ItemPath>();
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&path.tree, &with(&path.ident), is_passed_on),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_tree(tree, before, is_passed_on));
            }
            syn::UseTree::Name(name) if name.ident == "self" => self.add(before, None, is_passed_on),
            syn::UseTree::Name(name) => self.add(&with(&name.ident), None, is_passed_on),
            syn::UseTree::Rename(name) => {
                self.add(&with(&name.ident), Some(name.rename.to_string()), is_passed_on);
            }
            syn::UseTree::Glob(_) => self.add(before, None, is_passed_on),
        }
    }

    fn add(&mut self, segments: &[String], rename: Option<String>, is_passed_on: bool) {
        // `pub use a::b` names a module of this file without `self`.
        let relative: ItemPath = std::iter::once("self".to_owned()).chain(segments.iter().cloned()).collect();
        let absolute = self.absolute(segments);
        if !is_passed_on {
            self.used.extend(absolute);
        } else if let (Some(path), Some(last)) =
            (absolute.or_else(|| self.absolute(&relative)), segments.last())
        {
            self.passed_on.insert(rename.unwrap_or_else(|| last.clone()), path);
        }
    }
}

impl<'s> Visit<'s> for Imports {
    fn visit_item_use(&mut self, item: &'s syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.add_tree(&item.tree, &[], !matches!(item.vis, syn::Visibility::Inherited));
        }
    }

    fn visit_item_mod(&mut self, item: &'s syn::ItemMod) {
        if item.content.is_some() && !is_for_tests(&item.attrs) {
            self.inside.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.inside.pop();
        }
    }

    fn visit_item_fn(&mut self, item: &'s syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'s syn::Path) {
        let segments: ItemPath = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            let absolute = self.absolute(&segments);
            self.used.extend(absolute);
        }
        visit::visit_path(self, path);
    }
}

/// The files that each file of a crate's `src` imports.
fn imported_files(source_folder: &Path) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let files: BTreeMap<PathBuf, Imports> = sources(source_folder)
        .into_iter()
        .map(|(file, text)| (file.clone(), Imports::of(module_of(&file), &text)))
        .collect();
    let by_module: BTreeMap<ItemPath, PathBuf> =
        files.iter().map(|(file, imports)| (imports.module.clone(), file.clone())).collect();
    // The file that an item is in: that of the longest module its path begins with, unless that
    // file only passes the item on from another.
    let find = |path: &ItemPath| -> Option<PathBuf> {
        let mut path = path.clone();
        for _ in 0..8 {
            let length = (0..=path.len()).rev().find(|length| by_module.contains_key(&path[..*length]))?;
            let file = &by_module[&path[..length]];
            match path.get(length).and_then(|name| files[file].passed_on.get(name)) {
                Some(elsewhere) => {
                    path = elsewhere.iter().chain(&path[length + 1..]).cloned().collect();
                }
                None => return Some(file.clone()),
            }
        }
        None
    };
    let is_for_tests = |file: &PathBuf| {
        let name = file.file_stem().unwrap_or_default();
        name == "tests" || name == "fuzz"
    };
    files
        .iter()
        .filter(|(file, _)| !is_for_tests(file))
        .map(|(file, imports)| {
            let mut found: BTreeSet<PathBuf> = imports.used.iter().filter_map(find).collect();
            found.remove(file);
            (file.clone(), found)
        })
        .collect()
}

/// A circle in which files import each other, if there is one.
fn find_circle(imported: &BTreeMap<PathBuf, BTreeSet<PathBuf>>) -> Option<Vec<PathBuf>> {
    fn walk<'g>(
        file: &'g PathBuf,
        imported: &'g BTreeMap<PathBuf, BTreeSet<PathBuf>>,
        way: &mut Vec<&'g PathBuf>,
        done: &mut BTreeSet<&'g PathBuf>,
    ) -> Option<Vec<PathBuf>> {
        if let Some(at) = way.iter().position(|before| *before == file) {
            return Some(way[at..].iter().map(|file| (*file).clone()).collect());
        }
        if !done.contains(file) {
            way.push(file);
            for next in imported.get(file).into_iter().flatten() {
                if let Some(circle) = walk(next, imported, way, done) {
                    return Some(circle);
                }
            }
            way.pop();
            done.insert(file);
        }
        None
    }
    let mut done = BTreeSet::new();
    imported.keys().find_map(|file| walk(file, imported, &mut vec![], &mut done))
}

/// The crates of ours that a manifest names, with what they are needed for.
fn used_crates(manifest: &str) -> Vec<&str> {
    let names = manifest.lines().filter(|line| line.starts_with("livecode") && line.contains("workspace"));
    names.filter_map(|line| line.split(['.', ' ']).next()).collect()
}

#[test]
fn crates_use_only_what_they_may() {
    let Some(crates) = crates() else { return };
    let folders = fs::read_dir(&crates).expect("a folder").flatten().filter(|entry| entry.path().is_dir());
    assert_eq!(folders.count(), MAY_USE.len(), "each crate has a row");
    for (name, may_use) in MAY_USE {
        let manifest = fs::read_to_string(crates.join(name).join("Cargo.toml")).expect("a manifest");
        for used in used_crates(&manifest) {
            assert!(may_use.contains(&used), "{name} must not use {used}");
        }
    }
}

#[test]
fn no_two_files_import_each_other_in_a_circle() {
    let Some(crates) = crates() else { return };
    let mut edges = 0;
    for (name, _) in MAY_USE {
        let imported = imported_files(&crates.join(name).join("src"));
        edges += imported.values().map(BTreeSet::len).sum::<usize>();
        if let Some(circle) = find_circle(&imported) {
            panic!("{name}: these files import each other in a circle: {circle:?}");
        }
    }
    assert!(edges > 200, "only {edges} imports were found");
}

/// The check itself is checked: each form of an import is seen, and so is a circle.
#[test]
fn a_circle_is_found_in_whatever_form_it_comes() {
    let forms = [
        ("a.rs", "use crate::b::B;", "b.rs", "use super::a::A;"),
        ("a.rs", "fn f() -> crate::b::B { todo!() }", "b.rs", "use crate::{a::A, c};"),
        ("a.rs", "use crate::B;", "b.rs", "fn f() { crate::a::f() }"),
        ("a/mod.rs", "use self::c::C;", "a/c.rs", "use super::A;"),
    ];
    for (first, one, second, other) in forms {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("lib.rs", "mod a; mod b; pub use b::B;");
        write(first, one);
        write(second, other);
        assert!(find_circle(&imported_files(folder.path())).is_some(), "{one} {other}");
        write(second, "#[cfg(test)]\nmod tests { use crate::a::A; }");
        assert_eq!(find_circle(&imported_files(folder.path())), None, "{one}");
    }
}

#[test]
fn unsafe_stays_where_it_belongs() {
    let Some(crates) = crates() else { return };
    let all = sources(&crates);
    assert!(all.len() > 80, "{} files", all.len());
    for (path, text) in all {
        let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        for line in lines {
            let is_block = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                .iter()
                .any(|form| line.contains(form));
            assert!(
                !is_block
                    || path.starts_with("livecode-sandbox/src/kernel/sys")
                    || path == Path::new("livecode-sandbox/src/kernel/sys.rs"),
                "unsafe code in {path:?}: {line}"
            );
            let is_name = line.contains("unsafe(");
            assert!(!is_name || path == Path::new("livecode-zygote/src/lib.rs"), "in {path:?}: {line}");
        }
    }
}

#[test]
fn files_are_short_and_folders_small() {
    let Some(crates) = crates() else { return };
    let mut folders: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for (path, text) in sources(&crates) {
        assert!(text.lines().count() <= MAX_LINES, "{path:?} has more than {MAX_LINES} lines");
        *folders.entry(path.parent().expect("a folder").to_owned()).or_default() += 1;
    }
    for (folder, entries) in folders {
        assert!(entries <= MAX_FOLDER_ENTRIES, "{folder:?} has {entries} files");
    }
}
