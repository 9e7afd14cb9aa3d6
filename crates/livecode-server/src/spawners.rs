//! The spawners of a server: one for all, and one within each interpreter that is a template.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use livecode_protocol::{
    session::CreateSession,
    warm::{SpawnerSettings, Template, Warm},
};

use crate::{
    catalogue::{Catalogue, Runtime},
    config::{Config, Switch},
    metrics::Metrics,
    prepare::{self, Endpoint, Prepared},
    spawner::{Spawner, SpawnerError, Start},
};

/// All of them.
pub struct Spawners {
    cold: Arc<Spawner>,
    /// By runtime. One is there as soon as its interpreter is up.
    templates: HashMap<String, Arc<OnceLock<Arc<Spawner>>>>,
}

impl Spawners {
    /// Starts the one for all, and waits for it; the others come up beside.
    ///
    /// # Errors
    /// Where it does not start, or no sandbox can be made.
    pub fn new(
        start: &Start,
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
        let settings = |warm: Option<Warm>, template: Option<Template>| SpawnerSettings {
            data_dir: config.data_dir.clone(),
            warm,
            template,
        };
        let others = ready.iter().filter(|(runtime, _)| runtime.manifest.template.is_none());
        let warm = most_frequent(others.map(|(_, prepared)| warm_of(prepared, config)).collect());
        let cold = Arc::new(Spawner::new(start.clone(), settings(warm, None), metrics.clone())?);
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
                match process.and_then(|process| Spawner::of(process, start, settings, metrics)) {
                    Ok(spawner) => drop(place.set(Arc::new(spawner))),
                    Err(error) => {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(runtime = name, %error, cause, "no template; its programs start cold");
                    }
                }
            });
        }
        Ok(Self { cold, templates })
    }

    /// With the one for all alone.
    pub fn only(cold: Arc<Spawner>) -> Self {
        Self { cold, templates: HashMap::new() }
    }

    /// The one for all.
    pub fn cold(&self) -> &Arc<Spawner> {
        &self.cold
    }

    /// The one to be asked first for a program of this runtime.
    pub fn first_for(&self, runtime: &str) -> &Arc<Spawner> {
        self.templates.get(runtime).and_then(|place| place.get()).unwrap_or(&self.cold)
    }
}

/// The order of a program that asks for nothing.
fn smallest(runtime: &Runtime, catalogue: &Catalogue, config: &Config) -> Option<Prepared> {
    let request = CreateSession {
        runtime: Some(runtime.name.clone()),
        code: Some(String::new()),
        ..CreateSession::default()
    };
    prepare::prepare(&request, catalogue, &config.limits, Endpoint::Sessions).ok()
}

fn warm_of(prepared: &Prepared, config: &Config) -> Warm {
    let first = prepared.compile.first().unwrap_or(&prepared.run);
    Warm {
        layout: prepared.limits.layout(&prepared.mounts),
        limits: first.limits,
        cpu_millicores: prepared.limits.cpu_millicores,
        sandboxes_max: u32::try_from(config.warm_sandboxes_max).unwrap_or(u32::MAX),
    }
}

/// What fits the most runtimes.
fn most_frequent(all: Vec<Warm>) -> Option<Warm> {
    let fits = |one: &Warm| all.iter().filter(|other| other.layout == one.layout).count();
    all.iter().rev().max_by_key(|one| fits(one)).cloned()
}

fn template(runtime: &Runtime, prepared: &Prepared) -> Option<Template> {
    Some(Template {
        interpreter: runtime.manifest.template.clone()?,
        source: runtime.manifest.file.to_string(),
        argv: prepared.run.argv.clone(),
        env: prepared.env.clone(),
    })
}
