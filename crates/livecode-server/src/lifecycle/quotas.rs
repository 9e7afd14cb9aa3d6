//! Quotas: how much a user, or the guests of an address, may ask for in a minute and use in a day.
//!
//! Usage is counted in memory when a session ends, and written to the control store at intervals,
//! so that a session costs no write. A crash of the server loses the counting of
//! [`WRITE_INTERVAL`] at most.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use livecode_protocol::now_us;
use livecode_store::{ControlStore, DayUsage};

use crate::{
    auth::{Caller, Payer, Role},
    config::Config,
    sessions::Session,
};

/// How often usage is written.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// How many payers are counted. When there are more, those guests are forgotten whose programs have
/// used nothing today; if there are none, all guests are.
const PAYERS_MAX: usize = 100_000;
const DAY_US: u64 = 24 * 60 * 60 * 1_000_000;

/// The callers that have the same quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaClass {
    /// Guests. Those of one address have the quotas together.
    Guest,
    /// Users who are no admins.
    User,
}

impl QuotaClass {
    /// The class of a caller; `None` if it has no quotas.
    pub fn of(caller: &Caller) -> Option<Self> {
        match caller {
            Caller::Guest(_) | Caller::Nobody => Some(Self::Guest),
            Caller::User(user) => (user.role == Role::User).then_some(Self::User),
            Caller::Local => None,
        }
    }
}

/// The quotas of one class. A quota of 0 is none.
#[derive(Clone, Copy, Debug, Default)]
struct ClassQuotas {
    creations_per_min: u64,
    cpu_ms_per_day: u64,
    output_bytes_per_day: u64,
}

/// Which quota has been used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Sessions created in a minute.
    CreationsPerMin,
    /// CPU time used in a day, in milliseconds.
    CpuMsPerDay,
    /// Output written in a day, in bytes.
    OutputBytesPerDay,
}

/// A quota has been used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; {}", self.words(), self.when())]
pub struct QuotaExceeded {
    /// The quota.
    pub quota: Quota,
    /// Its value.
    pub limit: u64,
    /// Seconds after which there is something left of it again.
    pub retry_after_s: u64,
}

impl QuotaExceeded {
    fn words(&self) -> String {
        let limit = self.limit;
        match self.quota {
            Quota::CreationsPerMin => format!("you may create {limit} sessions in a minute"),
            Quota::CpuMsPerDay => {
                format!("your programs may use {limit} ms of CPU time in a day, and have used it")
            }
            Quota::OutputBytesPerDay => {
                format!("your programs may write {limit} bytes in a day, and have written them")
            }
        }
    }

    fn when(&self) -> String {
        match self.quota {
            Quota::CreationsPerMin => format!("try again in {} s", self.retry_after_s),
            Quota::CpuMsPerDay | Quota::OutputBytesPerDay => "the next day begins at 0:00 UTC".to_owned(),
        }
    }
}

/// The usage of one payer.
#[derive(Clone, Copy, Debug)]
struct Counts {
    /// The day that is counted, in days since the epoch.
    day: u64,
    cpu_ms: u64,
    output_bytes: u64,
    /// Sessions that may be created at once, and when that was right.
    creations_left: f64,
    refilled: Instant,
    /// Whether something was counted that is not written yet.
    is_changed: bool,
}

/// The quotas, and what all payers have used.
pub struct Quotas {
    guest: ClassQuotas,
    user: ClassQuotas,
    counts: Mutex<HashMap<Payer, Counts>>,
    /// Whether the server ends, and nothing more is written. Changed while `counts` is locked.
    is_closed: AtomicBool,
    /// Locked while usage is written.
    writing: tokio::sync::Mutex<()>,
    /// `None` if no quota is by the day.
    store: Option<ControlStore>,
}

