//! How something of which there is a limited number is divided among payers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Payer;

/// The part of a limited number that is kept for the local user: one sixteenth, rounded up, but
/// never all of it.
const RESERVED_DIVISOR: u64 = 16;
/// A limited number has so many parts of which some are kept for newcomers: as many as a payer
/// holds items, it leaves to those who hold fewer. With 64 parts, a hundred payers who asked for
/// 300 places in bursts took the last one in about one burst of a hundred; with 32, at least six
/// were left, in a simulation of 3,000 bursts.
const NEWCOMERS_DIVISOR: u64 = 32;
/// The most parts that a payer leaves. A page needs two connections.
const NEWCOMER_PARTS_MAX: u64 = 2;

/// The limits of one kind of thing, for example of running sessions.
#[derive(Clone, Copy, Debug)]
pub struct PortionLimits {
    /// How many there are in all.
    pub total: u64,
    /// The most that the guests of one address may hold.
    pub per_address: u64,
    /// How many guests may never hold, because they are kept for the local user.
    pub reserved: u64,
}

impl PortionLimits {
    /// Limits with a part that is kept for the local user, if there is one.
    pub fn new(total: u64, per_address: u64, has_local_user: bool) -> Self {
        let reserved = total.div_ceil(RESERVED_DIVISOR).min(total.saturating_sub(1));
        Self { total, per_address, reserved: if has_local_user { reserved } else { 0 } }
    }
}

/// The number of items that each payer holds, of a limited number of them.
///
/// A newcomer must get something at once, whatever the others hold. So the guests of an address
/// may take one more only while they hold fewer than are free. One address alone gets half of
/// all, two get a third each, and n of them leave one part of n + 1 parts free (the dynamic
/// thresholds of shared-memory switches, Choudhury and Hahne 1998). No clock and no knowledge of
/// who else may come is needed for this. A crowd could still take the last one, each of them while
/// it holds nothing for a moment. So payers that hold one leave a small part to those that hold
/// nothing, and payers that hold more leave twice that part.
///
/// The local user may take whatever is free.
#[derive(Debug)]
pub struct Portions {
    limits: PortionLimits,
    held: HashMap<Payer, u64>,
    total: u64,
}

impl Portions {
    /// Portions of which nobody holds any.
    pub fn new(limits: PortionLimits) -> Self {
        Self { limits, held: HashMap::new(), total: 0 }
    }

    /// Whether `payer` may take one more.
    pub fn may_take(&self, payer: &Payer) -> bool {
        self.may_take_below(payer, self.limits.per_address)
    }

    /// Whether `payer` may take one more, if it holds fewer than `max`.
    pub fn may_take_below(&self, payer: &Payer, max: u64) -> bool {
        match payer {
            Payer::Local => self.free() > 0,
            Payer::Address(_) | Payer::User(_) => {
                self.may_guests_take() && self.held(payer) < max.min(self.guests_threshold(payer))
            }
        }
    }

    /// Whether a guest that holds nothing may take one.
    pub fn may_guests_take(&self) -> bool {
        let guests = self.total - self.held.get(&Payer::Local).copied().unwrap_or(0);
        self.free() > 0
            && self.limits.per_address > 0
            && guests < self.limits.total.saturating_sub(self.limits.reserved)
    }

    /// Gives one to `payer`, whether or not it may take it.
    pub fn take(&mut self, payer: &Payer) {
        *self.held.entry(*payer).or_default() += 1;
        self.total += 1;
    }

    /// Takes one back from `payer`. Nothing happens if it holds none.
    pub fn give_back(&mut self, payer: &Payer) {
        let Some(held) = self.held.get_mut(payer) else { return };
        *held -= 1;
        if *held == 0 {
            self.held.remove(payer);
        }
        self.total -= 1;
    }

    /// How many a payer holds.
    pub fn held(&self, payer: &Payer) -> u64 {
        self.held.get(payer).copied().unwrap_or(0)
    }

    /// How many are held by all payers together.
    pub fn total_held(&self) -> u64 {
        self.total
    }

    /// How many there are in all.
    pub fn total_max(&self) -> u64 {
        self.limits.total
    }

    /// How many this payer may hold at most if it takes one more. Of the part that is not kept for
    /// the local user, it may hold twice as many as it leaves there: that is no bound for one
    /// address, and always leaves something to the next of many.
    fn guests_threshold(&self, payer: &Payer) -> u64 {
        let guests = self.total - self.held(&Payer::Local);
        let left = self.limits.total.saturating_sub(self.limits.reserved).saturating_sub(guests);
        let parts = self.held(payer).min(NEWCOMER_PARTS_MAX);
        if left <= self.limits.total.saturating_mul(parts) / NEWCOMERS_DIVISOR {
            return 0;
        }
        self.free().min(left.saturating_mul(2))
    }

    fn free(&self) -> u64 {
        self.limits.total.saturating_sub(self.total)
    }
}

/// Portions that are given back by themselves.
#[derive(Debug)]
pub struct PortionPool(Mutex<Portions>);

/// One of something of which there is a limited number. Dropping it gives it back.
#[derive(Debug)]
pub struct Portion {
    pool: Arc<PortionPool>,
    payer: Payer,
}

