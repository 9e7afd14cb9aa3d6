//! All spawners of a server: the default spawner, which serves every runtime, and one spawner for
//! each runtime that has an interpreter zygote. The zygote is a process of its own beside its
//! spawner.

use std::{
    collections::HashMap,
    error::Error as _,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    thread,
    time::Duration,
};

use livecode_protocol::{
    run_spec::SandboxLayout,
    session::CreateSession,
    warm::{InterpreterZygote, SpawnerSettings, WarmPoolSettings},
};

use crate::{
    catalogue::{Catalogue, Runtime},
    config::{Config, LogFormat, Switch},
    metrics::Metrics,
    runner::spawner::{SpawnerClient, SpawnerError, SpawnerLauncher},
    spec::{self, Endpoint, ResolvedSpec},
};

/// All spawners of a server.
pub struct SpawnerSet {
    default_spawner: Arc<SpawnerClient>,
    /// The spawners with an interpreter zygote, by runtime.
    zygote_spawners: RwLock<HashMap<String, ZygoteSpawner>>,
    /// How long a session is tried to be started while a resource is missing.
    start_timeout: Duration,
}

/// A spawner with an interpreter zygote.
struct ZygoteSpawner {
    settings: SpawnerSettings,
    /// The state of the interpreter's file when the zygote was started.
    interpreter: Option<FileState>,
    /// The folders that are mounted in its warm sandboxes ([`Runtime::mount_inodes`]).
    mount_inodes: Vec<Option<(u64, u64)>>,
    /// Set once the interpreter has started, or has failed to.
    client: Arc<OnceLock<Option<Arc<SpawnerClient>>>>,
}

/// How a reload treats zygotes that have not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedZygotes {
    /// It starts them again.
    Retry,
    /// It leaves them, unless something of them has changed.
    Keep,
}

/// The device, inode, size and time of the last change of a file: an upgrade changes one of them.
type FileState = (u64, u64, u64, i64, i64);

impl SpawnerSet {
    /// Starts the default spawner and waits until it is ready. The other spawners become ready in
    /// the background.
    ///
    /// # Errors
    /// If the default spawner does not start, or if no sandbox can be made.
    pub fn new(
        launcher: &SpawnerLauncher,
        catalogue: &Catalogue,
        config: &Config,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, SpawnerError> {
        let warm_runtimes = warm_runtimes(catalogue, config);
        let without_zygote =
            warm_runtimes.iter().filter(|(runtime, _)| runtime.manifest.zygote_interpreter.is_none());
        let pools = without_zygote.map(|(_, resolved)| warm_pool_settings(resolved, config)).collect();
        let default_spawner = SpawnerClient::launch(
            launcher.clone(),
            settings(config, most_common_layout(pools), None),
            metrics.clone(),
        )?;
        let set = Self {
            default_spawner: Arc::new(default_spawner),
            zygote_spawners: RwLock::default(),
            start_timeout: Duration::from_millis(config.start_timeout_ms),
        };
        set.reload(launcher, catalogue, config, metrics, FailedZygotes::Retry);
        Ok(set)
    }

    /// Starts the spawners with an interpreter zygote that the runtimes of `catalogue` need and
    /// that do not run already, and lets go of those that no runtime needs any more. They end once
    /// no session is being started by them; the sessions that they have started go on.
    ///
    /// The default spawner stays, since what it keeps ready only makes a start faster, but see
    /// [`Self::renew_default`].
    pub fn reload(
        &self,
        launcher: &SpawnerLauncher,
        catalogue: &Catalogue,
        config: &Config,
        metrics: &Arc<Metrics>,
        failed: FailedZygotes,
    ) {
        let mut current = self.zygote_spawners.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *current);
        for (runtime, resolved) in warm_runtimes(catalogue, config) {
            let Some(zygote) = interpreter_zygote(runtime, &resolved) else { continue };
            let interpreter = file_state(&zygote.interpreter);
            let settings = settings(config, Some(warm_pool_settings(&resolved, config)), Some(zygote));
            let spawner = match before.remove(&runtime.name) {
                Some(same)
                    if same.settings == settings
                        && same.interpreter == interpreter
                        && same.mount_inodes == runtime.mount_inodes
                        && (failed == FailedZygotes::Keep || !same.has_failed()) =>
                {
                    same
                }
                _ => {
                    let (client, mount_inodes) = (Arc::default(), runtime.mount_inodes.clone());
                    let spawner = ZygoteSpawner { settings, interpreter, mount_inodes, client };
                    spawner.start(&runtime.name, launcher.clone(), metrics.clone());
                    spawner
                }
            };
            current.insert(runtime.name.clone(), spawner);
        }
    }

    /// Starts the default spawner again, because a folder that it may have mounted in warm
    /// sandboxes was replaced by another one at the same path.
    ///
    /// # Errors
    /// If the process does not start. The old one then stays.
    pub fn renew_default(&self) -> io::Result<()> {
        self.default_spawner.renew()
    }

    /// A set that consists of the default spawner alone.
    pub fn with_default_only(default_spawner: Arc<SpawnerClient>) -> Self {
        Self { default_spawner, zygote_spawners: RwLock::default(), start_timeout: Duration::ZERO }
    }