impl Quotas {
    /// Whether the settings have a quota by the day, for which a control store is needed.
    pub fn need_store(config: &Config) -> bool {
        let quotas = classes(config);
        quotas.iter().any(|class| class.cpu_ms_per_day > 0 || class.output_bytes_per_day > 0)
    }

    /// The quotas of the settings, with what was used today before this server started.
    pub async fn load(config: &Config, store: Option<ControlStore>) -> Self {
        let [guest, user] = classes(config);
        let store = store.filter(|_| Self::need_store(config));
        let quotas = Self { store, ..Self::new(guest, user) };
        if let Some(store) = &quotas.store {
            let day = today(now_us());
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

    fn new(guest: ClassQuotas, user: ClassQuotas) -> Self {
        let (counts, is_closed, writing) = (Mutex::default(), AtomicBool::new(false), Default::default());
        Self { guest, user, counts, is_closed, writing, store: None }
    }

    fn restore(&self, day: u64, usage: Vec<DayUsage>) {
        let mut counts = self.counts();
        for DayUsage { payer, cpu_ms, output_bytes } in usage {
            let Ok(payer) = serde_json::from_str(&payer) else { continue };
            let new = Counts::new(day, self.class_of(payer).creations_per_min);
            counts.insert(payer, Counts { cpu_ms, output_bytes, ..new });
        }
    }

    /// Notes that `payer`, a caller of `class`, creates a session.
    ///
    /// # Errors
    /// If a quota of the payer has been used up. Nothing is then noted.
    pub fn admit(&self, class: Option<QuotaClass>, payer: Payer) -> Result<(), QuotaExceeded> {
        self.admit_at(class, payer, now_us(), Instant::now())
    }

    fn admit_at(
        &self,
        class: Option<QuotaClass>,
        payer: Payer,
        now_us: u64,
        now: Instant,
    ) -> Result<(), QuotaExceeded> {
        let quotas = match class {
            None => return Ok(()),
            Some(QuotaClass::Guest) => self.guest,
            Some(QuotaClass::User) => self.user,
        };
        if quotas.is_empty() {
            return Ok(());
        }
        let mut counts = self.counts();
        let counts = entry(&mut counts, payer, today(now_us), quotas.creations_per_min);
        counts.begin_day(today(now_us));
        let until_tomorrow_s = (DAY_US - now_us % DAY_US).div_ceil(1_000_000);
        let days = [
            (Quota::CpuMsPerDay, quotas.cpu_ms_per_day, counts.cpu_ms),
            (Quota::OutputBytesPerDay, quotas.output_bytes_per_day, counts.output_bytes),
        ];
        for (quota, limit, used) in days {
            if limit > 0 && used >= limit {
                return Err(QuotaExceeded { quota, limit, retry_after_s: until_tomorrow_s });
            }
        }
        let limit = quotas.creations_per_min;
        if limit > 0 {
            counts.refill(limit, now);
            if counts.creations_left < 1.0 {
                let retry_after_s = ((1.0 - counts.creations_left) * 60.0 / limit as f64).ceil() as u64;
                return Err(QuotaExceeded { quota: Quota::CreationsPerMin, limit, retry_after_s });
            }
            counts.creations_left -= 1.0;
        }
        Ok(())
    }

    /// Counts what an ended session has used. Returns `false`, and does nothing, if the server ends:
    /// then the next one counts it.
    pub fn count(&self, session: &Session) -> bool {
        let usage = session.progress().ended.and_then(|ended| ended.usage).unwrap_or_default();
        self.count_at(session.payer, usage.cpu_ms.unwrap_or(0), usage.output_bytes.unwrap_or(0), now_us())
    }

    fn count_at(&self, payer: Payer, cpu_ms: u64, output_bytes: u64, now_us: u64) -> bool {
        // Without a store no quota is by the day.
        if payer == Payer::Local || self.class_of(payer).has_no_day() {
            return true;
        }
        let mut counts = self.counts();
        if self.is_closed.load(Ordering::Relaxed) {
            return false;
        }
        let counts = entry(&mut counts, payer, today(now_us), self.class_of(payer).creations_per_min);
        counts.begin_day(today(now_us));
        counts.cpu_ms = counts.cpu_ms.saturating_add(cpu_ms);
        counts.output_bytes = counts.output_bytes.saturating_add(output_bytes);
        counts.is_changed = true;
        true
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
        let day = today(now_us());
        let changed = self.take_changed(day);
        if changed.is_empty() {
            return;
        }
        let usage: Vec<_> = changed
            .iter()
            .map(|(payer, counts)| DayUsage {
                payer: serde_json::to_string(payer).unwrap_or_default(),
                cpu_ms: counts.cpu_ms,
                output_bytes: counts.output_bytes,
            })
            .collect();
        if let Err(error) = store.set_usage_of_day(day, &usage).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "what was used could not be written; it is tried again");
            let mut counts = self.counts();
            for (payer, _) in changed {
                if let Some(counts) = counts.get_mut(&payer) {
                    counts.is_changed = true;
                }
            }
        }
    }

