//! Quotas: how much a user, or the guests of an address, may ask for in a minute and use in a day.
//!
//! Usage is counted in memory when a session ends, and written to the control store at intervals,
//! so that a session costs no write. A crash of the server loses the counting of
//! [`WRITE_INTERVAL`] at most.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `counts` | what is counted, and how it is forgotten |
//! | `exceeded` | how a refusal is worded |

mod counts;
mod exceeded;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use livecode_protocol::{
    now_us,
    quota::{OwnLimits, QuotaName, QuotaScope},
};
use livecode_store::{ControlStore, DayUsage};

use self::counts::{Counted, Counts, day_of, entry, next_day_us};
pub use self::{counts::store_key_of_token, exceeded::QuotaExceeded};
use crate::{
    auth::{Account, Allowance, Payer, Roles, role_of_payer},
    config::Config,
    sessions::Session,
};

/// How often usage is written.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// How often the usage of earlier days is forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The quotas that are counted here. `None` is no limit.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    creations_per_min: Option<u64>,
    cpu_ms_per_day: Option<u64>,
    output_bytes_per_day: Option<u64>,
}

/// How much of a quota is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaUse {
    /// The quota.
    pub quota: QuotaName,
    /// For whom it counts.
    pub scope: QuotaScope,
    /// How much there is.
    pub limit: u64,
    /// How much is used.
    pub used: u64,
    /// When all of it is left again, in microseconds since the epoch; `None` if time does not decide.
    pub refilled_us: Option<u64>,
}

/// The usage of all payers, and the roles that say how much that may be.
pub struct Quotas {
    roles: Arc<Roles>,
    counts: Mutex<HashMap<Counted, Counts>>,
    /// Whether the server ends, and nothing more is written. Changed while `counts` is locked.
    is_closed: AtomicBool,
    /// Locked while usage is written.
    writing: tokio::sync::Mutex<()>,
    /// `None` if nothing is counted by the day.
    store: Option<ControlStore>,
}

impl Quotas {
    /// Whether something may be counted by the day, for which a control store is needed. Users'
    /// tokens and JWTs may have limits that no setting has.
    pub fn need_store(config: &Config) -> bool {
        config.auth.knows_users() || Roles::new(config).have_day()
    }

