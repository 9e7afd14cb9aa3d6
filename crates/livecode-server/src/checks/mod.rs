//! Checks of runtimes: whether the hello of a runtime runs here, what version its toolchain says
//! that it has, and which packages programs can import. All of this runs in sandboxes.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `program` | how one program of a check is run |
//! | `results` | where results are kept until the toolchain changes |
//!
//! Checks run in the background, one after the other, and each begins only when no program has run
//! for `runtime_check_idle_ms`. Until a runtime was checked it counts as available if all that it
//! requires is there: a server serves at once, and a user who comes first gets the error of the
//! toolchain itself. A session is created also if the check has failed, for the same reason, and
//! because a check may fail for want of time. Each program of a check is a session of nobody's
//! lists, of the local user, which is deleted at its end.

mod program;
mod results;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use livecode_protocol::{
    now_us,
    session::{CreateSession, Outcome},
};
use tokio::sync::Semaphore;

use crate::{
    auth::Account,
    catalogue::{Catalogue, CheckResult, CurrentCatalogue, Runtime, version_in},
    config::Config,
    lifecycle::Registry,
    sessions::blocking::blocking,
    spec::{Endpoint, cache_key::toolchain_fingerprint, resolve},
};

pub(crate) use program::CheckError;
use program::{ProgramEnd, run_program};
use results::Results;

/// How often it is looked whether a toolchain has changed.
const REVIEW_INTERVAL: Duration = Duration::from_secs(60);
/// After which time a check that has failed is repeated.
const FAILED_RETRY_US: u64 = 10 * 60 * 1_000_000;
/// How often it is looked whether programs run.
const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Standard input of a hello that names none.
const DEFAULT_STDIN: &str = "Ada\n";
/// The largest number of requests that wait for a check at a time. Further ones are refused.
const MAX_WAITERS: usize = 16;
/// The largest number of packages of a runtime. Further ones are left out.
const MAX_PACKAGES: usize = 2_000;
/// The longest name of a package. Longer lines are no names.
const MAX_PACKAGE_NAME_BYTES: usize = 100;

/// The checks of a server's runtimes.
pub(crate) struct RuntimeChecks {
    registry: Arc<Registry>,
    catalogue: CurrentCatalogue,
    config: Arc<Config>,
    results: Results,
    /// Held during a check: there is only one at a time.
    turn: tokio::sync::Mutex<()>,
    /// A permit for each request that may wait for a check.
    waiters: Semaphore,
}

impl RuntimeChecks {
    /// The checks of the runtimes in `catalogue`, which run as sessions of `registry`.
    pub fn new(registry: Arc<Registry>, catalogue: CurrentCatalogue, config: Arc<Config>) -> Self {
        let results = Results::open(&config.data_dir);
        Self {
            registry,
            catalogue,
            config,
            results,
            turn: tokio::sync::Mutex::default(),
            waiters: Semaphore::new(MAX_WAITERS),
        }
    }

    /// Checks the runtimes whose toolchain has changed, whenever the server has nothing else to do.
    /// This never returns.
    pub async fn run_in_background(self: Arc<Self>) {
        // A server that is never idle must not keep results of a toolchain that is gone.
        tokio::join!(self.adopt_at_intervals(), self.check_at_intervals());
    }

