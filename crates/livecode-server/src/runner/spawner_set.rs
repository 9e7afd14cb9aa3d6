//! All spawners of a server: the default spawner, which serves every runtime, and one spawner for
//! each runtime that has an interpreter zygote. The zygote is a process of its own beside its
//! spawner.

use std::{
    collections::HashMap,
    error::Error as _,
    sync::{Arc, OnceLock},
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
    /// The spawners with an interpreter zygote, by runtime. Each is set once its interpreter has
    /// started.
    zygote_spawners: HashMap<String, Arc<OnceLock<Arc<SpawnerClient>>>>,
    /// How long a session is tried to be started while a resource is missing.
    start_timeout: Duration,
}

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
        let is_warm = config.warm == Switch::On && config.warm_sandboxes_max > 0;
        let warm_runtimes: Vec<_> = catalogue
            .iter()
            .filter(|runtime| is_warm && runtime.needs.is_none())
            .filter_map(|runtime| Some((runtime, minimal_spec(runtime, catalogue, config)?)))
            .collect();
        let settings =
            |warm: Option<WarmPoolSettings>, interpreter_zygote: Option<InterpreterZygote>| SpawnerSettings {
                data_dir: config.data_dir.clone(),
                warm,
                interpreter_zygote,
                is_log_json: config.log_format == LogFormat::Json,
            };
        let without_zygote =
            warm_runtimes.iter().filter(|(runtime, _)| runtime.manifest.zygote_interpreter.is_none());
        let pools = without_zygote.map(|(_, resolved)| warm_pool_settings(resolved, config)).collect();
        let default_spawner = SpawnerClient::launch(
            launcher.clone(),
            settings(most_common_layout(pools), None),
            metrics.clone(),
        )?;
        let mut zygote_spawners = HashMap::new();
        for (runtime, resolved) in &warm_runtimes {
            let Some(zygote) = interpreter_zygote(runtime, resolved) else { continue };
            let cell = Arc::new(OnceLock::new());
            zygote_spawners.insert(runtime.name.clone(), cell.clone());
            let settings = settings(Some(warm_pool_settings(resolved, config)), Some(zygote));
            let (launcher, metrics, name) = (launcher.clone(), metrics.clone(), runtime.name.clone());
            // The process is started here, before the server has any client: until its execve(2)
            // the child holds every descriptor that the server has open.
            let process = launcher(&settings).map_err(SpawnerError::Start);
            thread::spawn(move || {
                let spawner = process
                    .and_then(|process| SpawnerClient::from_process(process, launcher, settings, metrics));
                match spawner {
                    Ok(spawner) => drop(cell.set(Arc::new(spawner))),
                    Err(error) => {
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
        let start_timeout = Duration::from_millis(config.start_timeout_ms);
        Ok(Self { default_spawner: Arc::new(default_spawner), zygote_spawners, start_timeout })
    }

    /// A set that consists of the default spawner alone.
    pub fn with_default_only(default_spawner: Arc<SpawnerClient>) -> Self {
        Self { default_spawner, zygote_spawners: HashMap::new(), start_timeout: Duration::ZERO }
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
    pub fn spawner_for(&self, runtime: &str, layout: &SandboxLayout) -> &Arc<SpawnerClient> {
        let zygote_spawner = self.zygote_spawners.get(runtime).and_then(|cell| cell.get());
        zygote_spawner.filter(|spawner| spawner.is_usual(layout)).unwrap_or(&self.default_spawner)
    }
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
        layout: resolved.limits.layout(&resolved.mounts),
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
