//! Which image an archive has, and its layers: from an OCI image layout (`index.json`) or from the
//! archive of `docker save` (`manifest.json`).

use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::{AtomicBool, Ordering},
};

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    error::{ImageError, cut},
    limits::Limits,
    source::Source,
};

const INDEX: &str = "index.json";
const DOCKER_MANIFEST: &str = "manifest.json";
/// How deep indices may be nested: `index.json`, an index of platforms, a manifest.
const MAX_INDEX_DEPTH: usize = 3;
/// The longest name of an image that is kept, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// The number of names of an image that are kept.
const MAX_NAMES: usize = 16;
/// The annotations that name an image.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// An image of an archive.
#[derive(Clone, Debug)]
pub(crate) struct ImageDescription {
    /// The digest of the configuration, which contains the digests of all layers: Docker calls it
    /// the image's id. An OCI layout and an archive of `docker save` give the same.
    pub digest: Digest,
    /// The names of the image, where the archive has any.
    pub names: Vec<String>,
    pub process: ProcessConfig,
    /// The layers, from the lowest.
    pub layers: Vec<Layer>,
}

/// A layer of an image.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// The file of the archive.
    pub file: String,
    /// The digest of the file as it is, if the manifest has it.
    pub file_digest: Option<Digest>,
    /// The digest of the uncompressed layer.
    pub diff_id: Digest,
}

/// The image's description of the process that it is made for. LiveCode takes from it what a
/// `runtime.toml` can have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProcessConfig {
    /// Variables, each as `NAME=value`.
    pub env: Option<Vec<String>>,
    /// The beginning of the command.
    pub entrypoint: Option<Vec<String>>,
    /// The rest of the command.
    pub cmd: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Platform {
    os: String,
    architecture: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    config: Option<ProcessConfig>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

/// A manifest that may be the wanted image.
struct Candidate {
    digest: Digest,
    name: Option<String>,
}

/// This machine's architecture, as images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Finds the image of an archive that is for this machine. Every document is checked against its
/// digest.
pub(crate) fn describe(
    source: &Source,
    limits: &Limits,
    cancelled: &AtomicBool,
) -> Result<ImageDescription, ImageError> {
    let description = if source.find(INDEX)?.is_some() {
        describe_oci(source, limits, cancelled)?
    } else if source.find(DOCKER_MANIFEST)?.is_some() {
        describe_docker(source, limits)?
    } else {
        return Err(ImageError::NotAnImage(source.path().to_owned()));
    };
    let max = limits.layers as u64;
    if description.layers.len() as u64 > max {
        return Err(ImageError::LimitExceeded { limit: "layers", max, at: None });
    }
    Ok(description)
}

fn describe_oci(
    source: &Source,
    limits: &Limits,
    cancelled: &AtomicBool,
) -> Result<ImageDescription, ImageError> {
    let mut reader = IndexReader {
        source,
        limits,
        cancelled,
        descriptors: 0,
        read: HashMap::new(),
        candidates: vec![],
        other_platforms: BTreeSet::new(),
    };
    reader.add(INDEX, &source.read_document(INDEX, limits)?, 1)?;
    let IndexReader { candidates, other_platforms, .. } = reader;
    let names: Vec<String> = candidates.iter().filter_map(|candidate| candidate.name.clone()).collect();
    let Some(Candidate { digest, .. }) = candidates.first() else {
        if other_platforms.is_empty() {
            return Err(ImageError::NotAnImage(source.path().to_owned()));
        }
        let found = first_names(other_platforms.into_iter());
        return Err(ImageError::WrongPlatform { wanted: architecture(), found });
    };
    if candidates.iter().any(|candidate| candidate.digest != *digest) {
        let name =
            |candidate: &Candidate| candidate.name.clone().unwrap_or_else(|| candidate.digest.to_string());
        return Err(ImageError::Ambiguous(first_names(candidates.iter().map(name))));
    }
    let (file, text) = read_blob(source, limits, digest)?;
    let manifest: Manifest = parse(&file, &text)?;
    let (config_file, config_text) = read_blob(source, limits, &manifest.config.digest)?;
    let config = checked_config(&config_file, &config_text, limits)?;
    let files = manifest.layers.into_iter().map(|layer| (blob_name(&layer.digest), Some(layer.digest)));
    finish(manifest.config.digest, names, &config_file, config, files.collect())
}

/// Looks for images in an index, and in the indices that it names.
struct IndexReader<'a> {
    source: &'a Source,
    limits: &'a Limits,
    cancelled: &'a AtomicBool,
    /// The number of images and indices that were named so far.
    descriptors: usize,
    /// The manifests in each nested index that was read. An archive names an index several times if
    /// an image has several names.
    read: HashMap<Digest, Vec<Digest>>,
    /// The manifests that are for this machine.
    candidates: Vec<Candidate>,
    /// The platforms of the others.
    other_platforms: BTreeSet<String>,
}

