//! Remains of earlier imports and of lower layers, and the texts of refusals.

use super::*;

#[test]
fn an_image_whose_root_is_gone_is_unpacked_again() {
    let place = Place::new();
    let root = place.import_layers(vec![Layer::default().file("file", 0o644, b"1")]).unwrap();
    assert!(!place.import().unwrap().is_new);
    fs::remove_dir_all(&root).unwrap();
    assert!(place.import().unwrap().is_new);
    assert_eq!(fs::read(root.join("file")).unwrap(), b"1");
}

#[test]
fn a_device_replaces_what_lower_layers_have_by_nothing() {
    let place = Place::new();
    let lower = Layer::default().file("a", 0o644, b"1").file("b/c", 0o644, b"2").file("d", 0o644, b"3");
    let upper = Layer::default().entry(EntryType::Fifo, b"a", b"", 0o644, b"").entry(
        EntryType::Char,
        b"b",
        b"",
        0o644,
        b"",
    );
    let root = place.import_layers(vec![lower, upper]).unwrap();
    let there = ["a", "b", "d"].map(|name| root.join(name).exists());
    assert_eq!(there, [false, false, true]);
}

#[test]
fn a_whiteout_below_a_file_hides_nothing() {
    let place = Place::new();
    let lower = Layer::default().file("a", 0o644, b"1");
    let upper = Layer::default().file("a/.wh.b", 0o644, b"").folder("a").file("a/c", 0o644, b"2");
    let root = place.import_layers(vec![lower, upper]).unwrap();
    assert_eq!(fs::read(root.join("a/c")).unwrap(), b"2");
}

#[test]
fn a_large_folder_is_hidden_as_a_whole() {
    let place = Place::new();
    let add = |layer: Layer, index| layer.file(&format!("a/{index}"), 0o644, b"");
    let lower = (0..2500).fold(Layer::default(), add);
    let root = place.import_layers(vec![lower, Layer::default().file("a/.wh..wh..opq", 0o644, b"")]).unwrap();
    assert_eq!(fs::read_dir(root.join("a")).unwrap().count(), 0);
}

#[test]
fn a_refusal_shows_the_beginning_of_a_long_text() {
    let place = Place::new();
    let long = "x".repeat(100_000);
    let mut foreign = config(&[], &Value::Null);
    foreign["architecture"] = long.as_str().into();
    let manifest = |text: Value| [("manifest.json".to_owned(), serde_json::to_vec(&text).unwrap())].to_vec();
    let image = |name: &str| json!({"Config": name, "Layers": []});
    let many: Vec<Value> = (0..5000).map(|index| image(&format!("{index}"))).collect();
    for (members, code) in [
        (members(Form::DockerSave, &foreign, &[]), "wrong_platform"),
        (manifest(json!([image(&long)])), "missing_blob"),
        (manifest(json!([image(&long), image("y")])), "ambiguous_image"),
        (manifest(json!(many)), "ambiguous_image"),
        (manifest(json!(long)), "bad_manifest"),
    ] {
        write(&place.archive(), &members);
        let error = place.import().unwrap_err();
        assert_eq!(error.code(), code, "{error:.300}");
        let text = error.to_string();
        assert!(text.len() < 1000, "{code}: {} bytes: {text:.300}", text.len());
    }
}

#[test]
fn a_file_that_no_folder_can_have_is_missing() {
    for name in ["../../canary", "a/b", "link", &"x".repeat(300), "x\0y"] {
        let place = Place::new();
        fs::create_dir(place.archive()).unwrap();
        fs::write(place.archive().join("a"), "{}").unwrap();
        std::os::unix::fs::symlink("a", place.archive().join("link")).unwrap();
        let manifest = json!([{"Config": name, "Layers": []}]);
        fs::write(place.archive().join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
        let error = place.import().unwrap_err();
        assert_eq!(error.code(), "missing_blob", "{name:?}: {error}");
    }
}
