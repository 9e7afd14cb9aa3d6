//! When quotas are used up, and what is remembered of usage.

use super::{counts::COUNTED_MAX, *};
use crate::auth::{Caller, Credential, Role, User, UserId};

const DAY_US: u64 = 24 * 60 * 60 * 1_000_000;

fn quotas(change: impl FnOnce(&mut Config)) -> Quotas {
    let mut config = Config::default();
    change(&mut config);
    Quotas::new(Roles::new(&config))
}

fn address(number: u32) -> Payer {
    Payer::Address(std::net::Ipv4Addr::from(number).into())
}

fn guest(quotas: &Quotas, number: u32) -> Account {
    quotas.roles.account(&Caller::Guest(None), address(number))
}

fn user(quotas: &Quotas, role: Role, limits: OwnLimits) -> Account {
    let id = UserId::Name("ada".parse().unwrap());
    let credential = Credential::Token("5f".into());
    let limits = (!limits.is_empty()).then(|| Box::new(limits));
    let caller = Caller::User(User { id, role, limits, expires_us: None, credential });
    quotas.roles.account(&caller, Payer::of(&caller, None))
}

/// Counts usage of a payer.
fn count(quotas: &Quotas, payer: Payer, cpu_ms: u64, output_bytes: u64, ended_us: u64) {
    assert!(quotas.add(&mut quotas.counts(), [Counted::Payer(payer)], cpu_ms, output_bytes, ended_us));
}

#[test]
fn creations_are_counted_by_the_minute() {
    let quotas = quotas(|config| config.guest_creations_per_min = 6);
    let start = Instant::now();
    let admit = |number, seconds| {
        let account = guest(&quotas, number);
        quotas.admit_at(&account, 0, start + Duration::from_secs(seconds))
    };
    for _ in 0..6 {
        assert_eq!(admit(1, 1), Ok(()));
    }
    let scope = QuotaScope::Address;
    let exceeded = QuotaExceeded { quota: QuotaName::CreationsPerMin, scope, limit: 6, retry_after_s: 10 };
    assert_eq!(admit(1, 1), Err(exceeded));
    assert_eq!(admit(2, 1), Ok(()), "another payer");
    let used = quotas.used_at(&guest(&quotas, 1), 7, start + Duration::from_secs(6));
    let refilled_us = Some(7 + 55_000_000);
    let expected = QuotaUse { quota: QuotaName::CreationsPerMin, scope, limit: 6, used: 6, refilled_us };
    assert_eq!(used, [expected]);
    assert_eq!(admit(1, 11), Ok(()));
    assert!(admit(1, 12).is_err());
    assert_eq!(quotas.admit(&user(&quotas, Role::Admin, OwnLimits::default())), Ok(()));
    let of_user = user(&quotas, Role::User, OwnLimits::default());
    assert_eq!(quotas.admit(&of_user), Ok(()), "users have no such quota");
    assert!(quotas.used(&of_user).is_empty());
}

#[test]
fn usage_is_counted_by_the_day() {
    let quotas = quotas(|config| {
        config.guest_cpu_ms_per_day = 100;
        config.guest_output_bytes_per_day = 1000;
    });
    let account = guest(&quotas, 1);
    let admit = |now_us| quotas.admit_at(&account, now_us, Instant::now()).map_err(|error| error.quota);
    count(&quotas, address(1), 60, 0, 0);
    count(&quotas, address(2), 60, 0, 0);
    assert_eq!(admit(0), Ok(()));
    count(&quotas, address(1), 60, 0, 0);
    assert_eq!(admit(0), Err(QuotaName::CpuMsPerDay));
    let exceeded = quotas.admit_at(&account, DAY_US - 1_500_000, Instant::now()).unwrap_err();
    assert_eq!(exceeded.retry_after_s, 2);
    assert_eq!(
        exceeded.to_string(),
        "your programs may use 100 ms of CPU time in a day, and have used it; the next day begins at 0:00 UTC"
    );
    let used = quotas.used_at(&account, 5, Instant::now());
    assert_eq!(used.iter().map(|used| used.used).collect::<Vec<_>>(), [120, 0]);
    assert!(used.iter().all(|used| used.refilled_us == Some(DAY_US)));
    assert_eq!(admit(DAY_US), Ok(()), "the next day");
    count(&quotas, address(1), 0, 1000, DAY_US - 1);
    assert_eq!(admit(DAY_US), Ok(()), "what has ended yesterday is not of today");
    count(&quotas, address(1), 0, 1000, DAY_US);
    assert_eq!(admit(DAY_US), Err(QuotaName::OutputBytesPerDay));
}