    async fn adopt_at_intervals(self: &Arc<Self>) {
        let mut changes = self.catalogue.changes();
        loop {
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(REVIEW_INTERVAL) => {}
            }
            self.adopt_results().await;
        }
    }

    async fn check_at_intervals(self: &Arc<Self>) {
        let mut changes = self.catalogue.changes();
        loop {
            self.adopt_results().await;
            if self.config.runtime_check_idle_ms > 0 {
                self.check_due(&mut changes).await;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(REVIEW_INTERVAL) => {}
            }
        }
    }

    /// Checks the runtimes whose check is due, until the catalogue changes.
    async fn check_due(self: &Arc<Self>, changes: &mut tokio::sync::watch::Receiver<Arc<Catalogue>>) {
        let catalogue = changes.borrow_and_update().clone();
        for runtime in catalogue.iter().filter(|runtime| is_due(runtime)) {
            self.wait_until_idle().await;
            if changes.has_changed().unwrap_or(false) {
                return;
            }
            let name = &runtime.name;
            if is_due(runtime)
                && let Err(error) = self.check(name).await
            {
                tracing::debug!(runtime = name, %error, "a runtime cannot be checked now");
            }
        }
    }

    /// Waits until no program has run for `runtime_check_idle_ms`, and there is room for a session.
    async fn wait_until_idle(&self) {
        let idle = Duration::from_millis(self.config.runtime_check_idle_ms);
        let mut since = Instant::now();
        loop {
            let has_room = (self.registry.count() as u64) < self.config.sessions_max;
            if !has_room || !self.registry.metrics().is_idle() {
                since = Instant::now();
            } else if since.elapsed() >= idle {
                return;
            }
            tokio::time::sleep(IDLE_POLL_INTERVAL.min(idle)).await;
        }
    }

    /// Sets the result of each runtime: the kept one, if it is of the toolchain as it is now.
    async fn adopt_results(self: &Arc<Self>) {
        let checks = self.clone();
        let adopt = move || {
            for runtime in checks.catalogue.now().iter().filter(|runtime| runtime.needs.is_none()) {
                runtime.last_check.set(checks.results.get(&runtime.name, &toolchain_fingerprint(runtime)));
            }
        };
        if let Err(error) = blocking(adopt).await {
            tracing::error!(%error, "the results of checks cannot be used");
        }
    }

    /// Checks a runtime now, after those that are being checked.
    ///
    /// # Errors
    /// If it cannot be checked. That its hello fails is a result.
    pub async fn check(self: &Arc<Self>, name: &str) -> Result<(), CheckError> {
        let _turn = self.turn.lock().await;
        self.check_in_turn(name).await
    }

    /// Checks a runtime now unless it was checked since its toolchain has changed. The server pays
    /// for the check, which is made once, so the caller is asked first whether the account in whose
    /// name this is done may create a session.
    ///
    /// # Errors
    /// As [`Self::check`]; also if no session could be created for the account, or if too many
    /// callers wait.
    pub async fn ensure(self: &Arc<Self>, name: &str, account: &Account) -> Result<(), CheckError> {
        self.registry.check_admission(account)?;
        let _waiter = self.waiters.try_acquire().map_err(|_| CheckError::Busy)?;
        let _turn = self.turn.lock().await;
        let is_checked = |runtime: &Runtime| runtime.needs.is_some() || runtime.last_check.result().is_some();
        match self.catalogue.now().get(name).is_some_and(is_checked) {
            true => Ok(()),
            false => self.check_in_turn(name).await,
        }
    }

    async fn check_in_turn(self: &Arc<Self>, name: &str) -> Result<(), CheckError> {
        let catalogue = self.catalogue.now();
        let runtime = catalogue.get(name).ok_or_else(|| CheckError::NoSuchRuntime(name.to_owned()))?;
        let fingerprint = {
            let (catalogue, name) = (catalogue.clone(), runtime.name.clone());
            let find = move || catalogue.get(&name).map(toolchain_fingerprint).unwrap_or_default();
            blocking(find).await.map_err(CheckError::Server)?
        };
        let started = Instant::now();
        let hello = self.run(&catalogue, hello(runtime)).await?;
        let duration_ms = started.elapsed().as_millis() as u64;
        let failure = failure(runtime, &hello);
        // A busy machine can be slow. The toolchain is the one that has worked.
        let has_passed = |result: Arc<CheckResult>| result.failure.is_none();
        if failure.is_some()
            && hello.outcome == Outcome::Timeout
            && self.results.get(&runtime.name, &fingerprint).is_some_and(has_passed)
        {
            return Err(CheckError::TooSlow);
        }
        let version = self.run_command(&catalogue, runtime, &runtime.manifest.version).await?;
        let packages = self.run_command(&catalogue, runtime, &runtime.manifest.packages).await?;
        let result = CheckResult {
            fingerprint,
            checked_us: now_us(),
            duration_ms,
            failure,
            version: version.and_then(|end| version_in(&end.answer())),
            packages: packages.filter(|end| end.exitstatus == 0).map(|end| package_names(&end.stdout())),
        };
        match &result.failure {
            Some(failure) => tracing::warn!(runtime = runtime.name, failure, "the check of a runtime failed"),
            None => tracing::info!(runtime = runtime.name, duration_ms, "the check of a runtime passed"),
        }
        self.results.insert(&runtime.name, result);
        let checks = self.clone();
        let names = catalogue.iter().map(|runtime| runtime.name.clone()).collect();
        blocking(move || checks.results.save(&names)).await.map_err(CheckError::Server)?;
        self.adopt_results().await;
        Ok(())
    }

    /// Runs a command of a runtime in its sandbox; `None` if it names none.
    async fn run_command(
        &self,
        catalogue: &Catalogue,
        runtime: &Runtime,
        command: &[String],
    ) -> Result<Option<ProgramEnd>, CheckError> {
        if command.is_empty() {
            return Ok(None);
        }
        let request = CreateSession {
            runtime: Some(runtime.name.clone()),
            command: Some(command.to_vec()),
            code: Some(String::new()),
            stdin: Some(String::new()),
            ..CreateSession::default()
        };
        self.run(catalogue, request).await.map(Some)
    }

    async fn run(&self, catalogue: &Catalogue, request: CreateSession) -> Result<ProgramEnd, CheckError> {
        let mut resolved = resolve(&request, catalogue, &self.config.limits, Endpoint::Sessions)?;
        // The compiler is part of what is checked.
        resolved.cache_key_inputs = None;
        run_program(&self.registry, resolved).await
    }
}