impl IndexReader<'_> {
    /// Counts a descriptor that was read, or is used again.
    fn count(&mut self) -> Result<(), ImageError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(ImageError::Interrupted);
        }
        self.descriptors += 1;
        let max = self.limits.descriptors as u64;
        if self.descriptors as u64 > max {
            return Err(ImageError::LimitExceeded { limit: "descriptors", max, at: None });
        }
        Ok(())
    }

    /// Adds what an index names, which is `depth` levels deep.
    fn add(&mut self, file: &str, text: &[u8], depth: usize) -> Result<(), ImageError> {
        let index: Index = parse(file, text)?;
        for descriptor in index.manifests {
            self.count()?;
            let annotations = descriptor.annotations.unwrap_or_default();
            let name =
                NAMES.iter().find_map(|key| annotations.get(*key)).filter(|name| is_name(name)).cloned();
            if descriptor.media_type.contains("index") || descriptor.media_type.contains("manifest.list") {
                if depth >= MAX_INDEX_DEPTH {
                    let flaw = format!("indices are nested more than {MAX_INDEX_DEPTH} deep");
                    return Err(ImageError::BadManifest { file: file.to_owned(), flaw });
                }
                self.add_nested(descriptor.digest, name, depth + 1)?;
                continue;
            }
            match descriptor.platform {
                Some(platform) if platform.os != "linux" || platform.architecture != architecture() => {
                    // Notes about how an image was built have the platform `unknown`.
                    if platform.os != "unknown" {
                        let name = format!("{}/{}", platform.os, platform.architecture);
                        self.other_platforms.insert(if is_name(&name) { name } else { "others".into() });
                    }
                }
                _ => self.candidates.push(Candidate { digest: descriptor.digest, name }),
            }
        }
        Ok(())
    }

    /// Adds what the index with a digest names, which is read once. Manifests without a name get
    /// that of the index.
    fn add_nested(&mut self, digest: Digest, name: Option<String>, depth: usize) -> Result<(), ImageError> {
        if let Some(digests) = self.read.get(&digest).cloned() {
            for digest in digests {
                self.count()?;
                self.candidates.push(Candidate { digest, name: name.clone() });
            }
            return Ok(());
        }
        let (file, text) = read_blob(self.source, self.limits, &digest)?;
        let before = self.candidates.len();
        self.add(&file, &text, depth)?;
        let new = &mut self.candidates[before..];
        for candidate in &mut *new {
            candidate.name = candidate.name.take().or_else(|| name.clone());
        }
        self.read.insert(digest, new.iter().map(|candidate| candidate.digest.clone()).collect());
        Ok(())
    }
}

