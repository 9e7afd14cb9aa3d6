//! The byte budget: what the server holds in memory for clients, in all and for each payer.
//!
//! Bodies and messages are charged while they arrive, while they are worked on, and while they
//! wait. A charge is a [`HeldBytes`], which gives the bytes back when it is dropped. Whatever does
//! not fit into the budget is refused; nothing waits for it.
//!
//! | party | may hold together |
//! | --- | --- |
//! | the local user | the whole budget |
//! | all guests | the budget less [`LOCAL_RESERVE_PERCENT`]; of that an eighth only for those who hold little |
//! | the guests of one address | `held_bytes_per_address_percent` of the budget |
//!
//! Deliveries that wait for a program may be held for hours. They are charged only while less than
//! half of each limit is held.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{auth::Payer, config::Config, metrics::Metrics};

/// The part of the budget that guests never get, so that they do not starve the local user.
const LOCAL_RESERVE_PERCENT: u64 = 25;
/// How often a body is held while it is worked on: as the bytes that came, and as the fields that
/// are parsed from them.
pub(crate) const COPIES_OF_A_BODY: u64 = 2;
/// The part of what guests may hold that is kept for those who hold at most
/// [`SMALL_THINGS_BYTES`], so that a newcomer finds room.
const NEWCOMERS_PART: u64 = 8;
/// Bytes that one address may hold besides one body of the largest size, whatever its share is.
const SMALL_THINGS_BYTES: u64 = 1024 * 1024;

/// The reason for refusing bytes that do not fit into the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverBudget {
    /// The guests of this address hold their share.
    #[error(
        "the server holds as many bytes for you as it may (the setting \
         held_bytes_per_address_percent); try again in a moment"
    )]
    Address,
    /// The whole budget, or the guests' part of it, is held.
    #[error(
        "the server holds as many bytes for its clients as it may (the setting held_bytes_max); try \
         again in a moment"
    )]
    Server,
}

/// The budget of one server.
pub struct ByteBudget {
    max_bytes: u64,
    guests_max_bytes: u64,
    per_address_max_bytes: u64,
    charges: Mutex<Charges>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Charges {
    /// The bytes of all payers.
    total: u64,
    /// The bytes of each payer that holds any.
    by_payer: HashMap<Payer, u64>,
}

/// Bytes that are charged to a payer until this value is dropped.
pub struct HeldBytes {
    budget: Arc<ByteBudget>,
    payer: Payer,
    bytes: u64,
}

impl ByteBudget {
    /// The budget that the settings describe. It has room for four bodies of the largest size, and
    /// the share of one address for one of them, even if a setting says less.
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Arc<Self> {
        let max_bytes = config.held_bytes_max.max(config.body_max_bytes.saturating_mul(4));
        let guests_max_bytes = percent_of(max_bytes, 100 - LOCAL_RESERVE_PERCENT);
        let one_body = config.body_max_bytes.saturating_mul(COPIES_OF_A_BODY) + SMALL_THINGS_BYTES;
        let share = percent_of(max_bytes, config.held_bytes_per_address_percent);
        Arc::new(Self {
            max_bytes,
            guests_max_bytes,
            per_address_max_bytes: share
                .max(one_body)
                .min(guests_max_bytes - guests_max_bytes / NEWCOMERS_PART),
            charges: Mutex::default(),
            metrics,
        })
    }

    /// A charge of no bytes yet.
    pub fn hold(self: &Arc<Self>, payer: Payer) -> HeldBytes {
        HeldBytes { budget: self.clone(), payer, bytes: 0 }
    }

    fn charges(&self) -> MutexGuard<'_, Charges> {
        self.charges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges bytes while no more than one `part`th of each limit is held with them.
    fn charge(&self, payer: Payer, bytes: u64, part: u64) -> Result<(), OverBudget> {
        let mut charges = self.charges();
        let fits = |held: u64, max: u64| held.saturating_add(bytes) <= max / part;
        let is_small = charges.of(payer).saturating_add(bytes) <= SMALL_THINGS_BYTES;
        let kept_bytes = if is_small { 0 } else { self.guests_max_bytes / NEWCOMERS_PART };
        let guests_max_bytes = self.guests_max_bytes - kept_bytes;
        let refusal = match payer {
            Payer::Address(_) | Payer::User(_) if !fits(charges.of(payer), self.per_address_max_bytes) => {
                Some(OverBudget::Address)
            }
            Payer::Address(_) | Payer::User(_) if !fits(charges.of_guests(), guests_max_bytes) => {
                Some(OverBudget::Server)
            }
            _ if !fits(charges.total, self.max_bytes) => Some(OverBudget::Server),
            _ => None,
        };
        if let Some(refusal) = refusal {
            drop(charges);
            self.metrics.held_bytes_refused.inc();
            return Err(refusal);
        }
        charges.total += bytes;
        *charges.by_payer.entry(payer).or_default() += bytes;
        self.report(&charges);
        Ok(())
    }

