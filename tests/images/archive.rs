//! Makes container images for tests: layers entry by entry, also such as no tool would make, and
//! archives of both forms.

use std::{fs, io::Write as _, path::Path};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

/// The form of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As `docker save` wrote it before version 25.
    DockerSave,
    /// An OCI image layout.
    Oci,
}

/// The compression of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// A layer that is being made.
#[derive(Default)]
pub struct Layer(Vec<u8>);

impl Layer {
    /// Adds an entry with any name, kind and target. Names of more than 100 bytes get an extended
    /// header.
    pub fn entry(mut self, kind: EntryType, name: &[u8], target: &[u8], mode: u32, contents: &[u8]) -> Self {
        for (long, kind) in [(name, EntryType::GNULongName), (target, EntryType::GNULongLink)] {
            if long.len() > 100 {
                self = self.entry(kind, b"././@LongLink", b"", 0o644, long);
            }
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(contents.len() as u64);
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        let old = header.as_old_mut();
        let (name, target) = (&name[..name.len().min(100)], &target[..target.len().min(100)]);
        old.name[..name.len()].copy_from_slice(name);
        old.linkname[..target.len()].copy_from_slice(target);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(contents);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn folder(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name.as_bytes(), b"", 0o755, b"")
    }

    pub fn file(self, name: &str, mode: u32, contents: &[u8]) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), b"", mode, contents)
    }

    pub fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name.as_bytes(), target.as_bytes(), 0o777, b"")
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name.as_bytes(), target.as_bytes(), 0o644, b"")
    }

    /// Adds an extended header with one record, which is for the next entry.
    pub fn extended(self, keyword: &str, value: &str) -> Self {
        let rest = format!(" {keyword}={value}\n");
        let length = (1..).find(|length: &usize| length.to_string().len() + rest.len() == *length);
        let record = format!("{}{rest}", length.expect("a length"));
        self.entry(EntryType::XHeader, b"PaxHeaders/x", b"", 0o644, record.as_bytes())
    }

    /// The uncompressed layer.
    pub fn bytes(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A file of an archive.
type Member = (String, Vec<u8>);

/// This machine's architecture, as images name it.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn pack(bytes: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Plain => bytes.to_vec(),
        Packing::Zstd => {
            ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
        }
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
            encoder.write_all(bytes).expect("memory");
            encoder.finish().expect("memory")
        }
    }
}

/// The configuration of an image with these layers. `process` is its `config`.
pub fn config(layers: &[Vec<u8>], process: &Value) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", hex(layer))).collect();
    json!({"architecture": architecture(), "os": "linux", "config": process,
           "rootfs": {"type": "layers", "diff_ids": diff_ids}})
}

/// The files of an image with this configuration. `layers` are packed already.
pub fn members(form: Form, config: &Value, layers: &[Vec<u8>]) -> Vec<Member> {
    let config = serde_json::to_vec(config).expect("JSON");
    let text = |value: Value| serde_json::to_vec(&value).expect("JSON");
    match form {
        Form::DockerSave => {
            let names: Vec<String> = (0..layers.len()).map(|index| format!("{index}/layer.tar")).collect();
            let config_name = format!("{}.json", hex(&config));
            let manifest = json!([{"Config": config_name, "RepoTags": ["test:latest"], "Layers": names}]);
            let mut members: Vec<Member> = names.into_iter().zip(layers.iter().cloned()).collect();
            members.push((config_name, config));
            members.push(("manifest.json".into(), text(manifest)));
            members
        }
        Form::Oci => {
            let descriptor = |media: &str, bytes: &[u8]| {
                json!({"mediaType": format!("application/vnd.oci.image.{media}"), "size": bytes.len(),
                       "digest": format!("sha256:{}", hex(bytes))})
            };
            let all: Vec<Value> = layers.iter().map(|layer| descriptor("layer.v1.tar", layer)).collect();
            let manifest = text(json!({"schemaVersion": 2, "config": descriptor("config.v1+json", &config),
                                       "layers": all}));
            let mut entry = descriptor("manifest.v1+json", &manifest);
            entry["annotations"] = json!({"org.opencontainers.image.ref.name": "test:latest"});
            let index = text(json!({"schemaVersion": 2, "manifests": [entry]}));
            let blob = |bytes: &Vec<u8>| (format!("blobs/sha256/{}", hex(bytes)), bytes.clone());
            let mut members: Vec<Member> = layers.iter().chain([&config, &manifest]).map(blob).collect();
            members.push(("oci-layout".into(), text(json!({"imageLayoutVersion": "1.0.0"}))));
            members.push(("index.json".into(), index));
            members
        }
    }
}

/// Writes an archive with these files, or a folder if `path` is one.
pub fn write(path: &Path, members: &[Member]) {
    if path.is_dir() {
        for (name, bytes) in members {
            fs::create_dir_all(path.join(name).parent().expect("a folder")).expect("a folder");
            fs::write(path.join(name), bytes).expect("a file");
        }
        return;
    }
    let archive =
        members.iter().fold(Layer::default(), |archive, (name, bytes)| archive.file(name, 0o644, bytes));
    fs::write(path, archive.bytes()).expect("a file");
}

/// Writes an archive of an image.
pub fn write_image(path: &Path, form: Form, packing: Packing, process: &Value, layers: Vec<Layer>) {
    let layers: Vec<Vec<u8>> = layers.into_iter().map(Layer::bytes).collect();
    let config = config(&layers, process);
    let packed: Vec<Vec<u8>> = layers.iter().map(|layer| pack(layer, packing)).collect();
    write(path, &members(form, &config, &packed));
}