    fn take_changed(&self, day: u64) -> Vec<(Payer, Counts)> {
        let mut counts = self.counts();
        let changed = counts.iter_mut().filter_map(|(payer, counts)| {
            let is_changed = std::mem::take(&mut counts.is_changed);
            (is_changed && counts.day == day).then_some((*payer, *counts))
        });
        changed.collect()
    }

    fn class_of(&self, payer: Payer) -> ClassQuotas {
        match payer {
            Payer::Local => ClassQuotas::default(),
            Payer::Address(_) => self.guest,
            Payer::User(_) => self.user,
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Payer, Counts>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quotas").field("guest", &self.guest).field("user", &self.user).finish_non_exhaustive()
    }
}

/// The quotas of guests and of users.
fn classes(config: &Config) -> [ClassQuotas; 2] {
    [
        ClassQuotas {
            creations_per_min: config.guest_creations_per_min,
            cpu_ms_per_day: config.guest_cpu_ms_per_day,
            output_bytes_per_day: config.guest_output_bytes_per_day,
        },
        ClassQuotas {
            creations_per_min: config.user_creations_per_min,
            cpu_ms_per_day: config.user_cpu_ms_per_day,
            output_bytes_per_day: config.user_output_bytes_per_day,
        },
    ]
}

/// The counts of a payer, which may be new.
fn entry(counts: &mut HashMap<Payer, Counts>, payer: Payer, day: u64, creations_per_min: u64) -> &mut Counts {
    if counts.len() >= PAYERS_MAX && !counts.contains_key(&payer) {
        counts.retain(|payer, counts| {
            let is_guest = matches!(payer, Payer::Address(_));
            !is_guest || (counts.day == day && counts.has_used())
        });
        if counts.len() >= PAYERS_MAX {
            counts.retain(|payer, _| matches!(payer, Payer::User(_)));
        }
    }
    counts.entry(payer).or_insert_with(|| Counts::new(day, creations_per_min))
}

/// The day of a time in microseconds since the epoch.
fn today(now_us: u64) -> u64 {
    now_us / DAY_US
}

impl ClassQuotas {
    fn has_no_day(self) -> bool {
        self.cpu_ms_per_day == 0 && self.output_bytes_per_day == 0
    }

    fn is_empty(self) -> bool {
        self.has_no_day() && self.creations_per_min == 0
    }
}

impl Counts {
    fn new(day: u64, creations_per_min: u64) -> Self {
        let creations_left = creations_per_min as f64;
        Self { day, cpu_ms: 0, output_bytes: 0, creations_left, refilled: Instant::now(), is_changed: false }
    }

    fn begin_day(&mut self, day: u64) {
        // A clock that is set back does not end the day.
        if self.day < day {
            (self.day, self.cpu_ms, self.output_bytes) = (day, 0, 0);
        }
    }