    fn give_back(&self, payer: Payer, bytes: u64) {
        let mut charges = self.charges();
        charges.total = charges.total.saturating_sub(bytes);
        if let Some(held) = charges.by_payer.get_mut(&payer) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                charges.by_payer.remove(&payer);
            }
        }
        self.report(&charges);
    }

    fn report(&self, charges: &Charges) {
        self.metrics.held_bytes.set(charges.total.try_into().unwrap_or(i64::MAX));
    }
}

impl Charges {
    fn of_guests(&self) -> u64 {
        self.total.saturating_sub(self.of(Payer::Local))
    }

    fn of(&self, payer: Payer) -> u64 {
        self.by_payer.get(&payer).copied().unwrap_or(0)
    }
}

impl HeldBytes {
    /// Charges more bytes to the same payer.
    ///
    /// # Errors
    /// If the budget has no room for them. The charge is then unchanged.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OverBudget> {
        self.budget.charge(self.payer, bytes, 1)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Like [`Self::grow`], for bytes that may be held for hours: they are charged only while less
    /// than half of each limit is held.
    ///
    /// # Errors
    /// If half of a limit is held. The charge is then unchanged.
    pub fn grow_for_long(&mut self, bytes: u64) -> Result<(), OverBudget> {
        self.budget.charge(self.payer, bytes, 2)?;
        self.bytes += bytes;
        Ok(())
    }

    /// How many bytes are charged.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A further charge of so many bytes to the same payer.
    ///
    /// # Errors
    /// If the budget has no room for them.
    pub fn another(&self, bytes: u64) -> Result<Self, OverBudget> {
        let mut another = self.budget.hold(self.payer);
        another.grow(bytes)?;
        Ok(another)
    }

    /// Keeps so many bytes, and splits off the charge for the others.
    pub fn split_off(&mut self, kept_bytes: u64) -> Self {
        let bytes = self.bytes.saturating_sub(kept_bytes);
        self.bytes -= bytes;
        Self { budget: self.budget.clone(), payer: self.payer, bytes }
    }

    /// Gives up to so many bytes back.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        if bytes > 0 {
            self.budget.give_back(self.payer, bytes);
            self.bytes -= bytes;
        }
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// So many percent of a number.
fn percent_of(number: u64, percent: u64) -> u64 {
    (u128::from(number) * u128::from(percent) / 100).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn guest(last: u8) -> Payer {
        Payer::Address([127, 0, 0, last].into())
    }

    fn budget() -> Arc<ByteBudget> {
        let config = Config {
            held_bytes_max: 100 * MIB,
            held_bytes_per_address_percent: 30,
            body_max_bytes: MIB,
            ..Config::default()
        };
        ByteBudget::new(&config, Arc::default())
    }

    #[test]
    fn each_address_has_its_share_and_the_local_user_a_reserve() {
        let budget = budget();
        let mut held: Vec<_> = [1, 2, 3, 4].map(|last| budget.hold(guest(last))).into();
        assert_eq!(held[0].grow(31 * MIB), Err(OverBudget::Address));
        held[0].grow(30 * MIB).unwrap();
        assert!(budget.hold(guest(1)).grow(1).is_err(), "another request of the same address");
        held[1].grow(30 * MIB).unwrap();
        // An eighth of the guests' part is for those who hold little.
        assert_eq!(held[2].grow(6 * MIB), Err(OverBudget::Server));
        held[2].grow(5 * MIB).unwrap();
        held[3].grow(MIB).unwrap();
        assert_eq!(held[3].grow(MIB), Err(OverBudget::Server));
        for last in 5..14 {
            held.push(budget.hold(guest(last)));
            held.last_mut().unwrap().grow(MIB).unwrap();
        }
        assert_eq!(budget.hold(guest(20)).grow(MIB), Err(OverBudget::Server));
        let mut local = budget.hold(Payer::Local);
        local.grow(25 * MIB).unwrap();
        assert_eq!(local.grow(1), Err(OverBudget::Server));
        held.remove(0);
        local.grow(30 * MIB).unwrap();
        assert_eq!(budget.hold(guest(4)).grow(1), Err(OverBudget::Server));
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = budget();
        let mut held = budget.hold(guest(1));
        held.grow(10).unwrap();
        let another = held.another(5).unwrap();
        held.shrink(4);
        assert_eq!(budget.charges().total, 11);
        drop(held);
        assert_eq!(budget.charges().total, 5);
        drop(another);
        let charges = budget.charges();
        assert!(charges.total == 0 && charges.by_payer.is_empty());
    }

    #[test]
    fn one_body_of_the_largest_size_always_fits() {
        let config = Config { held_bytes_max: 1, body_max_bytes: 64 * MIB, ..Config::default() };
        let budget = ByteBudget::new(&config, Arc::default());
        budget.hold(guest(1)).grow(64 * MIB * COPIES_OF_A_BODY).unwrap();
    }
}