#[test]
fn a_token_counts_apart_and_besides() {
    let quotas = quotas(|config| config.user_cpu_ms_per_day = 100);
    let limits = OwnLimits { cpu_ms_per_day: Some(40), creations_per_min: Some(2), ..OwnLimits::default() };
    let (account, other) =
        (user(&quotas, Role::User, limits), user(&quotas, Role::User, OwnLimits::default()));
    let admit =
        |account| quotas.admit_at(account, 0, Instant::now()).map_err(|error| (error.scope, error.quota));
    assert_eq!((admit(&account), admit(&account)), (Ok(()), Ok(())));
    assert_eq!(admit(&account), Err((QuotaScope::Token, QuotaName::CreationsPerMin)));
    assert_eq!(admit(&other), Ok(()), "another token of the user");
    let token = || Counted::Token { token: "5f".into() };
    quotas.add(&mut quotas.counts(), [Counted::Payer(account.payer), token()], 50, 0, 0);
    assert_eq!(admit(&account), Err((QuotaScope::Token, QuotaName::CpuMsPerDay)));
    assert_eq!(admit(&other), Ok(()));
    quotas.add(&mut quotas.counts(), [Counted::Payer(account.payer)], 50, 0, 0);
    assert_eq!(admit(&other), Err((QuotaScope::User, QuotaName::CpuMsPerDay)));
    let scopes: Vec<_> = quotas.used(&account).iter().map(|used| (used.scope, used.quota)).collect();
    let expected = [
        (QuotaScope::User, QuotaName::CpuMsPerDay),
        (QuotaScope::Token, QuotaName::CreationsPerMin),
        (QuotaScope::Token, QuotaName::CpuMsPerDay),
    ];
    assert_eq!(scopes, expected);
}

#[test]
fn what_was_used_is_found_again() {
    let with_quota = || quotas(|config| config.guest_cpu_ms_per_day = 100);
    let quotas = with_quota();
    count(&quotas, address(1), 100, 7, 5 * DAY_US);
    quotas.add(&mut quotas.counts(), [Counted::Token { token: "5f".into() }], 1, 1, 5 * DAY_US);
    let changed = quotas.take_changed(5);
    assert_eq!(changed.len(), 2);
    assert!(quotas.take_changed(5).is_empty());
    let usage = |(counted, counts): &(Counted, Counts)| DayUsage {
        payer: serde_json::to_string(counted).unwrap(),
        cpu_ms: counts.cpu_ms,
        output_bytes: counts.output_bytes,
    };
    let other = with_quota();
    other.restore(5, changed.iter().map(usage).collect());
    assert_eq!(other.counts().len(), 2);
    // As servers have written it that counted no tokens.
    let local = DayUsage { payer: "\"local\"".into(), cpu_ms: 1, output_bytes: 1 };
    other.restore(5, vec![local]);
    assert!(other.counts().contains_key(&Counted::Payer(Payer::Local)));
    assert!(other.admit_at(&guest(&other, 1), 5 * DAY_US, Instant::now()).is_err());
    assert!(other.admit_at(&guest(&other, 2), 5 * DAY_US, Instant::now()).is_ok());
}

#[test]
fn a_creation_that_fails_uses_up_nothing() {
    let quotas = quotas(|config| config.guest_creations_per_min = 1);
    let account = guest(&quotas, 1);
    for _ in 0..3 {
        assert_eq!(quotas.admit(&account), Ok(()));
        assert!(quotas.admit(&account).is_err());
        quotas.take_back(&account);
    }
}

#[test]
fn a_jwt_with_limits_of_0_allows_nothing() {
    let quotas = quotas(|_| {});
    let account = |limits: OwnLimits| Account {
        own_limits: limits,
        token: None,
        allowance: Allowance { creations_per_min: limits.creations_per_min, ..Allowance::default() },
        ..user(&quotas, Role::User, OwnLimits::default())
    };
    let creations = account(OwnLimits { creations_per_min: Some(0), ..OwnLimits::default() });
    let running = account(OwnLimits { sessions_running_max: Some(0), ..OwnLimits::default() });
    for account in [&creations, &running] {
        let exceeded = quotas.admit_at(account, DAY_US - 2_000_000, Instant::now()).unwrap_err();
        assert_eq!((exceeded.limit, exceeded.retry_after_s), (0, 2));
        assert!(exceeded.to_string().ends_with("your credential allows none"), "{exceeded}");
    }
    assert_eq!(quotas.used(&creations)[0].refilled_us, None);
}

#[tokio::test]
async fn forgotten_usage_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = ControlStore::open(folder.path()).await.unwrap();
    let quotas = quotas(|config| config.guest_cpu_ms_per_day = 100);
    let quotas = Quotas { store: Some(store.clone()), ..quotas };
    count(&quotas, address(1), 60, 0, now_us());
    // A write that would begin while the rows are deleted waits, and then has nothing to write.
    let forget = quotas.forget(address(1), [], async { tokio::task::yield_now().await });
    tokio::join!(forget, quotas.write());
    assert_eq!(store.usage_of_day(day_of(now_us())).await.unwrap(), []);
}

#[test]
fn the_memory_for_counts_is_bounded() {
    let quotas = quotas(|config| config.guest_cpu_ms_per_day = 100);
    for number in 0..150_000 {
        count(&quotas, address(number), 1, 1, 0);
    }
    assert!(quotas.counts().len() <= COUNTED_MAX);
}
