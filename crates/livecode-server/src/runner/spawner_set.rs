//! The spawners of a server: one for all, and one within each interpreter that is a template.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use livecode_protocol::{
    session::CreateSession,
    warm::{InterpreterZygote, SpawnerSettings, WarmPoolSettings},
};

use crate::{
    catalogue::{Catalogue, Runtime},
    config::{Config, Switch},
    metrics::Metrics,
    runner::spawner::{SpawnerClient, SpawnerError, SpawnerLauncher},
    spec::{self, Endpoint, ResolvedSpec},
};

/// All of them.
pub struct SpawnerSet {
    default_spawner: Arc<SpawnerClient>,
    /// By runtime. One is there as soon as its interpreter is up.
    templates: HashMap<String, Arc<OnceLock<Arc<SpawnerClient>>>>,
}

impl SpawnerSet {
    /// Starts the one for all, and waits for it; the others come up beside.
    ///
    /// # Errors
    /// Where it does not start, or no sandbox can be made.
    pub fn new(
        start: &SpawnerLauncher,
        catalogue: &Catalogue,
        config: &Config,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, SpawnerError> {
        let is_warm = config.warm == Switch::On && config.warm_sandboxes_max > 0;
        let ready: Vec<_> = catalogue
            .iter()
            .filter(|runtime| is_warm && runtime.needs.is_none())
            .filter_map(|runtime| Some((runtime, smallest(runtime, catalogue, config)?)))
            .collect();
        let settings = |warm: Option<WarmPoolSettings>, template: Option<InterpreterZygote>| {
            SpawnerSettings { data_dir: config.data_dir.clone(), warm, template }
        };
        let others = ready.iter().filter(|(runtime, _)| runtime.manifest.template.is_none());
        let warm = most_frequent(others.map(|(_, prepared)| warm_of(prepared, config)).collect());
        let default_spawner =
            Arc::new(SpawnerClient::new(start.clone(), settings(warm, None), metrics.clone())?);
        let mut templates = HashMap::new();
        for (runtime, prepared) in &ready {
            let Some(template) = template(runtime, prepared) else { continue };
            let place = Arc::new(OnceLock::new());
            templates.insert(runtime.name.clone(), place.clone());
            let settings = settings(Some(warm_of(prepared, config)), Some(template));
            let (start, metrics, name) = (start.clone(), metrics.clone(), runtime.name.clone());
            // Started here, before anybody is served: until it is executed it holds all that the server has open.
            let process = start(&settings).map_err(SpawnerError::Start);
            std::thread::spawn(move || {
                match process.and_then(|process| SpawnerClient::of(process, start, settings, metrics)) {
                    Ok(spawner) => drop(place.set(Arc::new(spawner))),
                    Err(error) => {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(runtime = name, %error, cause, "no template; its programs start default_spawner");
                    }
                }
            });
        }
        Ok(Self { default_spawner, templates })
    }

    /// With the one for all alone.
    pub fn only(default_spawner: Arc<SpawnerClient>) -> Self {
        Self { default_spawner, templates: HashMap::new() }
    }

    /// The one for all.
    pub fn default_spawner(&self) -> &Arc<SpawnerClient> {
        &self.default_spawner
    }

    /// The one to be asked first for a program of this runtime.
    pub fn spawner_for(&self, runtime: &str) -> &Arc<SpawnerClient> {
        self.templates.get(runtime).and_then(|place| place.get()).unwrap_or(&self.default_spawner)
    }
}

/// The order of a program that asks for nothing.
fn smallest(runtime: &Runtime, catalogue: &Catalogue, config: &Config) -> Option<ResolvedSpec> {
    let request = CreateSession {
        runtime: Some(runtime.name.clone()),
        code: Some(String::new()),
        ..CreateSession::default()
    };
    spec::resolve(&request, catalogue, &config.limits, Endpoint::Sessions).ok()
}

fn warm_of(prepared: &ResolvedSpec, config: &Config) -> WarmPoolSettings {
    let first = prepared.compile.first().unwrap_or(&prepared.run);
    WarmPoolSettings {
        layout: prepared.limits.layout(&prepared.mounts),
        limits: first.limits,
        cpu_millicores: prepared.limits.cpu_millicores,
        sandboxes_max: u32::try_from(config.warm_sandboxes_max).unwrap_or(u32::MAX),
    }
}

/// What fits the most runtimes.
fn most_frequent(all: Vec<WarmPoolSettings>) -> Option<WarmPoolSettings> {
    let fits = |one: &WarmPoolSettings| all.iter().filter(|other| other.layout == one.layout).count();
    all.iter().rev().max_by_key(|one| fits(one)).cloned()
}

fn template(runtime: &Runtime, prepared: &ResolvedSpec) -> Option<InterpreterZygote> {
    Some(InterpreterZygote {
        interpreter: runtime.manifest.template.clone()?,
        source: runtime.manifest.file.to_string(),
        argv: prepared.run.argv.clone(),
        env: prepared.env.clone(),
    })
}