    fn refill(&mut self, per_min: u64, now: Instant) {
        let passed_s = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.creations_left = (self.creations_left + per_min as f64 * passed_s / 60.0).min(per_min as f64);
        self.refilled = now;
    }

    fn has_used(&self) -> bool {
        self.cpu_ms > 0 || self.output_bytes > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(change: impl FnOnce(&mut Config)) -> Quotas {
        let mut config = Config::default();
        change(&mut config);
        let [guest, user] = classes(&config);
        Quotas::new(guest, user)
    }

    fn address(number: u32) -> Payer {
        Payer::Address(std::net::Ipv4Addr::from(number).into())
    }

    const GUEST: Option<QuotaClass> = Some(QuotaClass::Guest);

    #[test]
    fn creations_are_counted_by_the_minute() {
        let quotas = quotas(|config| config.guest_creations_per_min = 6);
        let start = Instant::now();
        let admit = |payer, seconds| quotas.admit_at(GUEST, payer, 0, start + Duration::from_secs(seconds));
        for _ in 0..6 {
            assert_eq!(admit(address(1), 1), Ok(()));
        }
        let exceeded = QuotaExceeded { quota: Quota::CreationsPerMin, limit: 6, retry_after_s: 10 };
        assert_eq!(admit(address(1), 1), Err(exceeded));
        assert_eq!(admit(address(2), 1), Ok(()), "another payer");
        assert_eq!(admit(address(1), 11), Ok(()));
        assert!(admit(address(1), 12).is_err());
        assert_eq!(quotas.admit(None, address(1)), Ok(()), "an admin has no quota");
        assert_eq!(quotas.admit(Some(QuotaClass::User), address(1)), Ok(()), "users have no such quota");
    }

    #[test]
    fn usage_is_counted_by_the_day() {
        let quotas = quotas(|config| {
            config.guest_cpu_ms_per_day = 100;
            config.guest_output_bytes_per_day = 1000;
        });
        let admit =
            |now_us| quotas.admit_at(GUEST, address(1), now_us, Instant::now()).map_err(|error| error.quota);
        let noon = DAY_US / 2;
        quotas.count_at(address(1), 99, 0, noon);
        assert_eq!(admit(noon), Ok(()));
        quotas.count_at(address(1), 1, 0, noon);
        assert_eq!(admit(noon), Err(Quota::CpuMsPerDay));
        assert_eq!(
            quotas.admit_at(GUEST, address(1), noon, Instant::now()).unwrap_err().retry_after_s,
            43_200
        );
        assert_eq!(admit(DAY_US), Ok(()), "the next day");
        quotas.count_at(address(1), 0, 1000, DAY_US);
        assert_eq!(admit(DAY_US), Err(Quota::OutputBytesPerDay));
    }

    #[test]
    fn what_was_used_is_found_again() {
        let with_quota = || quotas(|config| config.guest_cpu_ms_per_day = 100);
        let quotas = with_quota();
        quotas.count_at(address(1), 100, 7, 5 * DAY_US);
        let changed = quotas.take_changed(5);
        assert_eq!(changed.len(), 1);
        assert!(quotas.take_changed(5).is_empty());
        let payer = serde_json::to_string(&changed[0].0).unwrap();
        let other = with_quota();
        other.restore(5, vec![DayUsage { payer, cpu_ms: 100, output_bytes: 7 }]);
        assert!(other.admit_at(GUEST, address(1), 5 * DAY_US, Instant::now()).is_err());
        assert!(other.admit_at(GUEST, address(2), 5 * DAY_US, Instant::now()).is_ok());
    }

    #[test]
    fn the_memory_for_counts_is_bounded() {
        let quotas = quotas(|config| config.guest_cpu_ms_per_day = 100);
        for number in 0..150_000 {
            quotas.count_at(address(number), 1, 1, 0);
        }
        assert!(quotas.counts().len() <= PAYERS_MAX);
    }
}
