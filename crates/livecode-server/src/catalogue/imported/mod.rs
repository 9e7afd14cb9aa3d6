//! Runtimes that were made of imported images: each is a folder with a `runtime.toml` below
//! `runtimes` in the data directory. The file is written once, and belongs to the operator then.

mod adapt;
mod error;

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use livecode_image::{Digest, ImportedImage, LockedStore, Removal};
use livecode_protocol::session_folder::SESSIONS_FOLDER;
use toml::{Table, Value};

use self::adapt::make_toml;
pub use self::{
    adapt::{RuntimeToml, Template},
    error::ImportedRuntimeError,
};
use crate::catalogue::{
    Catalogue,
    extends::{self, Base, parse_extended},
    manifest::Manifest,
    runtime::Runtime,
    unpack::{SUPPORT_FOLDER, built_in_manifests},
};
use crate::sessions::waiting_roots::roots_of_waiting_sessions;

/// The folder in the data directory.
const FOLDER: &str = "runtimes";
const MANIFEST: &str = "runtime.toml";
/// The name of an earlier `runtime.toml` that an import was told to replace.
const REPLACED_MANIFEST: &str = "runtime.toml.old";
/// The most replaced files that are kept of one runtime.
const REPLACED_MANIFESTS_MAX: usize = 100;
/// The longest name of a runtime, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The folder of the imported runtimes.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

/// The imported runtimes of a data directory, beside the runtimes of other origin.
#[derive(Debug)]
pub struct ImportedRuntimes {
    data_dir: PathBuf,
    folder: PathBuf,
    operator_folder: Option<PathBuf>,
}