/// Whether a runtime is to be checked: it was not since its toolchain has changed, or failed a
/// while ago.
fn is_due(runtime: &Runtime) -> bool {
    let is_due = |result: &CheckResult| {
        result.failure.is_some() && result.checked_us.saturating_add(FAILED_RETRY_US) < now_us()
    };
    runtime.needs.is_none() && runtime.last_check.result().is_none_or(|result| is_due(&result))
}

/// The request for the hello of a runtime.
fn hello(runtime: &Runtime) -> CreateSession {
    let check = &runtime.manifest.check;
    let example = || runtime.manifest.example.trim_start().to_owned();
    CreateSession {
        runtime: Some(runtime.name.clone()),
        code: Some(check.code.clone().unwrap_or_else(example)),
        stdin: Some(check.stdin.clone().unwrap_or_else(|| DEFAULT_STDIN.to_owned())),
        ..CreateSession::default()
    }
}

/// Why a hello has failed; `None` if it has not.
fn failure(runtime: &Runtime, end: &ProgramEnd) -> Option<String> {
    let wanted = runtime.manifest.check.exitstatus;
    if end.exitstatus == wanted && end.has_output() {
        return None;
    }
    let how = match end.exitstatus == wanted {
        true => "its hello wrote nothing".to_owned(),
        false => format!("its hello ended with status {} ({})", end.exitstatus, end.outcome.as_str()),
    };
    Some(match end.last_words() {
        words if words.is_empty() => how,
        words => format!("{how}: {words}"),
    })
}

/// The names in the output of a command that lists packages, sorted.
fn package_names(text: &str) -> Vec<String> {
    // The list may be written by a stranger's image, and is shown on terminals.
    let is_name = |name: &&str| {
        !name.is_empty() && name.len() <= MAX_PACKAGE_NAME_BYTES && !name.contains(char::is_control)
    };
    let mut names: Vec<_> = text.lines().map(str::trim).filter(is_name).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(MAX_PACKAGES);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_plain_lines_are_names_of_packages() {
        let long = "x".repeat(101);
        let text = format!("numpy\n a \n\u{1b}[2J\nb\u{9b}1m\n\n{long}\nnumpy\n");
        assert_eq!(package_names(&text), ["a", "numpy"]);
    }
}
