//! Which images are kept: those that a runtime names, with the permissions that sessions need.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::{
    fs::{CWD, FileType, FlockOperation, Mode, flock, mknodat},
    process::{Pid, Signal, kill_process},
};
use serde_json::json;

use super::{
    archive::{self, Form, Layer, Packing, write_image},
    fail, images, interruptible_import, succeed,
};
use crate::common::{binary, eventually};

/// Writes an image with one file, of these contents. Returns its path.
fn write_small_image(folder: &Path, name: &str, command: &str, contents: &[u8]) -> String {
    let path = folder.join(name);
    let layer = Layer::default().file("a/b/file", 0o644, contents);
    let process = if command.is_empty() { json!({}) } else { json!({"Cmd": [command]}) };
    write_image(&path, Form::Oci, Packing::Plain, &process, vec![layer]);
    path.to_str().expect("text").to_owned()
}

#[test]
fn an_image_that_no_runtime_names_is_not_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let one = write_small_image(folder.path(), "one.tar", "x", b"one");
    let two = write_small_image(folder.path(), "two.tar", "x", b"two");
    let silent = write_small_image(folder.path(), "silent.tar", "", b"no command");
    assert!(fail(&data, &["import", "own", &silent]).contains("no_command"));
    assert_eq!(images(&data), [""; 0]);
    succeed(&data, &["import", "own", &one]);
    let first = images(&data);
    let printed = succeed(&data, &["import", "own", &two]);
    assert!(
        first.len() == 1 && printed.contains(&format!("removed the image sha256:{}", first[0])),
        "{printed}"
    );
    assert!(images(&data).len() == 1 && images(&data) != first);
    // The runtime cannot be written, since a file has the name of its folder.
    fs::write(data.join("runtimes/taken"), "").expect("a file");
    assert!(fail(&data, &["import", "taken", &one]).contains("(io)"));
    assert_eq!(images(&data).len(), 1);
    // A removal that cannot remove images removes no runtime either.
    let lock = fs::File::open(data.join("images/.lock")).expect("a file");
    flock(&lock, FlockOperation::LockExclusive).expect("a lock");
    assert!(fail(&data, &["remove", "own"]).contains("(busy)"));
    drop(lock);
    fs::create_dir_all(data.join("images/.new-x/root")).expect("a folder");
    fs::remove_dir_all(data.join("runtimes/own")).expect("a runtime");
    assert!(succeed(&data, &["remove"]).contains("removed the image"));
    assert_eq!(images(&data), [""; 0]);
}

/// An import that is at work, killed on drop.
struct RunningImport(Child);

impl RunningImport {
    /// Starts an import that has unpacked its image, and waits to write the `runtime.toml` of
    /// `own`: a named pipe is in its place, which nobody reads.
    fn start(data: &Path, image: &str) -> Self {
        let folder = data.join("runtimes/own");
        fs::create_dir_all(&folder).expect("a folder");
        let pipe = folder.join(".runtime.toml");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
        let mut command = interruptible_import();
        command.args(["own", image, "--data-dir"]).arg(data);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
        let import = Self(child);
        eventually("the image is unpacked", || {
            images(data).iter().any(|name| !name.starts_with('.')).then_some(())
        });
        import
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("the import runs");
    }
}

impl Drop for RunningImport {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_removal_comes_between_an_image_and_its_runtime() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let image = write_small_image(folder.path(), "one.tar", "x", b"one");
    let import = RunningImport::start(&data, &image);
    // No runtime names the image yet.
    for arguments in [&["remove"][..], &["import", "other", image.as_str()][..]] {
        assert!(fail(&data, arguments).contains("(busy)"));
    }
    assert_eq!(images(&data).len(), 1);
    drop(import);
    assert!(succeed(&data, &["remove"]).contains("removed the image"));
}

#[test]
fn a_second_signal_ends_an_import_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let image = write_small_image(folder.path(), "one.tar", "x", b"one");
    let mut import = RunningImport::start(&data, &image);
    // The import does not end by the first one, since it waits for the kernel.
    import.signal(Signal::INT);
    import.signal(Signal::TERM);
    let status = eventually("the import ends", || import.0.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(1));
    assert!(succeed(&data, &["remove"]).contains("removed the image"));
    assert_eq!(images(&data), [""; 0]);
}

#[test]
fn an_image_that_a_runtime_of_the_operator_names_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, operator) = (folder.path().join("data"), folder.path().join("operator"));
    let image = write_small_image(folder.path(), "one.tar", "x", b"one");
    succeed(&data, &["import", "own", &image]);
    fs::create_dir_all(operator.join("other")).expect("a folder");
    fs::copy(data.join("runtimes/own/runtime.toml"), operator.join("other/runtime.toml")).expect("a file");
    let flag = operator.to_str().expect("text");
    // If the folder is missing, it is unknown what it names.
    let error = fail(&data, &["remove", "own", "--runtimes-dir", &format!("{flag}/missing")]);
    assert!(error.contains("runtimes_unread"), "{error}");
    assert!(data.join("runtimes/own").exists());
    let printed = succeed(&data, &["remove", "own", "--runtimes-dir", flag]);
    assert!(!printed.contains("image") && images(&data).len() == 1, "{printed}");
    let error = fail(&data, &["import", "other", &image, "--runtimes-dir", flag]);
    assert!(error.contains("name_taken"), "{error}");
    fs::remove_dir_all(operator.join("other")).expect("a folder");
    assert!(succeed(&data, &["remove", "--runtimes-dir", flag]).contains("removed the image"));
}

#[test]
fn folders_of_an_image_can_be_read_whatever_the_umask_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let image = write_small_image(folder.path(), "one.tar", "x", b"one");
    let script = r#"umask 077; exec "$0" runtimes import own "$1" --data-dir "$2""#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(binary()).arg(image).arg(&data).stdout(Stdio::null());
    let status = command.status();
    assert!(status.expect("a shell").success());
    let root = data.join("images").join(&images(&data)[0]).join("root");
    for (name, mode) in [("", 0o755), ("a", 0o755), ("a/b", 0o755), ("etc", 0o755), ("a/b/file", 0o644)] {
        let found = fs::metadata(root.join(name)).expect("a file").permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{name}");
    }
}

#[test]
fn an_image_does_not_control_the_terminal() {
    let data = tempfile::tempdir().expect("a folder");
    let archive = data.path().join("image.tar");
    let manifest = br#"[{"Config": "a\u001b[2J\r\nb.json", "Layers": []}]"#;
    archive::write(
        &archive,
        &[
            ("manifest.json".to_owned(), manifest.to_vec()),
            ("a\u{1b}[2J\r\nb.json".to_owned(), b"{".to_vec()),
        ],
    );
    let error = fail(data.path(), &["import", "x", archive.to_str().expect("text")]);
    assert!(error.contains("bad_manifest") && !error.trim_end().contains(char::is_control), "{error:?}");
}
