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
//! Deliveries that wait for a program may be held for hours. They take at most half of each limit.

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
    total: Charged,
    /// The bytes of each payer that holds any.
    by_payer: HashMap<Payer, Charged>,
}

/// Bytes that are charged.
#[derive(Clone, Copy, Default)]
struct Charged {
    all: u64,
    /// Those of `all` that may be held for hours.
    for_long: u64,
}

/// Bytes that are charged to a payer until this value is dropped.
pub struct HeldBytes {
    budget: Arc<ByteBudget>,
    payer: Payer,
    bytes: u64,
    is_for_long: bool,
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
        HeldBytes { budget: self.clone(), payer, bytes: 0, is_for_long: false }
    }

    /// Charges bytes that may be held for hours. They take at most half of each limit.
    ///
    /// # Errors
    /// If the budget has no room for them.
    pub fn hold_for_long(self: &Arc<Self>, payer: Payer, bytes: u64) -> Result<HeldBytes, OverBudget> {
        self.charge(payer, bytes, true)?;
        Ok(HeldBytes { budget: self.clone(), payer, bytes, is_for_long: true })
    }

    fn charges(&self) -> MutexGuard<'_, Charges> {
        self.charges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges bytes if each limit has room for them.
    fn charge(&self, payer: Payer, bytes: u64, is_for_long: bool) -> Result<(), OverBudget> {
        let mut charges = self.charges();
        let fits = |held: Charged, max: u64| {
            held.all.saturating_add(bytes) <= max
                && (!is_for_long || held.for_long.saturating_add(bytes) <= max / 2)
        };
        let is_small = charges.of(payer).all.saturating_add(bytes) <= SMALL_THINGS_BYTES;
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
        charges.total.add(bytes, is_for_long);
        charges.by_payer.entry(payer).or_default().add(bytes, is_for_long);
        self.report(&charges);
        Ok(())
    }

    fn give_back(&self, payer: Payer, bytes: u64, is_for_long: bool) {
        let mut charges = self.charges();
        charges.total.subtract(bytes, is_for_long);
        if let Some(held) = charges.by_payer.get_mut(&payer) {
            held.subtract(bytes, is_for_long);
            if held.all == 0 {
                charges.by_payer.remove(&payer);
            }
        }
        self.report(&charges);
    }

    fn report(&self, charges: &Charges) {
        self.metrics.held_bytes.set(charges.total.all.try_into().unwrap_or(i64::MAX));
    }
}

impl Charges {
    fn of_guests(&self) -> Charged {
        let (mut guests, local) = (self.total, self.of(Payer::Local));
        guests.all = guests.all.saturating_sub(local.all);
        guests.for_long = guests.for_long.saturating_sub(local.for_long);
        guests
    }

    fn of(&self, payer: Payer) -> Charged {
        self.by_payer.get(&payer).copied().unwrap_or_default()
    }
}

impl Charged {
    fn add(&mut self, bytes: u64, is_for_long: bool) {
        self.all += bytes;
        self.for_long += if is_for_long { bytes } else { 0 };
    }

    fn subtract(&mut self, bytes: u64, is_for_long: bool) {
        self.all = self.all.saturating_sub(bytes);
        self.for_long = self.for_long.saturating_sub(if is_for_long { bytes } else { 0 });
    }
}

impl HeldBytes {
    /// Charges more bytes to the same payer.
    ///
    /// # Errors
    /// If the budget has no room for them. The charge is then unchanged.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OverBudget> {
        self.budget.charge(self.payer, bytes, self.is_for_long)?;
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
        Self { budget: self.budget.clone(), payer: self.payer, bytes, is_for_long: self.is_for_long }
    }

    /// Gives up to so many bytes back.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        if bytes > 0 {
            self.budget.give_back(self.payer, bytes, self.is_for_long);
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
        assert_eq!(budget.charges().total.all, 11);
        drop(held);
        assert_eq!(budget.charges().total.all, 5);
        drop(another);
        drop(budget.hold_for_long(guest(1), 3).unwrap());
        let charges = budget.charges();
        assert!(charges.total.all == 0 && charges.total.for_long == 0 && charges.by_payer.is_empty());
    }

    #[test]
    fn deliveries_take_at_most_half_and_find_room_beside_bodies() {
        let budget = budget();
        let mut bodies: Vec<_> = [1, 2, 3].map(|last| budget.hold(guest(last))).into();
        bodies[0].grow(30 * MIB).unwrap();
        bodies[1].grow(30 * MIB).unwrap();
        bodies[2].grow(5 * MIB).unwrap();
        assert_eq!(bodies[2].grow(MIB), Err(OverBudget::Server));
        budget.hold_for_long(guest(4), 1000).expect("a guest that holds little");
        drop(bodies);
        let held = budget.hold_for_long(guest(1), 15 * MIB).unwrap();
        assert_eq!(budget.hold_for_long(guest(1), 1).err(), Some(OverBudget::Address));
        let others = budget.hold_for_long(guest(2), 15 * MIB).unwrap();
        let small: Vec<_> = (3..10).map(|last| budget.hold_for_long(guest(last), MIB).unwrap()).collect();
        assert_eq!(budget.hold_for_long(guest(10), MIB).err(), Some(OverBudget::Server));
        budget.hold(guest(10)).grow(MIB).expect("a body");
        drop((held, others, small));
    }

    #[test]
    fn one_body_of_the_largest_size_always_fits() {
        let config = Config { held_bytes_max: 1, body_max_bytes: 64 * MIB, ..Config::default() };
        let budget = ByteBudget::new(&config, Arc::default());
        budget.hold(guest(1)).grow(64 * MIB * COPIES_OF_A_BODY).unwrap();
    }
}