impl PortionPool {
    /// A pool from which nothing is taken.
    pub fn new(limits: PortionLimits) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Portions::new(limits))))
    }

    /// Takes one for `payer`; `None` if it has as many as it may.
    pub fn try_take(self: &Arc<Self>, payer: Payer) -> Option<Portion> {
        let mut portions = self.portions();
        portions.may_take(&payer).then(|| portions.take(&payer))?;
        Some(Portion { pool: self.clone(), payer })
    }

    fn portions(&self) -> MutexGuard<'_, Portions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Portion {
    /// The payer that it counts for.
    pub fn payer(&self) -> Payer {
        self.payer
    }

    /// Lets it count for another payer from now on. Returns `false`, and changes nothing, if that
    /// payer has as many as it may.
    pub fn transfer(&mut self, payer: Payer) -> bool {
        if self.payer == payer {
            return true;
        }
        let mut portions = self.pool.portions();
        portions.give_back(&self.payer);
        let may_take = portions.may_take(&payer);
        if may_take {
            self.payer = payer;
        }
        portions.take(&self.payer);
        may_take
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.pool.portions().give_back(&self.payer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> Payer {
        Payer::Address(std::net::IpAddr::from([192, 0, 2, number]))
    }

    /// Takes as many as `payer` may have; returns how many those were.
    fn take_all(portions: &mut Portions, payer: Payer) -> u64 {
        std::iter::from_fn(|| portions.may_take(&payer).then(|| portions.take(&payer))).count() as u64
    }

    #[test]
    fn every_newcomer_gets_a_part() {
        let mut portions = Portions::new(PortionLimits::new(1024, 512, true));
        assert_eq!(take_all(&mut portions, address(1)), 512, "a class of 500 has one address");
        assert_eq!(take_all(&mut portions, address(2)), 256);
        assert_eq!(take_all(&mut portions, address(3)), 128);
        assert_eq!(take_all(&mut portions, address(4)), 2, "what is left is for newcomers");
        assert_eq!(take_all(&mut portions, address(5)), 2);
        assert_eq!(take_all(&mut portions, Payer::Local), 124, "those that are kept for it among them");
        for _ in 0..512 {
            portions.give_back(&address(1));
        }
        assert_eq!(take_all(&mut portions, address(6)), 256);
    }

    #[test]
    fn a_crowd_of_addresses_leaves_something_to_the_next() {
        for (total, per_address) in [(10_000, 500), (300, 500), (1024, 512)] {
            let mut portions = Portions::new(PortionLimits::new(total, per_address, true));
            // They come one by one, in turns, until none of them may take any more.
            while (0..100).filter(|number| take_one(&mut portions, address(*number))).count() > 0 {}
            assert!(take_one(&mut portions, address(200)), "of {total}");
            assert!(portions.held(&address(0)) >= total / 150, "of {total}");
            // Somebody of the crowd ends a session and takes the place again, and so on.
            for number in (0..100).cycle().take(1000) {
                portions.give_back(&address(number));
                while take_one(&mut portions, address(number)) {}
            }
            for newcomer in 0..u16::try_from(total / 32).unwrap() {
                let address = std::net::Ipv4Addr::from(0x0a00_0000 + u32::from(newcomer));
                assert!(take_one(&mut portions, Payer::Address(address.into())), "{newcomer} of {total}");
            }
        }
    }

    fn take_one(portions: &mut Portions, payer: Payer) -> bool {
        portions.may_take(&payer).then(|| portions.take(&payer)).is_some()
    }

    #[test]
    fn a_portion_counts_for_one_payer_at_a_time() {
        let pool = PortionPool::new(PortionLimits::new(4, 4, true));
        let mut own = pool.try_take(Payer::Local).unwrap();
        let others = [1, 2].map(|number| pool.try_take(address(number)).unwrap());
        assert!(own.transfer(address(3)) && own.transfer(address(3)), "three of four may be guests'");
        assert!(pool.try_take(address(4)).is_none());
        let mut last = pool.try_take(Payer::Local).unwrap();
        assert!(!last.transfer(address(4)) && last.payer() == Payer::Local);
        drop(others);
        assert!(last.transfer(address(4)));
        drop((own, last));
        assert_eq!(take_all(&mut pool.portions(), Payer::Local), 4);
    }

    #[test]
    fn small_numbers_are_shared_too() {
        for (total, first, second, local) in
            [(1, 1, 0, 0), (2, 1, 0, 1), (3, 2, 0, 1), (8, 4, 2, 2), (0, 0, 0, 0)]
        {
            let mut portions = Portions::new(PortionLimits::new(total, 100, true));
            let taken = [address(1), address(2), Payer::Local].map(|payer| take_all(&mut portions, payer));
            assert_eq!(taken, [first, second, local], "of {total}");
        }
        let mut portions = Portions::new(PortionLimits::new(8, 3, false));
        assert_eq!(take_all(&mut portions, address(1)), 3, "a server beyond loopback reserves nothing");
        assert_eq!([2, 3].map(|number| take_all(&mut portions, address(number))), [3, 1]);
    }
}
