//! Where the keys come from, and when they are read again.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedMutexGuard, watch};
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

use super::key::{JwksError, Key, KeyFileError, KeySet};
use crate::{
    auth::bucket::{Bucket, Rate},
    config::JwksSource,
};

/// How often a JWKS is fetched because a JWT names a key that is not known, or because the keys are
/// old. Strangers can name any key, so this bounds what they make the server do to the issuer.
const FETCH_RATE: Rate = Rate { burst: 3.0, per_s: 1.0 / 30.0 };
/// How long one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest JWKS, in bytes.
const JWKS_BYTES_MAX: u64 = 512 * 1024;

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// The key file cannot be read.
    #[error("a setting is wrong: jwt_key_file: {0} cannot be read")]
    ReadKey(PathBuf, #[source] io::Error),
    /// The key file has no key.
    #[error("a setting is wrong: jwt_key_file: {0}")]
    Key(PathBuf, #[source] KeyFileError),
    /// The JWKS cannot be read from its file.
    #[error("a setting is wrong: jwt_jwks: {0} cannot be read")]
    ReadJwks(PathBuf, #[source] io::Error),
    /// The JWKS cannot be fetched.
    #[error("the keys cannot be fetched from {0}")]
    Fetch(String, #[source] Box<ureq::Error>),
    /// The issuer does not answer with a JWKS.
    #[error("{0} answers with status {1} and not 200; redirections are not followed")]
    Status(String, u16),
    /// The text that was read is not a JWKS.
    #[error("{0} has no keys for this server")]
    Jwks(String, #[source] JwksError),
    /// The thread that fetches has failed.
    #[error("the thread that fetches keys has failed")]
    Thread(#[source] tokio::task::JoinError),
}

/// The keys of an issuer, kept up to date.
#[derive(Clone, Debug)]
pub struct Keys(Arc<State>);

#[derive(Debug)]
struct State {
    keys: watch::Sender<Arc<KeySet>>,
    /// `None` for a key file, which is read once.
    source: Option<JwksSource>,
    /// How old the keys may be.
    max_age: Duration,
    read: Mutex<Instant>,
    /// Counts the fetches that have ended.
    fetches: AtomicU64,
    /// Held while keys are fetched, so that there is one fetch at a time.
    bucket: Arc<tokio::sync::Mutex<Bucket>>,
}

impl Keys {
    /// The key of a file.
    pub fn from_key_file(path: &Path) -> Result<Self, KeySourceError> {
        let content = std::fs::read(path).map_err(|error| KeySourceError::ReadKey(path.to_owned(), error))?;
        let key = Key::from_file(&content).map_err(|error| KeySourceError::Key(path.to_owned(), error))?;
        Ok(Self::new(KeySet::One(key), None, Duration::MAX))
    }

    /// The keys of a JWKS. An issuer that does not answer now is asked again when a JWT comes: it
    /// may be starting at the same time as this server.
    pub async fn from_jwks(source: JwksSource, max_age: Duration) -> Result<Self, KeySourceError> {
        let keys = match (&source, read(source.clone()).await) {
            (_, Ok(keys)) => keys,
            (JwksSource::File(_), Err(error)) => return Err(error),
            (JwksSource::Url(_), Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "no JWT is accepted before its issuer answers"
                );
                KeySet::Many(vec![])
            }
        };
        Ok(Self::new(keys, Some(source), max_age))
    }

    pub(super) fn new(keys: KeySet, source: Option<JwksSource>, max_age: Duration) -> Self {
        let now = Instant::now();
        Self(Arc::new(State {
            keys: watch::Sender::new(Arc::new(keys)),
            source,
            max_age,
            read: Mutex::new(now),
            fetches: AtomicU64::new(0),
            bucket: Arc::new(tokio::sync::Mutex::new(Bucket::new(FETCH_RATE, now))),
        }))
    }

    /// The keys that are known now.
    pub fn current(&self) -> Arc<KeySet> {
        self.0.keys.borrow().clone()
    }

    /// Waits until the key with this fingerprint is not among the keys any more.
    pub async fn removed(&self, fingerprint: &str) {
        let mut keys = self.0.keys.subscribe();
        if keys.wait_for(|keys| !keys.has(fingerprint)).await.is_err() {
            std::future::pending().await
        }
    }

    /// Fetches the keys in the background if they are old. Nobody waits for it.
    pub fn refresh_if_old(&self) {
        let State { source, max_age, bucket, .. } = &*self.0;
        let is_old = || self.0.read.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > *max_age;
        if source.is_some()
            && is_old()
            && let Ok(bucket) = bucket.clone().try_lock_owned()
        {
            self.fetch(bucket);
        }
    }

    /// Fetches the keys again, because one is missing. Returns whether they were fetched since this
    /// was called; if not, there were too many fetches lately. A fetch goes on if the caller does not
    /// wait for it any more.
    pub async fn fetch_again(&self) -> bool {
        if self.0.source.is_none() {
            return false;
        }
        let before = self.0.fetches.load(Ordering::Acquire);
        let bucket = self.0.bucket.clone().lock_owned().await;
        if self.0.fetches.load(Ordering::Acquire) != before {
            // Another caller has fetched them while this one waited.
            return true;
        }
        match self.fetch(bucket) {
            Some(fetch) => fetch.await.is_ok(),
            None => false,
        }
    }

    /// Starts a fetch unless there were too many.
    fn fetch(&self, mut bucket: OwnedMutexGuard<Bucket>) -> Option<tokio::task::JoinHandle<()>> {
        let source = self.0.source.clone()?;
        if !bucket.try_take(Instant::now()) {
            return None;
        }
        let state = self.0.clone();
        Some(tokio::spawn(async move {
            match read(source).await {
                Ok(keys) => {
                    tracing::info!(keys = keys.keys().len(), "the keys of JWTs were read again");
                    state.keys.send_replace(Arc::new(keys));
                    *state.read.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the keys of JWTs cannot be read again, so those from before are used"
                ),
            }
            state.fetches.fetch_add(1, Ordering::Release);
            drop(bucket);
        }))
    }
}

/// Reads the keys on a thread for blocking work.
async fn read(source: JwksSource) -> Result<KeySet, KeySourceError> {
    let read = move || {
        let (name, text) = match source {
            JwksSource::File(path) => {
                let name = path.display().to_string();
                (name, read_file(&path).map_err(|error| KeySourceError::ReadJwks(path, error))?)
            }
            JwksSource::Url(url) => {
                let text = fetch(&url)?;
                (url, text)
            }
        };
        KeySet::from_jwks(&text).map_err(|error| KeySourceError::Jwks(name, error))
    };
    tokio::task::spawn_blocking(read).await.map_err(KeySourceError::Thread)?
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = vec![];
    let file = std::fs::File::open(path)?;
    io::Read::read_to_end(&mut io::Read::take(file, JWKS_BYTES_MAX), &mut text)?;
    Ok(text)
}

/// Fetches a document. Certificates are judged by those that this machine trusts, which
/// SSL_CERT_FILE can change.
fn fetch(url: &str) -> Result<Vec<u8>, KeySourceError> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(FETCH_TIMEOUT));
    // A machine that may not connect to others itself has a proxy in its environment. It is no use
    // for an issuer on this machine, to which alone http: is allowed.
    let config = match url.starts_with("https:") {
        true => {
            let trusted = rustls_native_certs::load_native_certs().certs;
            let certificates: Vec<_> =
                trusted.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
            let roots = RootCerts::new_with_certs(&certificates);
            config.tls_config(TlsConfig::builder().root_certs(roots).build())
        }
        false => config.proxy(None),
    };
    let failed = |error| KeySourceError::Fetch(url.to_owned(), Box::new(error));
    let agent: Agent = config.build().into();
    let mut response = agent.get(url).header("accept", "application/json").call().map_err(failed)?;
    match response.status().as_u16() {
        200 => response.body_mut().with_config().limit(JWKS_BYTES_MAX).read_to_vec().map_err(failed),
        status => Err(KeySourceError::Status(url.to_owned(), status)),
    }
}
