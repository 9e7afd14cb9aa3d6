//! Imports of whole images, made entry by entry.
#![allow(clippy::unwrap_used)] // a panic reports that a test failed

#[path = "../../../../tests/images/archive.rs"]
#[allow(dead_code)] // the black-box tests use all of it
mod archive;
mod rest;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use archive::{Form, Layer, Packing, config, members, pack, write, write_image};
use livecode_image::{Archive, ImageError, ImageStore, Imported, Limits, Removal};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use tar::EntryType;

/// A data directory, and beside it an archive and a canary that no import may touch.
struct Place {
    folder: tempfile::TempDir,
    limits: Limits,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("canary"), "alive").unwrap();
        Self { folder, limits: Limits::default() }
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("image.tar")
    }

    fn store(&self) -> ImageStore {
        ImageStore::new(&self.folder.path().join("data"))
    }

    fn import(&self) -> Result<Imported, ImageError> {
        self.import_until(0, &AtomicBool::new(false))
    }

    fn import_until(&self, min_free_bytes: u64, cancelled: &AtomicBool) -> Result<Imported, ImageError> {
        let archive = Archive::open(&self.archive(), &self.limits, cancelled)?;
        self.store().lock()?.import(&archive, &self.limits, min_free_bytes, cancelled)
    }

    /// Imports the image while a file is where its root is to be made. A flaw that is found before
    /// anything is written is found all the same.
    fn import_without_writing(&self) -> Result<Imported, ImageError> {
        let cancelled = AtomicBool::new(false);
        let archive = Archive::open(&self.archive(), &self.limits, &cancelled)?;
        let store = self.store().lock()?;
        let folder = format!("data/images/.new-{}", archive.image().digest.hex());
        let folder = self.folder.path().join(folder);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("root"), "").unwrap();
        store.import(&archive, &self.limits, 0, &cancelled)
    }

    /// Imports an image with these layers. Returns its root.
    fn import_layers(&self, layers: Vec<Layer>) -> Result<PathBuf, ImageError> {
        write_image(&self.archive(), Form::DockerSave, Packing::Plain, &Value::Null, layers);
        let imported = self.import()?;
        Ok(self.store().root(&imported.image.digest))
    }

    /// Asserts that an image with these layers is refused with this code, and that nothing of it
    /// is left.
    fn assert_refused(&self, layers: Vec<Layer>, code: &str) -> ImageError {
        let error = self.import_layers(layers).expect_err(code);
        assert_eq!(error.code(), code, "{error}");
        self.assert_untouched();
        error
    }

    /// Asserts that no image, and nothing beside the data directory, is there.
    fn assert_untouched(&self) {
        let left = fs::read_dir(self.folder.path().join("data/images")).into_iter().flatten().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).filter(|name| name != ".lock").collect();
        assert!(left.is_empty(), "{left:?}");
        let mut beside: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        beside.sort();
        assert_eq!(beside, ["canary", "data", "image.tar"]);
        let canary = fs::metadata(self.folder.path().join("canary")).unwrap();
        assert_eq!((canary.len(), canary.nlink()), (5, 1));
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn one_image_has_the_same_root_and_digest_in_every_form() {
    let long = format!("{}/{}", "folder".repeat(10), "file".repeat(20));
    let layers = || {
        let lower = Layer::default()
            .folder("./")
            .folder("usr/")
            .file("usr/tool", 0o755, b"tool")
            .link("bin", "usr")
            .hard_link("usr/same", "usr/tool")
            .file(&long, 0o644, &vec![7; 100_000]);
        vec![lower, Layer::default().file("./usr/other", 0o600, b"other")]
    };
    let process = json!({"Env": ["PATH=/usr"], "Cmd": ["tool"]});
    let mut digests = vec![];
    for form in [Form::DockerSave, Form::Oci] {
        for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
            let place = Place::new();
            write_image(&place.archive(), form, packing, &process, layers());
            let imported = place.import().unwrap();
            assert!(imported.is_new && imported.image.names == ["test:latest"], "{imported:?}");
            assert_eq!(imported.image.process.cmd.as_deref(), Some(&["tool".to_owned()][..]));
            let root = place.store().root(&imported.image.digest);
            assert_eq!(fs::read(root.join("usr/tool")).unwrap(), b"tool");
            assert_eq!(fs::read(root.join(&long)).unwrap().len(), 100_000);
            assert_eq!(fs::read_link(root.join("bin")).unwrap(), Path::new("usr"));
            let (tool, same) = (root.join("usr/tool").metadata().unwrap(), root.join("usr/same").metadata());
            assert_eq!((tool.ino(), tool.mtime()), (same.unwrap().ino(), 1_000_000_000));
            digests.push(imported.image.digest.clone());
            // An image that is there is not read again.
            let again = place.import().unwrap();
            assert!(!again.is_new && again.image == imported.image);
        }
    }
    let place = Place::new();
    fs::create_dir(place.archive()).unwrap();
    write_image(&place.archive(), Form::Oci, Packing::Gzip, &process, layers());
    digests.push(place.import().unwrap().image.digest);
    digests.dedup();
    assert_eq!(digests.len(), 1, "{digests:?}");
}