    /// How long a session is tried to be started while a resource is missing.
    pub fn start_timeout(&self) -> Duration {
        self.start_timeout
    }

    /// The spawner that serves every runtime.
    pub fn default_spawner(&self) -> &Arc<SpawnerClient> {
        &self.default_spawner
    }

    /// The preferred spawner for programs of this runtime in sandboxes of this layout.
    pub fn spawner_for(&self, runtime: &str, layout: &SandboxLayout) -> Arc<SpawnerClient> {
        let zygote_spawners = self.zygote_spawners.read().unwrap_or_else(PoisonError::into_inner);
        let spawner = zygote_spawners.get(runtime).and_then(|spawner| spawner.client.get()?.as_ref());
        spawner.filter(|spawner| spawner.is_usual(layout)).unwrap_or(&self.default_spawner).clone()
    }
}

impl ZygoteSpawner {
    fn has_failed(&self) -> bool {
        self.client.get().is_some_and(Option::is_none)
    }

    /// Starts the zygote and the spawner, and waits in the background until they are ready.
    fn start(&self, runtime: &str, launcher: SpawnerLauncher, metrics: Arc<Metrics>) {
        let (client, settings, name) = (self.client.clone(), self.settings.clone(), runtime.to_owned());
        // The process is started here. When the server starts, it has no client yet: until its
        // execve(2) the child holds every descriptor that the server has open.
        let process = launcher(&settings).map_err(SpawnerError::Start);
        thread::spawn(move || {
            let spawner =
                process.and_then(|process| SpawnerClient::from_process(process, launcher, settings, metrics));
            match spawner {
                Ok(spawner) => drop(client.set(Some(Arc::new(spawner)))),
                Err(error) => {
                    let _ = client.set(None);
                    let cause = error.source().map(ToString::to_string);
                    tracing::warn!(
                        runtime = name,
                        %error,
                        cause,
                        "there is no interpreter zygote; programs of this runtime use the default spawner"
                    );
                }
            }
        });
    }
}

/// The runtimes that may have sandboxes made ahead, each with its minimal spec.
fn warm_runtimes<'c>(catalogue: &'c Catalogue, config: &Config) -> Vec<(&'c Runtime, ResolvedSpec)> {
    let is_warm = config.warm == Switch::On && config.warm_sandboxes_max > 0;
    catalogue
        .iter()
        .filter(|runtime| is_warm && runtime.needs.is_none())
        .filter_map(|runtime| Some((runtime, minimal_spec(runtime, catalogue, config)?)))
        .collect()
}

fn settings(
    config: &Config,
    warm: Option<WarmPoolSettings>,
    interpreter_zygote: Option<InterpreterZygote>,
) -> SpawnerSettings {
    SpawnerSettings {
        data_dir: config.data_dir.clone(),
        warm,
        interpreter_zygote,
        is_log_json: config.log_format == LogFormat::Json,
        is_order_exact: config.exact_order == Switch::On,
    }
}

/// The state of the file that a path leads to; `None` if there is none.
fn file_state(path: &Path) -> Option<FileState> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
}

/// The resolved spec of an empty program that asks for nothing beyond the defaults.
fn minimal_spec(runtime: &Runtime, catalogue: &Catalogue, config: &Config) -> Option<ResolvedSpec> {
    let request = CreateSession {
        runtime: Some(runtime.name.clone()),
        code: Some(String::new()),
        ..CreateSession::default()
    };
    spec::resolve(&request, catalogue, &config.limits, Endpoint::Sessions).ok()
}

/// The settings of a pool whose sandboxes fit this spec.
fn warm_pool_settings(resolved: &ResolvedSpec, config: &Config) -> WarmPoolSettings {
    let first_step = resolved.compile.first().unwrap_or(&resolved.run);
    WarmPoolSettings {
        layout: resolved.limits.layout(&resolved.mounts, resolved.root.as_deref()),
        limits: first_step.limits,
        cpu_millicores: resolved.limits.cpu_millicores,
        sandboxes_max: u32::try_from(config.warm_sandboxes_max).unwrap_or(u32::MAX),
        other_sandboxes_max: u32::try_from(config.warm_other_sandboxes_max).unwrap_or(u32::MAX),
        layout_idle_ms: config.warm_layout_idle_ms,
    }
}

/// The settings whose layout fits the most runtimes; the first of these if there are several.
fn most_common_layout(all: Vec<WarmPoolSettings>) -> Option<WarmPoolSettings> {
    let count =
        |one: &WarmPoolSettings| all.iter().filter(|other| other.layout.has_same_files(&one.layout)).count();
    all.iter().rev().max_by_key(|one| count(one)).cloned()
}

/// The interpreter zygote of a runtime whose manifest names one.
fn interpreter_zygote(runtime: &Runtime, resolved: &ResolvedSpec) -> Option<InterpreterZygote> {
    Some(InterpreterZygote {
        interpreter: runtime.manifest.zygote_interpreter.clone()?,
        source: runtime.manifest.file.to_string(),
        argv: resolved.run.argv.clone(),
        env: resolved.env.clone(),
    })
}