impl ImportedRuntimes {
    /// The runtimes of a data directory, and those of the operator's folder.
    pub fn new(data_dir: &Path, operator_folder: Option<&Path>) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            folder: folder(data_dir),
            operator_folder: operator_folder.map(Path::to_owned),
        }
    }

    /// Checks that a runtime may have this name.
    ///
    /// # Errors
    /// If the name is not allowed, a runtime in the operator's folder has it, or any other runtime
    /// but a built-in one has it as an alias.
    pub fn check_name(&self, name: &str) -> Result<(), ImportedRuntimeError> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.+#".contains(&byte);
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_allowed);
        let (base, version) =
            name.split_once('@').map_or((name, None), |(base, version)| (base, Some(version)));
        let is_name = is_part(base) && version.is_none_or(is_part);
        if name.starts_with('.') || name.len() > MAX_NAME_BYTES || !is_name {
            return Err(ImportedRuntimeError::InvalidName(name.to_owned()));
        }
        // The operator's runtimes come over the imported ones.
        for folder in self.operator_folder.iter().chain([&self.folder]) {
            let is_taken = |(other, text): &(String, String)| {
                let is_own = folder == &self.folder;
                (other == name && !is_own) || (other != name && has_alias(text, name))
            };
            if list(folder).iter().any(is_taken) {
                let (name, folder) = (name.to_owned(), folder.clone());
                return Err(ImportedRuntimeError::NameTaken { name, folder });
            }
        }
        Ok(())
    }

    /// The parts that the `runtime.toml` of `name` is to be made from. `from` is the name of a
    /// runtime, if the operator has chosen one.
    ///
    /// # Errors
    /// If there is no such runtime, or `name` has a `runtime.toml` that an import could not change
    /// without loss.
    pub fn template(&self, name: &str, from: Option<&str>) -> Result<Template, ImportedRuntimeError> {
        if from.is_none()
            && let Some(earlier) = self.earlier(name)?
        {
            return Ok(earlier);
        }
        let base = name.split_once('@').map_or(name, |(base, _)| base);
        let wanted = from.unwrap_or(base);
        let operator = self.operator_folder.as_deref().map_or_else(Vec::new, list);
        let own = list(&self.folder);
        // A file that only hides a runtime has no commands.
        let all: Vec<(String, String)> = operator
            .into_iter()
            .chain(built_in_manifests())
            .chain(own)
            .filter(|(_, text)| !is_hidden(text))
            .collect();
        let by_name = all.iter().find(|(name, _)| name == wanted);
        match by_name.or_else(|| all.iter().find(|(_, text)| has_alias(text, wanted))) {
            Some((_, text)) => self.with_base(text).map(Template::Runtime),
            None if from.is_none() => Ok(Template::Image),
            None => {
                let names: Vec<&str> = all.iter().map(|(name, _)| &**name).collect();
                Err(ImportedRuntimeError::NoTemplate(wanted.to_owned(), names.join(", ")))
            }
        }
    }

    /// The `runtime.toml` that `name` has from an earlier import, in which the digest of the image is
    /// to be changed; `None` if it has none.
    fn earlier(&self, name: &str) -> Result<Option<Template>, ImportedRuntimeError> {
        let path = self.folder.join(name).join(MANIFEST);
        let mistaken = |mistake: String| ImportedRuntimeError::MistakenRuntime(path.clone(), mistake);
        let text = match fs::read_to_string(&path) {
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(mistaken(error.to_string())),
            Ok(text) => text,
        };
        let table: Table = toml::from_str(&text).map_err(|error| mistaken(error.to_string()))?;
        match image_in(&table) {
            // Only so can the digest be found in the text.
            Some(digest) if text.contains(&digest.to_string()) => Ok(Some(Template::Earlier(text, digest))),
            _ => {
                Err(mistaken("it names no imported image, as in `[root]` `image = \"sha256:…\"`".to_owned()))
            }
        }
    }

    /// The text of a `runtime.toml` with the keys of the one that it extends, if it does.
    fn with_base(&self, text: &str) -> Result<String, ImportedRuntimeError> {
        let parse = |text: &str| {
            let parsed = toml::from_str::<Table>(text);
            parsed.map_err(|error| ImportedRuntimeError::InvalidTemplate(error.to_string()))
        };
        let own = parse(text)?;
        match self.base_of(&own, list(&self.folder))? {
            None => Ok(text.to_owned()),
            Some((_, base)) => Ok(extends::merge(parse(&base)?, own).to_string()),
        }
    }

    /// The folder and the `runtime.toml` of the runtime that one with these keys extends, if any: one
    /// of the `imported`, or a built-in one.
    fn base_of(
        &self,
        own: &Table,
        imported: Vec<(String, String)>,
    ) -> Result<Option<(PathBuf, String)>, ImportedRuntimeError> {
        let Some(name) = own.get("extends").and_then(Value::as_str) else { return Ok(None) };
        let support = self.data_dir.join(SUPPORT_FOLDER);
        let imported = imported.into_iter().map(|(name, text)| (self.folder.join(&name), name, text));
        let built_in = built_in_manifests().map(|(name, text)| (support.join(&name), name, text));
        let found = imported.chain(built_in).find(|(_, other, _)| other == name);
        // As in `layers`, a base does not extend another one.
        let is_base =
            |text: &str| toml::from_str(text).is_ok_and(|base: Table| !base.contains_key("extends"));
        match found {
            Some((folder, _, text)) if is_base(&text) => Ok(Some((folder, text))),
            _ => {
                let text = format!("`extends`: there is no runtime {name:?} that does not itself extend one");
                Err(ImportedRuntimeError::InvalidTemplate(text))
            }
        }
    }

    /// Makes the `runtime.toml` of the runtime `name` for an image whose root is at `root`. It is
    /// checked as the server checks it, which would not start otherwise.
    ///
    /// # Errors
    /// If the template is not valid, or nothing says how a program is run.
    pub fn make_toml(
        &self,
        name: &str,
        image: &ImportedImage,
        root: &Path,
        template: &Template,
    ) -> Result<RuntimeToml, ImportedRuntimeError> {
        let toml = make_toml(name, image, root, template)?;
        let invalid = ImportedRuntimeError::InvalidTemplate;
        let table: Table = toml::from_str(&toml.text).map_err(|error| invalid(error.to_string()))?;
        // Imported runtimes extend built-in ones only.
        let manifest = match self.base_of(&table, vec![])? {
            None => Manifest::parse(&toml.text),
            Some((folder, base)) => parse_extended(&toml.text, &Base { toml: &base, folder: &folder }),
        };
        Runtime::new(&self.folder.join(name), manifest.map_err(invalid)?, &[], &self.data_dir)
            .map_err(|mistake| invalid(mistake.in_toml(&toml.text)))?;
        Ok(toml)
    }

    /// Writes the `runtime.toml` of a runtime, whole or not at all. Returns its path.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, ImportedRuntimeError> {
        let folder = self.folder.join(name);
        let (path, partial) = (folder.join(MANIFEST), folder.join(".runtime.toml"));
        let write = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            fs::write(&partial, text)?;
            fs::File::open(&partial)?.sync_all()?;
            fs::rename(&partial, &path)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&partial);
            let _ = fs::remove_dir(&folder); // unless it has a runtime.toml already
            ImportedRuntimeError::Io(path.clone(), error)
        })?;
        Ok(path)
    }

    /// Keeps a copy of the `runtime.toml` of a runtime that is to be written anew. Returns its path;
    /// `None` if there is nothing to be kept.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn keep_earlier(&self, name: &str) -> Result<Option<PathBuf>, ImportedRuntimeError> {
        let folder = self.folder.join(name);
        let path = folder.join(MANIFEST);
        let numbered = (2..=REPLACED_MANIFESTS_MAX).map(|number| format!("{REPLACED_MANIFEST}.{number}"));
        let mut names = std::iter::once(REPLACED_MANIFEST.to_owned()).chain(numbered);
        let is_free = |name: &String| !folder.join(name).exists();
        // After so many, the latest replaces the last one.
        let kept = names.clone().find(is_free).or_else(|| names.by_ref().last()).unwrap_or_default();
        let kept = folder.join(kept);
        match fs::copy(&path, &kept) {
            Ok(_) => Ok(Some(kept)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(ImportedRuntimeError::Io(path, error)),
        }
    }

    /// Checks that there is a runtime of this name, be it what an interrupted import has left of it.
    ///
    /// # Errors
    /// If there is none.
    pub fn check_exists(&self, name: &str) -> Result<(), ImportedRuntimeError> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.path().is_dir());
        let mut own: Vec<_> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        own.sort();
        if own.iter().any(|own| own == name) {
            return Ok(());
        }
        let names = if own.is_empty() { "none".to_owned() } else { own.join(", ") };
        Err(ImportedRuntimeError::NoSuchRuntime(name.to_owned(), names))
    }

    /// Removes a runtime.
    ///
    /// # Errors
    /// If there is none of this name, it cannot be removed, or it is unknown which images the others
    /// name.
    pub fn remove(&self, name: &str) -> Result<(), ImportedRuntimeError> {
        self.check_exists(name)?;
        self.texts()?;
        let path = self.folder.join(name);
        fs::remove_dir_all(&path).map_err(|error| ImportedRuntimeError::Io(path, error))
    }

    /// Checks that a server could start if the runtime `name` had the `runtime.toml` `new`, or were
    /// removed (`None`): runtimes of the operator may extend it.
    ///
    /// # Errors
    /// The mistake that would keep the server from starting.
    pub fn check_change(&self, name: &str, new: Option<&str>) -> Result<(), ImportedRuntimeError> {
        Catalogue::check_change(&self.data_dir, self.operator_folder.as_deref(), name, new)
            .map_err(|error| ImportedRuntimeError::BreaksRuntimes(with_causes(&error)))
    }

    /// Removes the images that no runtime names. If one `runtime.toml` cannot be read, none is
    /// removed, since it may name any of them. Those of sessions that wait to run count as used.
    ///
    /// # Errors
    /// If a `runtime.toml`, the operator's folder or a waiting session cannot be read, or an image
    /// cannot be removed.
    pub fn remove_unnamed_images(&self, images: &LockedStore) -> Result<Removal, ImportedRuntimeError> {
        let texts = self.texts()?;
        let parsed: Vec<_> = texts.iter().filter_map(|text| image_in(&toml::from_str(text).ok()?)).collect();
        // A file that is malformed now may be corrected later.
        let is_named =
            |digest: &Digest| texts.iter().any(|text| text.contains(digest.hex())) || parsed.contains(digest);
        let awaited = roots_of_waiting_sessions(&self.data_dir).map_err(|error| {
            ImportedRuntimeError::SessionsUnread(self.data_dir.join(SESSIONS_FOLDER), error)
        })?;
        let is_awaited = |digest: &Digest| {
            let folder = |root: &PathBuf| Some(root.parent()?.file_name()? == digest.hex());
            awaited.iter().filter_map(folder).any(|is_same| is_same)
        };
        images.remove_unwanted(is_named, is_awaited).map_err(ImportedRuntimeError::Images)
    }

    /// The text of every `runtime.toml`, but of the built-in ones.
    fn texts(&self) -> Result<Vec<String>, ImportedRuntimeError> {
        let unread = |path: &Path, error| ImportedRuntimeError::RuntimesUnread(path.to_owned(), error);
        let mut texts = vec![];
        for folder in self.operator_folder.iter().chain([&self.folder]) {
            let entries = match fs::read_dir(folder) {
                // The first import makes the folder. That of the operator may be on a disk that is
                // not mounted now.
                Err(error) if error.kind() == io::ErrorKind::NotFound && folder == &self.folder => continue,
                other => other.map_err(|error| unread(folder, error))?,
            };
            for entry in entries {
                let path = entry.map_err(|error| unread(folder, error))?.path().join(MANIFEST);
                match fs::read(&path) {
                    Ok(text) => texts.push(String::from_utf8_lossy(&text).into_owned()),
                    Err(error) if is_missing(&error) => {}
                    Err(error) => return Err(unread(&path, error)),
                }
            }
        }
        Ok(texts)
    }
}