/// Whether a text can be the name of an image or platform: it is shown in tables and kept in files,
/// so no control character may be in it.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn describe_docker(source: &Source, limits: &Limits) -> Result<ImageDescription, ImageError> {
    let text = source.read_document(DOCKER_MANIFEST, limits)?;
    let images: Vec<DockerImage> = parse(DOCKER_MANIFEST, &text)?;
    let tags = |image: &DockerImage| image.repo_tags.clone().unwrap_or_default();
    let [image] = &*images else {
        if images.is_empty() {
            return Err(ImageError::NotAnImage(source.path().to_owned()));
        }
        let name = |image| {
            let name = tags(image).into_iter().find(|name| is_name(name));
            name.unwrap_or_else(|| cut(&image.config).escape_debug().to_string())
        };
        return Err(ImageError::Ambiguous(first_names(images.iter().map(name))));
    };
    let config_text = source.read_document(&image.config, limits)?;
    let digest = Digest::of(&config_text);
    // The file is called `HEX.json`, or is among the blobs.
    let stem = image.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
    if let Ok(expected) = format!("sha256:{stem}").parse::<Digest>()
        && expected != digest
    {
        return Err(ImageError::BadDigest { what: cut(&image.config), expected, found: digest });
    }
    let config = checked_config(&image.config, &config_text, limits)?;
    let files = image.layers.iter().map(|file| (file.clone(), None)).collect();
    finish(digest, tags(image), &image.config, config, files)
}

/// The names of the first images of an archive, for messages, and the number of the others.
fn first_names(mut names: impl ExactSizeIterator<Item = String>) -> String {
    let first = names.by_ref().take(MAX_NAMES).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => first,
        others => format!("{first}, and {others} others"),
    }
}

/// Parses a configuration, and checks that it is for this machine.
fn checked_config(file: &str, text: &[u8], limits: &Limits) -> Result<Config, ImageError> {
    let config: Config = parse(file, text)?;
    let process = config.config.iter();
    let words = process.flat_map(|process| [&process.env, &process.entrypoint, &process.cmd]);
    let process_bytes: usize = words.flatten().flatten().map(|word| word.len() + 1).sum();
    if process_bytes > limits.process_bytes {
        let max = limits.process_bytes as u64;
        return Err(ImageError::LimitExceeded { limit: "process_bytes", max, at: None });
    }
    let is_other = |found: &str, wanted: &str| !found.is_empty() && found != wanted;
    if is_other(&config.os, "linux") || is_other(&config.architecture, architecture()) {
        let found = cut(&format!("{}/{}", config.os, config.architecture));
        return Err(ImageError::WrongPlatform { wanted: architecture(), found });
    }
    Ok(config)
}

fn finish(
    digest: Digest,
    mut names: Vec<String>,
    config_file: &str,
    config: Config,
    files: Vec<(String, Option<Digest>)>,
) -> Result<ImageDescription, ImageError> {
    names.retain(|name| is_name(name));
    names.truncate(MAX_NAMES);
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != files.len() {
        let flaw = format!(
            "it has the digests of {} layers, but the manifest names {}",
            diff_ids.len(),
            files.len()
        );
        return Err(ImageError::BadManifest { file: cut(config_file), flaw });
    }
    let layers = files.into_iter().zip(diff_ids);
    let layers = layers.map(|((file, file_digest), diff_id)| Layer { file, file_digest, diff_id }).collect();
    Ok(ImageDescription { digest, names, process: config.config.unwrap_or_default(), layers })
}

/// The file of a blob in an OCI layout.
fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A document among the blobs, with the name of its file. Its digest is checked.
fn read_blob(source: &Source, limits: &Limits, expected: &Digest) -> Result<(String, Vec<u8>), ImageError> {
    let file = blob_name(expected);
    let text = source.read_document(&file, limits)?;
    let found = Digest::of(&text);
    if found != *expected {
        return Err(ImageError::BadDigest { what: file, expected: expected.clone(), found });
    }
    Ok((file, text))
}

fn parse<'t, T: Deserialize<'t>>(file: &str, text: &'t [u8]) -> Result<T, ImageError> {
    serde_json::from_slice(text)
        .map_err(|error| ImageError::BadManifest { file: cut(file), flaw: cut(&error.to_string()) })
}