#[test]
fn whiteouts_hide_only_what_lower_layers_have() {
    let place = Place::new();
    let lower = Layer::default()
        .file("a/one", 0o644, b"1")
        .file("a/two", 0o644, b"2")
        .file("b/x/deep", 0o644, b"3")
        .file("b/y", 0o644, b"4")
        .file("c", 0o644, b"5");
    let upper = Layer::default()
        .file("a/.wh.one", 0o644, b"")
        .file("b/new", 0o644, b"6") // before the opaque whiteout, and in the same layer
        .file("b/.wh..wh..opq", 0o644, b"")
        .file(".wh.c", 0o644, b"")
        .folder("c")
        .file(".wh.missing", 0o644, b"")
        .file("missing/.wh..wh..opq", 0o644, b"")
        .file(".wh..wh.plnk/1.2", 0o644, b"");
    let root = place.import_layers(vec![lower, upper]).unwrap();
    let names = |path: &str| {
        let mut names: Vec<_> = fs::read_dir(root.join(path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(""), ["a", "b", "c", "etc"]);
    assert_eq!((names("a"), names("b")), (vec!["two".to_owned()], vec!["new".to_owned()]));
    assert!(root.join("c").is_dir());
}

#[test]
fn an_upper_layer_replaces_what_has_another_kind() {
    let place = Place::new();
    let lower = Layer::default()
        .file("folder/file", 0o644, b"1")
        .link("link", "folder")
        .file("file", 0o644, b"2")
        .file("both", 0o644, b"lower")
        .hard_link("other", "both");
    let upper = Layer::default()
        .file("folder", 0o644, b"now a file")
        .folder("link")
        .file("link/inside", 0o644, b"3")
        .link("file", "nowhere")
        .file("both", 0o644, b"upper");
    let root = place.import_layers(vec![lower, upper]).unwrap();
    assert_eq!(fs::read(root.join("folder")).unwrap(), b"now a file");
    assert_eq!(fs::read(root.join("link/inside")).unwrap(), b"3");
    assert_eq!(fs::read_link(root.join("file")).unwrap(), Path::new("nowhere"));
    // The file is made anew, so its other name keeps the old contents.
    assert_eq!(fs::read(root.join("other")).unwrap(), b"lower");
}

#[test]
fn permissions_and_kinds_that_could_do_harm_are_left_out() {
    let place = Place::new();
    let layer = Layer::default()
        .file("setuid", 0o6755, b"")
        .file("world", 0o1777, b"")
        .entry(EntryType::Directory, b"tmp", b"", 0o3777, b"")
        .entry(EntryType::Directory, b"closed", b"", 0, b"")
        .entry(EntryType::Char, b"dev/mem", b"", 0o666, b"")
        .entry(EntryType::Block, b"dev/sda", b"", 0o666, b"")
        .entry(EntryType::Fifo, b"fifo", b"", 0o666, b"")
        .extended("SCHILY.xattr.security.capability", "x\ny")
        .file("capable", 0o755, b"")
        .file("closed/file", 0, b"");
    write_image(&place.archive(), Form::Oci, Packing::Plain, &Value::Null, vec![layer]);
    let imported = place.import().unwrap();
    assert_eq!(imported.image.left_out, 3);
    let root = place.store().root(&imported.image.digest);
    assert_eq!((mode(&root.join("setuid")), mode(&root.join("world"))), (0o755, 0o755));
    assert_eq!((mode(&root.join("tmp")), mode(&root.join("closed"))), (0o755, 0o700));
    assert_eq!(mode(&root.join("closed/file")), 0o400);
    assert!(!root.join("dev/mem").exists() && !root.join("fifo").exists());
    let mut names = [0_u8; 256];
    assert_eq!(rustix::fs::listxattr(root.join("capable"), &mut names[..]).unwrap_or(0), 0);
    assert_eq!(mode(&place.folder.path().join("data/images")), 0o700);
}

#[test]
fn names_that_lead_out_of_the_root_are_refused() {
    let canary = "../../../../canary";
    for name in [canary, "a/../../b", "/etc/passwd", "..", ""] {
        for kind in [EntryType::Regular, EntryType::Directory, EntryType::Symlink, EntryType::Char] {
            let layer = Layer::default().entry(kind, name.as_bytes(), b"x", 0o644, b"");
            Place::new().assert_refused(vec![layer], "hostile_path");
        }
    }
    let root_as_file = Layer::default().file("./.", 0o644, b"");
    Place::new().assert_refused(vec![root_as_file], "hostile_path");
    // A NUL can only stand in an extended header.
    let layer = Layer::default().extended("path", "x\0/../..").file("x", 0o644, b"");
    let error = Place::new().assert_refused(vec![layer], "hostile_path");
    assert!(error.to_string().contains("NUL") && error.to_string().contains("layer 1"), "{error}");
    let long = "y".repeat(3000);
    Place::new().assert_refused(vec![Layer::default().file(&long, 0o644, b"")], "limit_exceeded");
}

#[test]
fn links_lead_no_entry_out_of_the_root() {
    let out = Layer::default().link("out", "../../../..").file("out/canary", 0o644, b"overwritten");
    Place::new().assert_refused(vec![out], "link_in_path");
    let absolute = Layer::default().link("etc", "/etc");
    let below = Layer::default().file("etc/below", 0o644, b"");
    Place::new().assert_refused(vec![absolute, below], "link_in_path");
    // Whiteouts are not followed through links either.
    for name in ["out/.wh.canary", "out/etc/.wh..wh..opq"] {
        let lower = Layer::default().link("out", "../../../..");
        Place::new().assert_refused(vec![lower, Layer::default().file(name, 0o644, b"")], "link_in_path");
    }
    // A link is replaced, not written through.
    let place = Place::new();
    let layer = Layer::default().link("file", "../../../../canary").file("file", 0o644, b"own");
    let root = place.import_layers(vec![layer]).unwrap();
    assert_eq!(fs::read(root.join("file")).unwrap(), b"own");
    assert_eq!(fs::read(place.folder.path().join("canary")).unwrap(), b"alive");
}

#[test]
fn hard_links_out_of_the_root_are_refused() {
    for target in ["../../../../canary", "/etc/passwd", "missing", "folder", ""] {
        let layer = Layer::default().folder("folder").hard_link("link", target);
        Place::new().assert_refused(vec![layer], "hostile_link");
    }
    let through = Layer::default().link("out", "../../../..").hard_link("link", "out/canary");
    Place::new().assert_refused(vec![through], "link_in_path");
}

#[test]
fn whiteouts_of_parents_are_refused() {
    for name in [".wh...", "a/.wh...", ".wh..", ".wh.", "a/.wh.b/c"] {
        let layer = Layer::default().folder("a").file(name, 0o644, b"");
        Place::new().assert_refused(vec![layer], "hostile_whiteout");
    }
}

#[test]
fn limits_hold_before_anything_is_written() {
    let bomb = || vec![Layer::default().file("zeros", 0o644, &vec![0; 4 << 20])];
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let mut place = Place::new();
        place.limits.unpacked_bytes = 1 << 20;
        write_image(&place.archive(), Form::Oci, packing, &Value::Null, bomb());
        let error = place.import_without_writing().unwrap_err();
        assert!(error.code() == "limit_exceeded" && error.to_string().contains("unpacked_bytes"), "{error}");
        place.assert_untouched();
    }
    let many =
        || (0..20).fold(Layer::default(), |layer, index| layer.file(&format!("a/{index}"), 0o644, b""));
    type Lower = fn(&mut Limits);
    let whiteouts =
        || (0..20).fold(Layer::default(), |layer, index| layer.file(&format!("a/.wh.{index}"), 0o644, b""));
    let cases: [(&str, Lower, Vec<Layer>); 5] = [
        ("entries", |limits| limits.entries = 19, vec![many()]),
        // The whiteouts of two layers are together too many.
        ("whiteout_bytes", |limits| limits.whiteout_bytes = 2000, vec![whiteouts(), whiteouts()]),
        ("layers", |limits| limits.layers = 1, vec![Layer::default(), Layer::default()]),
        ("manifest_bytes", |limits| limits.manifest_bytes = 10, vec![Layer::default()]),
        ("archive_members", |limits| limits.archive_members = 2, vec![Layer::default()]),
    ];
    for (name, lower, layers) in cases {
        let mut place = Place::new();
        write_image(&place.archive(), Form::DockerSave, Packing::Plain, &Value::Null, layers);
        // Within the limits, the import goes on until it writes.
        assert_eq!(place.import_without_writing().unwrap_err().code(), "io");
        lower(&mut place.limits);
        let error = place.import_without_writing().unwrap_err();
        assert!(error.code() == "limit_exceeded" && error.to_string().contains(name), "{error}");
        place.assert_untouched();
    }
    // The number of names at the top is known at the end only.
    let wide = (0..65).fold(Layer::default(), |layer, index| layer.folder(&format!("{index}")));
    let error = Place::new().assert_refused(vec![wide], "limit_exceeded");
    assert!(error.to_string().contains("root_entries"), "{error}");
    let deep = format!("{}file", "a/".repeat(200));
    Place::new().assert_refused(vec![Layer::default().file(&deep, 0o644, b"")], "hostile_path");
    // A long name that lies about its length is not read into memory.
    let lie = Layer::default().entry(EntryType::GNULongName, b"././@LongLink", b"", 0, &vec![b'a'; 1 << 20]);
    Place::new().assert_refused(vec![lie.file("x", 0o644, b"")], "limit_exceeded");
}

#[test]
fn each_digest_is_checked() {
    let layer = Layer::default().file("file", 0o644, b"1").bytes();
    let other = Layer::default().file("file", 0o644, b"2").bytes();
    let own = config(std::slice::from_ref(&layer), &Value::Null);
    for form in [Form::DockerSave, Form::Oci] {
        // The configuration promises another layer.
        let place = Place::new();
        write(&place.archive(), &members(form, &own, &[pack(&other, Packing::Gzip)]));
        let error = place.import_without_writing().unwrap_err();
        assert!(error.code() == "bad_digest" && error.to_string().contains("layer 1"), "{error}");
        place.assert_untouched();
        // A file has other contents than its name says.
        let all = members(form, &own, std::slice::from_ref(&layer));
        for index in 0..all.len() {
            if ["manifest.json", "index.json", "oci-layout"].contains(&&*all[index].0) {
                continue;
            }
            let mut all = all.clone();
            let end = all[index].1.len() - 2;
            all[index].1[end] ^= 1;
            write(&place.archive(), &all);
            let error = place.import_without_writing().unwrap_err();
            assert_eq!(error.code(), "bad_digest", "{}: {error}", all[index].0);
            place.assert_untouched();
        }
        // A file is missing.
        let without: Vec<_> = all
            .iter()
            .filter(|(name, _)| !name.contains(&archive::hex(&layer)) && !name.contains("layer"))
            .cloned()
            .collect();
        write(&place.archive(), &without);
        assert_eq!(place.import().unwrap_err().code(), "missing_blob");
    }
}

#[test]
fn what_is_no_image_is_named() {
    let place = Place::new();
    let import = |members: &[(String, Vec<u8>)]| {
        write(&place.archive(), members);
        place.import().unwrap_err().code()
    };
    let one = |name: &str, text: &str| [(name.to_owned(), text.as_bytes().to_vec())];
    assert_eq!(import(&one("readme", "x")), "not_an_image");
    assert_eq!(import(&one("manifest.json", "[]")), "not_an_image");
    assert_eq!(import(&one("manifest.json", "{")), "bad_manifest");
    assert_eq!(
        import(&one("index.json", r#"{"manifests": [{"digest": "sha256:../../x"}]}"#)),
        "bad_manifest"
    );
    let two = r#"[{"Config": "a.json", "Layers": []}, {"Config": "b.json", "Layers": []}]"#;
    assert_eq!(import(&one("manifest.json", two)), "ambiguous_image");
    let hex = "0".repeat(64);
    let platform = format!(
        r#"{{"manifests": [{{"digest": "sha256:{hex}", "platform": {{"os": "linux", "architecture": "s390x"}}}}]}}"#
    );
    assert_eq!(import(&one("index.json", &platform)), "wrong_platform");
    let mut own = config(&[], &Value::Null);
    own["architecture"] = "s390x".into();
    assert_eq!(import(&members(Form::DockerSave, &own, &[])), "wrong_platform");
    let mut own = config(&[], &Value::Null);
    own["rootfs"]["diff_ids"] = json!([format!("sha256:{hex}")]);
    assert_eq!(import(&members(Form::DockerSave, &own, &[])), "bad_manifest");

    fs::write(place.archive(), pack(b"archive", Packing::Gzip)).unwrap();
    assert_eq!(place.import().unwrap_err().code(), "compressed_archive");
    fs::write(place.archive(), [1; 3000]).unwrap();
    assert_eq!(place.import().unwrap_err().code(), "damaged_archive");
    let layer = Layer::default().file("file", 0o644, &[1; 5000]).bytes();
    let cut = layer[..4000].to_vec();
    let own = config(std::slice::from_ref(&cut), &Value::Null);
    assert_eq!(import(&members(Form::DockerSave, &own, &[cut])), "damaged_archive");
    place.assert_untouched();
}

#[test]
fn an_interrupted_import_leaves_nothing() {
    let place = Place::new();
    let layer = Layer::default().file("file", 0o644, &vec![1; 1 << 20]);
    write_image(&place.archive(), Form::Oci, Packing::Gzip, &Value::Null, vec![layer]);
    let store = place.store();
    let opened = Archive::open(&place.archive(), &place.limits, &AtomicBool::new(false)).unwrap();
    let error = store.lock().unwrap().import(&opened, &place.limits, 0, &AtomicBool::new(true)).unwrap_err();
    assert_eq!(error.code(), "interrupted");
    place.assert_untouched();
    // The members of an archive and the documents take time, too.
    let (members, documents) = (Place::new(), Place::new());
    write(&members.archive(), &[("readme".to_owned(), vec![])]);
    fs::create_dir(documents.archive()).unwrap();
    write_image(&documents.archive(), Form::Oci, Packing::Plain, &Value::Null, vec![]);
    for place in [members, documents] {
        let opened = Archive::open(&place.archive(), &place.limits, &AtomicBool::new(true));
        assert_eq!(opened.err().unwrap().code(), "interrupted");
    }
    let error = place.import_until(u64::MAX, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.code(), "disk_full");
    place.assert_untouched();
    // The remains of a killed import are removed by the next import or removal.
    let left = place.folder.path().join("data/images/.new-x/root");
    fs::create_dir_all(&left).unwrap();
    drop(store.lock().unwrap());
    assert!(!left.exists());
    place.import().unwrap();
}

#[test]
fn an_image_stays_while_a_sandbox_uses_it() {
    let place = Place::new();
    let root = place.import_layers(vec![Layer::default().file("file", 0o644, b"1")]).unwrap();
    let store = place.store().lock().unwrap();
    assert_eq!(store.remove_unwanted(|_| true, |_| false).unwrap(), Removal::default());
    let lock = fs::File::open(&root).unwrap();
    flock(&lock, FlockOperation::LockShared).unwrap();
    let Removal { removed, used } = store.remove_unwanted(|_| false, |_| false).unwrap();
    assert!(removed.is_empty() && used.len() == 1 && root.exists());
    drop(lock);
    // A session that waits has no sandbox yet.
    let Removal { removed, used } = store.remove_unwanted(|_| false, |_| true).unwrap();
    assert!(removed.is_empty() && used.len() == 1 && root.exists());
    let Removal { removed, used } = store.remove_unwanted(|_| false, |_| false).unwrap();
    assert!(removed.len() == 1 && used.is_empty());
    place.assert_untouched();
}

#[test]
fn the_images_stay_locked_until_their_runtimes_are_written() {
    let place = Place::new();
    write_image(&place.archive(), Form::Oci, Packing::Plain, &Value::Null, vec![Layer::default()]);
    let archive = Archive::open(&place.archive(), &place.limits, &AtomicBool::new(false)).unwrap();
    let store = place.store().lock().unwrap();
    store.import(&archive, &place.limits, 0, &AtomicBool::new(false)).unwrap();
    assert_eq!(place.store().lock().unwrap_err().code(), "busy");
    drop(store);
    place.store().lock().unwrap();
}

#[test]
fn a_name_is_measured_as_it_stands_in_the_archive() {
    // Each of these names means a short path, and each would be kept while the layer is checked.
    let long = format!("{}a", "./".repeat(100_000));
    let hidden = format!("{}.wh.a", "./".repeat(100_000));
    for (keyword, name) in [("path", &long), ("path", &hidden), ("linkpath", &long)] {
        let layer = Layer::default().extended(keyword, name).link("x", "y");
        let error = Place::new().assert_refused(vec![layer], "limit_exceeded");
        let text = error.to_string();
        assert!(text.contains("path_bytes = 2048") && text.len() < 300, "{text}");
    }
}

#[test]
fn folders_that_no_entry_describes_count_as_entries() {
    let layer = || {
        let names = (0..20).map(|index| format!("{index}/{}file", "a/".repeat(49)));
        names.fold(Layer::default(), |layer, name| layer.file(&name, 0o644, b""))
    };
    let mut place = Place::new();
    place.limits.entries = 1019; // 20 files and 1,000 folders
    let error = place.assert_refused(vec![layer()], "limit_exceeded");
    assert!(error.to_string().contains("entries = 1019"), "{error}");
    place.limits.entries = 1020;
    place.import_layers(vec![layer()]).unwrap();
}

#[test]
fn an_opaque_folder_may_replace_a_link_or_file() {
    for lower in [Layer::default().link("a", "../../../.."), Layer::default().file("a", 0o644, b"1")] {
        let place = Place::new();
        let upper =
            Layer::default().folder("a").file("a/.wh..wh..opq", 0o644, b"").file("a/new", 0o644, b"2");
        let root = place.import_layers(vec![lower, upper]).unwrap();
        assert_eq!(fs::read(root.join("a/new")).unwrap(), b"2");
        assert_eq!(fs::read(place.folder.path().join("canary")).unwrap(), b"alive");
    }
}

/// An index that names the same document again and again.
fn index_of(count: usize, media: &str, bytes: &[u8]) -> Vec<u8> {
    let descriptor = json!({"mediaType": format!("application/vnd.oci.image.{media}"), "size": bytes.len(),
                            "digest": format!("sha256:{}", archive::hex(bytes))});
    serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": vec![descriptor; count]})).unwrap()
}

#[test]
fn an_index_may_name_one_image_often_but_not_without_a_bound() {
    let own = config(&[], &Value::Null);
    let image = members(Form::Oci, &own, &[]);
    let is_manifest = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(r#""layers":["#);
    let manifest = image.iter().find(|(_, bytes)| is_manifest(bytes)).unwrap().1.clone();
    let import = |outer: usize, inner: usize| {
        let place = Place::new();
        let nested = index_of(inner, "manifest.v1+json", &manifest);
        let mut all = image.clone();
        all.retain(|(name, _)| name != "index.json");
        all.push((format!("blobs/sha256/{}", archive::hex(&nested)), nested.clone()));
        all.push(("index.json".to_owned(), index_of(outer, "index.v1+json", &nested)));
        write(&place.archive(), &all);
        let imported = place.import();
        if imported.is_err() {
            place.assert_untouched();
        }
        imported
    };
    import(20, 20).unwrap();
    for (outer, inner) in [(1001, 1), (1, 1000), (100, 100)] {
        let error = import(outer, inner).unwrap_err();
        assert!(error.to_string().contains("descriptors = 1000"), "{outer} {inner}: {error}");
    }
}

#[test]
fn names_that_could_not_be_shown_are_left_out() {
    let place = Place::new();
    let own = config(&[], &Value::Null);
    let mut all = members(Form::DockerSave, &own, &[]);
    let tags = json!(["\u{1b}[31mred", "own:1", "two\nlines", "x".repeat(300), ""]);
    for (name, bytes) in &mut all {
        if name == "manifest.json" {
            let mut manifest: Value = serde_json::from_slice(bytes).unwrap();
            manifest[0]["RepoTags"] = tags.clone();
            *bytes = serde_json::to_vec(&manifest).unwrap();
        }
    }
    write(&place.archive(), &all);
    assert_eq!(place.import().unwrap().image.names, ["own:1"]);
}

#[test]
fn the_process_of_an_image_has_a_bound() {
    let place = Place::new();
    let import = |process: &Value| {
        write_image(&place.archive(), Form::Oci, Packing::Plain, process, vec![Layer::default()]);
        place.import()
    };
    let path = format!("PATH={}", "/a:".repeat(30_000));
    for process in [json!({"Env": [path]}), json!({"Cmd": vec!["x"; 40_000]})] {
        let error = import(&process).unwrap_err();
        assert!(error.to_string().contains("process_bytes = 65536"), "{error}");
    }
    import(&json!({"Env": ["PATH=/bin"], "Cmd": ["x"]})).unwrap();
}

#[test]
fn an_image_whose_document_is_unreadable_is_unpacked_again() {
    let place = Place::new();
    let root = place.import_layers(vec![Layer::default().file("file", 0o644, b"1")]).unwrap();
    fs::write(root.with_file_name("image.json"), "{").unwrap();
    fs::remove_file(root.join("file")).unwrap();
    let lock = fs::File::open(&root).unwrap();
    flock(&lock, FlockOperation::LockShared).unwrap();
    assert_eq!(place.import().unwrap_err().code(), "damaged_image_in_use");
    drop(lock);
    assert!(place.import().unwrap().is_new);
    assert_eq!(fs::read(root.join("file")).unwrap(), b"1");
    // Not even the root may be left.
    fs::remove_dir_all(&root).unwrap();
    fs::remove_file(root.with_file_name("image.json")).unwrap();
    assert!(place.import().unwrap().is_new);
}