    /// The quotas of the settings, with what was used today before this server started.
    pub async fn load(config: &Config, store: Option<ControlStore>) -> Self {
        let store = store.filter(|_| Self::need_store(config));
        let quotas = Self { store, ..Self::new(Roles::new(config)) };
        if let Some(store) = &quotas.store {
            let day = day_of(now_us());
            match store.usage_of_day(day).await {
                Ok(usage) => quotas.restore(day, usage),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "what was used today is not known, and counts as nothing"
                    )
                }
            }
        }
        quotas
    }

    fn new(roles: Roles) -> Self {
        let (counts, is_closed, writing) = (Mutex::default(), AtomicBool::new(false), Default::default());
        Self { roles: Arc::new(roles), counts, is_closed, writing, store: None }
    }

    fn restore(&self, day: u64, usage: Vec<DayUsage>) {
        let mut counts = self.counts();
        for DayUsage { payer, cpu_ms, output_bytes } in usage {
            let Ok(counted) = serde_json::from_str(&payer) else { continue };
            counts.insert(counted, Counts { cpu_ms, output_bytes, ..Counts::new(day, Instant::now()) });
        }
    }

    /// The roles, which say how much may be used.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// The allowance of a session's payer: how much it may hold, ask for and keep, in the role of this session.
    pub fn allowance_of(&self, session: &Session) -> &Allowance {
        match &session.charge {
            Some(charge) => self.roles.allowance(&charge.role),
            None => self.roles.allowance(role_of_payer(&session.payer)),
        }
    }

    /// Notes that a session of this account is created.
    ///
    /// # Errors
    /// If a quota has been used up. Nothing is then noted.
    pub fn admit(&self, account: &Account) -> Result<(), QuotaExceeded> {
        self.admit_at(account, now_us(), Instant::now())
    }

    /// Takes back an admission, because the session was not created after all.
    pub fn take_back(&self, account: &Account) {
        let mut all = self.counts();
        for (counted, _, limits) in limited(account) {
            if let (Some(_), Some(counts)) = (limits.creations_per_min, all.get_mut(&counted)) {
                counts.take_back();
            }
        }
    }

    fn admit_at(&self, account: &Account, now_us: u64, now: Instant) -> Result<(), QuotaExceeded> {
        if account.own_limits.sessions_running_max == Some(0) {
            let (quota, scope) = (QuotaName::SessionsRunningMax, scope_of(&account.payer));
            return Err(QuotaExceeded { quota, scope, limit: 0, retry_after_s: until_tomorrow_s(now_us) });
        }
        let limited = limited(account);
        if limited.is_empty() {
            return Ok(());
        }
        let mut all = self.counts();
        for (counted, scope, limits) in &limited {
            let counts = entry(&mut all, counted.clone(), day_of(now_us), now);
            counts.begin_day(day_of(now_us));
            limits.check(counts, *scope, now_us, now)?;
        }
        for (counted, _, limits) in limited {
            if let (Some(per_min), Some(counts)) = (limits.creations_per_min, all.get_mut(&counted)) {
                counts.create(per_min, now);
            }
        }
        Ok(())
    }

    /// How much the account has used of its quotas that are counted here.
    pub fn used(&self, account: &Account) -> Vec<QuotaUse> {
        self.used_at(account, now_us(), Instant::now())
    }

    fn used_at(&self, account: &Account, now_us: u64, now: Instant) -> Vec<QuotaUse> {
        let all = self.counts();
        let mut used = vec![];
        for (counted, scope, limits) in limited(account) {
            let none = Counts::new(day_of(now_us), now);
            let mut counts = all.get(&counted).copied().unwrap_or(none);
            counts.begin_day(day_of(now_us));
            if let Some(limit) = limits.creations_per_min {
                let creations = counts.creations(limit, now);
                // A limit of 0 is never refilled.
                let refilled_us = (limit > 0).then(|| now_us + (creations * 60e6 / limit as f64) as u64);
                used.push(QuotaUse {
                    quota: QuotaName::CreationsPerMin,
                    scope,
                    limit,
                    used: creations.ceil() as u64,
                    refilled_us,
                });
            }
            used.extend(limits.of_day(&counts).map(|(quota, limit, used)| {
                let refilled_us = Some(next_day_us(now_us));
                QuotaUse { quota, scope, limit, used, refilled_us }
            }));
        }
        used
    }

    /// Counts what an ended session has used. Returns `false`, and does nothing, if the server ends:
    /// then the next one counts it.
    pub fn count(&self, session: &Session) -> bool {
        let Some(ended) = session.progress().ended else { return true };
        let usage = ended.usage.unwrap_or_default();
        let (mut cpu_ms, output_bytes) = (usage.cpu_ms.unwrap_or(0), usage.output_bytes.unwrap_or(0));
        if session.has_hidden_cases {
            // A program that tells by its CPU time what it has read tells little by whole seconds.
            cpu_ms = cpu_ms.div_ceil(1000) * 1000;
        }
        let charge = session.charge.as_deref();
        let is_by_payer =
            self.allowance_of(session).has_day() || charge.is_some_and(|charge| charge.is_limited_by_jwt);
        let payer = is_by_payer.then_some(Counted::Payer(session.payer));
        let token = charge.and_then(|charge| charge.token.clone());
        let token = token.map(|token| Counted::Token { token: token.into() });
        let counted = payer.into_iter().chain(token);
        let mut all = self.counts();
        // A purge marks the session before it forgets what is counted here.
        session.is_purged() || self.add(&mut all, counted, cpu_ms, output_bytes, ended.ended_us.min(now_us()))
    }

    fn add(
        &self,
        all: &mut HashMap<Counted, Counts>,
        counted: impl IntoIterator<Item = Counted>,
        cpu_ms: u64,
        output_bytes: u64,
        ended_us: u64,
    ) -> bool {
        let day = day_of(ended_us);
        for counted in counted {
            if self.is_closed.load(Ordering::Relaxed) {
                return false;
            }
            entry(all, counted, day, Instant::now()).add(day, cpu_ms, output_bytes);
        }
        true
    }

    /// Forgets the usage of a payer and of each of these tokens, which `forget_stored` then deletes
    /// from the store. Nothing is written meanwhile, so that no older count comes back.
    pub async fn forget<T>(
        &self,
        payer: Payer,
        tokens: impl IntoIterator<Item = String>,
        forget_stored: impl Future<Output = T>,
    ) -> T {
        let _writing = self.writing.lock().await;
        {
            let mut counts = self.counts();
            counts.remove(&Counted::Payer(payer));
            for token in tokens {
                counts.remove(&Counted::Token { token: token.into() });
            }
        }
        forget_stored.await
    }

    /// Forgets the usage of earlier days at intervals, also where nothing is counted any more. This
    /// never returns.
    pub async fn forget_at_intervals(store: Option<ControlStore>) {
        let Some(store) = store else { return };
        let mut interval = tokio::time::interval(FORGET_INTERVAL);
        loop {
            interval.tick().await;
            if let Err(error) = store.forget_usage_before(day_of(now_us())).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "usage of earlier days is left");
            }
        }
    }

    /// Writes usage at intervals. This never returns.
    pub async fn write_at_intervals(&self) {
        let mut interval = tokio::time::interval(WRITE_INTERVAL);
        loop {
            interval.tick().await;
            self.write().await;
        }
    }

    /// Counts no more, and writes what was counted.
    pub async fn close(&self) {
        {
            let _counts = self.counts();
            self.is_closed.store(true, Ordering::Relaxed);
        }
        self.write().await;
    }

    /// Writes what was counted since the last time.
    async fn write(&self) {
        let _writing = self.writing.lock().await;
        let Some(store) = &self.store else { return };
        let day = day_of(now_us());
        let changed = self.take_changed(day);
        if changed.is_empty() {
            return;
        }
        let usage: Vec<_> = changed
            .iter()
            .map(|(counted, counts)| DayUsage {
                payer: serde_json::to_string(counted).unwrap_or_default(),
                cpu_ms: counts.cpu_ms,
                output_bytes: counts.output_bytes,
            })
            .collect();
        if let Err(error) = store.set_usage_of_day(day, &usage).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "what was used could not be written; it is tried again");
            let mut counts = self.counts();
            for (counted, _) in changed {
                if let Some(counts) = counts.get_mut(&counted) {
                    counts.is_changed = true;
                }
            }
        }
    }

    fn take_changed(&self, day: u64) -> Vec<(Counted, Counts)> {
        let mut counts = self.counts();
        let changed = counts.iter_mut().filter_map(|(counted, counts)| {
            let is_changed = std::mem::take(&mut counts.is_changed);
            (is_changed && counts.day == day).then(|| (counted.clone(), *counts))
        });
        changed.collect()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Counted, Counts>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quotas").field("roles", &self.roles).finish_non_exhaustive()
    }
}

