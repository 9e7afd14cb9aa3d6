//! The tokens by which servers know this user again, kept in the user's configuration folder.
//!
//! A server that takes guests keeps a guest's sessions under a token that the guest chooses. The
//! file maps the URL of each such server to its token. Only the user can read the file.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use livecode_protocol::SessionId;
use rustix::fs::{FlockOperation, flock};

/// The name of the file in the folder `livecode` of the user's configuration.
const FILE_NAME: &str = "tokens.json";

/// The environment variable with the user's token.
const VARIABLE: &str = "LIVECODE_TOKEN";

type Tokens = BTreeMap<String, String>;

/// The token that the user gives: the content of `file`, or of `LIVECODE_TOKEN`.
///
/// # Errors
/// If the file cannot be read, or what is given cannot be a token.
pub fn of_user(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let (text, place) = match file {
        Some(path) => {
            let place = path.display().to_string();
            (fs::read_to_string(path).with_context(|| format!("cannot read the token file {place}"))?, place)
        }
        None => match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => (text, VARIABLE.to_owned()),
            _ => return Ok(None),
        },
    };
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("{place} holds no token: a token is one line without spaces, such as livecode_…");
    }
    Ok(Some(token.to_owned()))
}

/// The token for the server at `url`, if one is kept.
pub fn find(url: &str) -> anyhow::Result<Option<String>> {
    Ok(read(&folder()?.join(FILE_NAME))?.remove(url))
}

/// The token for the server at `url`; a new one is made and kept if there is none.
pub fn find_or_create(url: &str) -> anyhow::Result<String> {
    let folder = folder()?;
    let path = folder.join(FILE_NAME);
    let cannot_keep = || format!("cannot keep a token for {url} in {}", path.display());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).with_context(cannot_keep)?;
    // Two commands that start at the same time must agree on one token.
    let lock = private_file(&folder.join("tokens.lock")).with_context(cannot_keep)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(io::Error::from).with_context(cannot_keep)?;
    let mut tokens = read(&path)?;
    if let Some(token) = tokens.get(url) {
        return Ok(token.clone());
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| anyhow!("cannot generate a token: {error}"))?;
    let token = SessionId::from_random(random).to_string();
    tokens.insert(url.to_owned(), token.clone());
    write(&folder, &path, &tokens).with_context(cannot_keep)?;
    Ok(token)
}

/// The folder `livecode` in the user's configuration folder (XDG Base Directory Specification).
fn folder() -> anyhow::Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let configuration = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    let configuration =
        configuration.context("neither XDG_CONFIG_HOME nor HOME says where your configuration is")?;
    Ok(configuration.join("livecode"))
}

fn read(path: &Path) -> anyhow::Result<Tokens> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is damaged; remove it to get new tokens", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Tokens::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Replaces the file as a whole, so that no reader sees a part of it.
fn write(folder: &Path, path: &Path, tokens: &Tokens) -> anyhow::Result<()> {
    let mut file = tempfile::Builder::new().prefix(FILE_NAME).tempfile_in(folder)?; // mode 0600
    serde_json::to_writer_pretty(&mut file, tokens)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Opens a file that only the user can read, and creates it if it is missing.
fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}
