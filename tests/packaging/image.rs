//! The container image: podman loads it and runs sessions in it, with the commands of the document.

use std::path::Path;

use super::{package::package, script};
use crate::{
    common::is_root,
    containers::machine::{Caller, Machine, printed},
    docs::document,
};

/// Makes an image of the binary under test.
fn image(folder: &Path) -> String {
    let package = package("0.2.0-1", folder);
    let package = package.to_str().expect("a path in UTF-8");
    let output = folder.join("livecode-image.tar");
    let output = output.to_str().expect("a path in UTF-8");
    script("image", &["--package", package, "--output", output]).display().to_string()
}

/// The commands of the section about the image: those for root, and those for an ordinary user.
fn documented_commands() -> (String, String) {
    let text = document("docs/operating.md");
    let section = text.split("## The container image\n").nth(1).expect("the section exists");
    let section = section.split("\n## ").next().expect("the section has an end");
    let mut blocks = section.split("```text\n").skip(1).filter_map(|block| block.split("```").next());
    let mut next = || blocks.next().expect("a block of commands").to_owned();
    (next(), next())
}

/// Waits in a shell until the server answers.
const AWAIT_SERVER: &str = "curl --silent --fail --output /dev/null --retry 100 --retry-delay 1 --retry-all-errors http://127.0.0.1:8000/healthz\n";

/// The documented commands as a script. The server is awaited before the first program.
fn as_script(commands: &str, image: &str) -> String {
    let commands = commands.replace("target/livecode-image.tar", image);
    let mut script = String::from("set -e; cd \"$HOME\"; echo 'print(6 * 7)' > hello.py\n");
    let mut is_awaited = false;
    for line in commands.lines() {
        if !is_awaited && (line.starts_with("livecode run") || line.starts_with("podman exec")) {
            script.push_str(AWAIT_SERVER);
            is_awaited = true;
        }
        script.push_str(line);
        script.push('\n');
    }
    script
}

#[test]
fn podman_runs_the_image() {
    if !is_root() {
        return; // only root makes the image
    }
    let machine = Machine::new();
    let folder = machine.path("image");
    std::fs::create_dir(&folder).expect("a folder is created");
    let image = image(&folder);
    let (as_root, rootless) = documented_commands();

    // Without flags the image names them: first those without which no program can be run.
    let capabilities = "--cap-add SYS_ADMIN --cap-add NET_ADMIN";
    let cgroups = "-v /sys/fs/cgroup:/sys/fs/cgroup:rw";
    let loaded = machine.run(Caller::Root, &format!("podman load --quiet --input {image}"));
    assert!(loaded.status.success(), "{}", printed(&loaded));
    for (flags, missing) in [("", capabilities), (capabilities, cgroups)] {
        let refused = machine.run(
            Caller::Root,
            &format!("podman run {flags} --env LIVECODE_ALLOW_ANONYMOUS=true localhost/livecode"),
        );
        assert_eq!(refused.status.code(), Some(1), "{}", printed(&refused));
        assert!(printed(&refused).contains(missing), "{missing}: {}", printed(&refused));
        assert!(as_root.contains(missing), "{missing}: {as_root}");
    }
    // A label has the same flags.
    let label = machine
        .run(Caller::Root, "podman image inspect --format '{{index .Labels \"run\"}}' localhost/livecode");
    let flags =
        as_root.split("--detach --name livecode ").nth(1).and_then(|rest| rest.split(" localhost/").next());
    let flags = flags.expect("the flags are documented").replace("\\\n    ", "");
    assert_eq!(printed(&label).trim(), format!("podman run {flags} IMAGE"));

    // The commands of the document; the session outlives the container, and its program does not.
    let rest = "
id=$(podman exec livecode sh -c 'echo \"import time; time.sleep(3600)\" > /tmp/endless.py; livecode run --detach /tmp/endless.py')
podman stop livecode
podman start livecode
"
    .to_owned() + AWAIT_SERVER
        + "podman exec livecode livecode ls | grep \"$id\"
podman stop livecode
echo \"left: $(find /sys/fs/cgroup -path '*/GROUP/*' -name 'livecode-*' | wc -l)\"
";
    let output =
        machine.run(Caller::Root, &(as_script(&as_root, &image) + &rest.replace("GROUP", machine.group())));
    let text = printed(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.lines().filter(|line| *line == "42").count(), 2, "{text}");
    assert!(text.contains("cancelled") && text.contains("\nleft: 0\n"), "{text}");

    let output = machine.run(Caller::User, &as_script(&rootless, &image));
    assert!(output.status.success() && printed(&output).contains("\n42\n"), "{}", printed(&output));
}