/// Whether an error means that there is no such file, nor a folder in which it could be.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The text of an error with those of its causes.
fn with_causes(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Whether a `runtime.toml` hides the runtime of its name.
fn is_hidden(text: &str) -> bool {
    let table: Table = toml::from_str(text).unwrap_or_default();
    table.get("hidden").and_then(Value::as_bool).unwrap_or(false)
}

/// Whether a `runtime.toml` has an alias.
fn has_alias(text: &str, alias: &str) -> bool {
    let table: Table = toml::from_str(text).unwrap_or_default();
    let aliases = table.get("aliases").and_then(Value::as_array);
    aliases.into_iter().flatten().any(|other| other.as_str() == Some(alias))
}

/// The runtimes in a folder: the name of each, and its `runtime.toml`.
fn list(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join(MANIFEST)).ok()?;
            Some((entry.file_name().into_string().ok()?, text))
        })
        .collect();
    found.sort();
    found
}

/// The digest of the image that a `runtime.toml` names.
fn image_in(table: &Table) -> Option<Digest> {
    table.get("root")?.get("image")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{adapt::tests::image, *};

    #[test]
    fn a_name_decides_what_the_runtime_is_made_from() {
        let data = tempfile::tempdir().unwrap();
        let runtimes = ImportedRuntimes::new(data.path(), None);
        let long = "x".repeat(65);
        for name in ["", "A", "a/b", "..", ".hidden", "a\n", "a@", "@1", "a@b@c", &long] {
            assert!(matches!(runtimes.check_name(name), Err(ImportedRuntimeError::InvalidName(_))), "{name}");
        }
        assert!(matches!(runtimes.template("python@3.13", None), Ok(Template::Runtime(_))));
        assert!(matches!(runtimes.template("cobol", None), Ok(Template::Image)));
        assert!(matches!(runtimes.template("x", Some("cobol")), Err(ImportedRuntimeError::NoTemplate(..))));
        let Template::Runtime(text) = runtimes.template("golang@1.22", None).unwrap() else { panic!() };
        assert!(text.contains("title = \"Go\""), "{text}");
        let first = make_toml("cobol", &image(&[], &["cobc"]), data.path(), &Template::Image).unwrap();
        assert!(matches!(
            make_toml("cobol", &image(&[], &[]), data.path(), &Template::Image),
            Err(ImportedRuntimeError::NoCommand)
        ));
        runtimes.write("cobol", &format!("{}# a note\n", first.text)).unwrap();
        let mut other = image(&[], &["other"]);
        other.digest = Digest::of(b"other");
        let template = runtimes.template("cobol", None).unwrap();
        let second = make_toml("cobol", &other, data.path(), &template).unwrap();
        assert!(second.text.ends_with("# a note\n") && second.text.contains("cobc"));
        assert_eq!(image_in(&toml::from_str(&second.text).unwrap()), Some(Digest::of(b"other")));
        runtimes.remove("cobol").unwrap();
        assert!(matches!(runtimes.remove("cobol"), Err(ImportedRuntimeError::NoSuchRuntime(..))));
    }

    /// Makes an image in a data directory, without unpacking any. Returns its root.
    fn make_image(data: &Path, digest: &Digest) -> PathBuf {
        let root = livecode_image::ImageStore::new(data).root(digest);
        fs::create_dir_all(&root).unwrap();
        root
    }

    #[test]
    fn an_image_is_kept_while_any_runtime_may_name_it() {
        let (data, operator) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let digests = [b"own", b"ops", b"old"].map(|name| Digest::of(name));
        let roots = digests.clone().map(|digest| make_image(data.path(), &digest));
        let runtimes = ImportedRuntimes::new(data.path(), Some(operator.path()));
        let images = livecode_image::ImageStore::new(data.path()).lock().unwrap();
        runtimes.write("own", &format!("[root]\nimage = '{}'\n", digests[0])).unwrap();
        let folder = operator.path().join("ops");
        fs::create_dir(&folder).unwrap();
        let toml = folder.join(MANIFEST);
        fs::write(&toml, [format!("image = '{}' # ", digests[1]).as_bytes(), b"\xff\n"].concat()).unwrap();
        // A file that cannot be read may name an image.
        let unreadable = operator.path().join("loop");
        std::os::unix::fs::symlink("loop", &unreadable).unwrap();
        for result in [runtimes.remove_unnamed_images(&images).map(drop), runtimes.remove("own")] {
            assert!(matches!(result, Err(ImportedRuntimeError::RuntimesUnread(..))), "{result:?}");
        }
        let elsewhere = ImportedRuntimes::new(data.path(), Some(&operator.path().join("missing")));
        let result = elsewhere.remove_unnamed_images(&images);
        assert!(matches!(result, Err(ImportedRuntimeError::RuntimesUnread(..))), "{result:?}");
        assert!(roots.iter().all(|root| root.exists()));
        fs::remove_file(unreadable).unwrap();
        assert_eq!(runtimes.remove_unnamed_images(&images).unwrap().removed, digests[2..]);
        runtimes.remove("own").unwrap();
        assert_eq!(runtimes.remove_unnamed_images(&images).unwrap().removed, digests[..1]);
        assert!(roots[1].exists());
    }

    #[test]
    fn a_template_may_extend_another_runtime() {
        let (data, operator) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = operator.path().join("own");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(MANIFEST), "extends = 'python'\ntitle = 'Own'\n[env]\nA = '1'\n").unwrap();
        let runtimes = ImportedRuntimes::new(data.path(), Some(operator.path()));
        let template = runtimes.template("own@1", None).unwrap();
        let image = image(&["PATH=/bin"], &[]);
        let toml = runtimes.make_toml("own@1", &image, data.path(), &template).unwrap();
        let manifest = Manifest::parse(&toml.text).unwrap();
        assert!(manifest.extends.is_none() && manifest.zygote_interpreter.is_none(), "{}", toml.text);
        assert_eq!((&*manifest.title, &*manifest.env["A"]), ("Own (1)", "1"));
        assert!(manifest.run.contains(&"{source}".to_owned()));
        // The server starts with what was written.
        runtimes.write("own@1", &toml.text).unwrap();
        assert!(crate::catalogue::Catalogue::load(data.path(), None).unwrap().get("own@1").is_some());
        // The operator may have it extend another one later.
        let text = format!("extends = 'python'\n[root]\nimage = '{}'\n", image.digest);
        let earlier = Template::Earlier(text, image.digest.clone());
        let toml = runtimes.make_toml("own@1", &image, data.path(), &earlier).unwrap();
        runtimes.write("own@1", &toml.text).unwrap();
        assert!(crate::catalogue::Catalogue::load(data.path(), None).unwrap().get("own@1").is_some());
        let wrong = Template::Earlier("extends = 'cobol'\n".to_owned(), image.digest.clone());
        let error = runtimes.make_toml("own@1", &image, data.path(), &wrong).unwrap_err();
        assert!(error.to_string().contains("cobol"), "{error}");
    }

    #[test]
    fn a_runtime_that_the_operator_hides_can_be_a_template() {
        let (data, operator) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = operator.path().join("python");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(MANIFEST), "hidden = true\n").unwrap();
        let runtimes = ImportedRuntimes::new(data.path(), Some(operator.path()));
        let template = runtimes.template("python@3.13", None).unwrap();
        let toml = runtimes.make_toml("python@3.13", &image(&[], &[]), data.path(), &template).unwrap();
        assert_eq!(Manifest::parse(&toml.text).unwrap().title, "Python (3.13)");
    }

    #[test]
    fn a_file_that_an_import_could_not_change_without_loss_is_no_template() {
        let data = tempfile::tempdir().unwrap();
        let runtimes = ImportedRuntimes::new(data.path(), None);
        let digest = Digest::of(b"image").to_string();
        let escaped = digest.replace("sha256", "sha\\u0032\\u0035\\u0036");
        for (text, word) in [
            ("title = \n".to_owned(), "line 1"),
            ("hidden = true\n".to_owned(), "no imported image"),
            ("[root]\nimage = '/srv/root'\n".to_owned(), "no imported image"),
            (format!("[root]\nimage = \"{escaped}\"\n"), "no imported image"),
        ] {
            runtimes.write("own", &text).unwrap();
            let error = runtimes.template("own", None).unwrap_err();
            assert!(matches!(error, ImportedRuntimeError::MistakenRuntime(..)), "{text}: {error}");
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
        fs::write(data.path().join("runtimes/own/runtime.toml"), b"# \xff\n").unwrap();
        assert!(matches!(runtimes.template("own", None), Err(ImportedRuntimeError::MistakenRuntime(..))));
        runtimes.remove("own").unwrap();
        // The digest counts as named however it is written.
        runtimes.write("own", &format!("[root]\nimage = \"{escaped}\"\n")).unwrap();
        let root = make_image(data.path(), &Digest::of(b"image"));
        let images = livecode_image::ImageStore::new(data.path()).lock().unwrap();
        assert_eq!(runtimes.remove_unnamed_images(&images).unwrap(), Removal::default());
        assert!(root.exists());
    }

    #[test]
    fn a_name_is_not_an_alias_of_another_imported_runtime() {
        let data = tempfile::tempdir().unwrap();
        let runtimes = ImportedRuntimes::new(data.path(), None);
        runtimes.write("a", "aliases = ['b', 'a']\n").unwrap();
        assert!(matches!(runtimes.check_name("b"), Err(ImportedRuntimeError::NameTaken { .. })));
        runtimes.check_name("a").unwrap();
    }
}