/// The payer and token whose usage is limited when this account creates a session, and how.
fn limited(account: &Account) -> Vec<(Counted, QuotaScope, Limits)> {
    let of_payer =
        (Counted::Payer(account.payer), scope_of(&account.payer), Limits::from(&account.allowance));
    let of_token = account.token.as_deref().map(|token| {
        (Counted::Token { token: token.into() }, QuotaScope::Token, Limits::from(&account.own_limits))
    });
    [Some(of_payer), of_token].into_iter().flatten().filter(|(_, _, limits)| !limits.is_empty()).collect()
}

/// Seconds until the next day begins.
fn until_tomorrow_s(now_us: u64) -> u64 {
    (next_day_us(now_us) - now_us).div_ceil(1_000_000)
}

/// For whom the quotas of a payer count.
pub(super) fn scope_of(payer: &Payer) -> QuotaScope {
    match payer {
        Payer::Address(_) => QuotaScope::Address,
        Payer::User(_) | Payer::Local => QuotaScope::User,
    }
}

impl From<&Allowance> for Limits {
    fn from(allowance: &Allowance) -> Self {
        let &Allowance { creations_per_min, cpu_ms_per_day, output_bytes_per_day, .. } = allowance;
        Self { creations_per_min, cpu_ms_per_day, output_bytes_per_day }
    }
}

impl From<&OwnLimits> for Limits {
    fn from(limits: &OwnLimits) -> Self {
        let &OwnLimits { creations_per_min, cpu_ms_per_day, output_bytes_per_day, .. } = limits;
        Self { creations_per_min, cpu_ms_per_day, output_bytes_per_day }
    }
}

impl Limits {
    fn is_empty(&self) -> bool {
        let Self { creations_per_min, cpu_ms_per_day, output_bytes_per_day } = self;
        creations_per_min.is_none() && cpu_ms_per_day.is_none() && output_bytes_per_day.is_none()
    }

    /// The quotas by the day: name, limit and usage.
    fn of_day(&self, counts: &Counts) -> impl Iterator<Item = (QuotaName, u64, u64)> + use<> {
        let cpu = self.cpu_ms_per_day.map(|limit| (QuotaName::CpuMsPerDay, limit, counts.cpu_ms));
        let output = self.output_bytes_per_day;
        let output = output.map(|limit| (QuotaName::OutputBytesPerDay, limit, counts.output_bytes));
        cpu.into_iter().chain(output)
    }

    fn check(
        &self,
        counts: &Counts,
        scope: QuotaScope,
        now_us: u64,
        now: Instant,
    ) -> Result<(), QuotaExceeded> {
        let until_tomorrow_s = until_tomorrow_s(now_us);
        if let Some((quota, limit, _)) = self.of_day(counts).find(|(_, limit, used)| used >= limit) {
            return Err(QuotaExceeded { quota, scope, limit, retry_after_s: until_tomorrow_s });
        }
        let Some(limit) = self.creations_per_min else { return Ok(()) };
        let excess = counts.creations(limit, now) + 1.0 - limit as f64;
        if excess <= 0.0 {
            return Ok(());
        }
        let retry_after_s = match limit {
            // Time does not help, but another credential may come.
            0 => until_tomorrow_s,
            limit => (excess * 60.0 / limit as f64).ceil() as u64,
        };
        Err(QuotaExceeded { quota: QuotaName::CreationsPerMin, scope, limit, retry_after_s })
    }
}

#[cfg(test)]
mod tests;
