//! The order in which the queue grants permits, and its bounds.

use std::{collections::HashMap, net::IpAddr};

use proptest::prelude::*;

use super::*;

fn address(number: u8) -> Payer {
    Payer::Address(IpAddr::from([192, 0, 2, number]))
}

fn owner(number: u8) -> Owner {
    Owner::Guest(number.to_string())
}

fn session(number: u16) -> SessionId {
    SessionId::from_random(u128::from(number).to_be_bytes())
}

/// Bounds of payers that do not matter.
const UNBOUNDED: RunBounds = RunBounds { running_max: u64::MAX, queued_max: u64::MAX };

fn queue(running: u64, queued: u64) -> Arc<RunQueue> {
    let limits = |total| PortionLimits { total, per_address: u64::MAX, reserved: 0 };
    let starting = u64::MAX;
    RunQueue::new(RunQueueLimits {
        running: limits(running),
        queued: limits(queued),
        starting,
        starts_per_second: u64::MAX,
    })
}

/// Whether a session has its permit.
fn is_granted(queue: &RunQueue, turn: &RunTurn) -> bool {
    queue.position(turn.id, &turn.payer, &turn.owner).is_none()
}

/// Ends the sessions that run, one after the other; returns the order in which the others get
/// their permits.
fn drain(queue: &RunQueue, mut turns: Vec<RunTurn>) -> Vec<SessionId> {
    let mut order = vec![];
    while let Some(at) = turns.iter().position(|turn| is_granted(queue, turn)) {
        order.push(turns.remove(at).id);
    }
    assert!(turns.is_empty(), "sessions wait although nothing runs");
    order
}

#[test]
fn payers_have_their_turns_and_owners_below_them() {
    let queue = queue(1, 100);
    let enter = |id, payer, of| queue.enter(session(id), payer, &owner(of), UNBOUNDED).unwrap();
    let turns = vec![
        enter(0, address(1), 1), // runs
        enter(1, address(1), 1),
        enter(2, address(1), 1),
        enter(3, address(1), 1),
        enter(4, address(1), 2),
        enter(5, address(2), 3),
        enter(6, Payer::Local, 0),
    ];
    let positions: Vec<_> =
        turns.iter().map(|turn| queue.position(turn.id, &turn.payer, &turn.owner)).collect();
    assert_eq!(positions, [None, Some(1), Some(5), Some(6), Some(4), Some(2), Some(3)]);
    assert_eq!(drain(&queue, turns), [0, 1, 5, 6, 4, 2, 3].map(session));
}

#[test]
fn a_full_queue_refuses_who_would_have_to_wait() {
    let limits = |total| PortionLimits { total, per_address: u64::MAX, reserved: 1 };
    let queue = RunQueue::new(RunQueueLimits {
        running: limits(2),
        queued: limits(5),
        starting: u64::MAX,
        starts_per_second: u64::MAX,
    });
    let enter = |id, payer| queue.enter(session(id), payer, &owner(1), UNBOUNDED);
    let running = enter(0, address(1)).unwrap();
    let mut waiting: Vec<_> = (1..=2).map(|id| enter(id, address(1)).unwrap()).collect();
    waiting.push(enter(3, address(1)).unwrap());
    assert!(enter(4, address(1)).is_err(), "one address has more than half of the places");
    waiting.push(enter(5, address(2)).unwrap());
    assert!(enter(6, address(3)).is_err(), "the last place is the local user's");
    let local = enter(7, Payer::Local).unwrap();
    assert!(is_granted(&queue, &local), "the last permit is the local user's");
    waiting.push(enter(8, Payer::Local).unwrap());
    assert!(enter(9, Payer::Local).is_err());
    let recovered = queue.reenter(session(10), address(1), &owner(1), UNBOUNDED);
    assert!(!is_granted(&queue, &recovered));
    drop(waiting);
    drop(running);
    assert!(is_granted(&queue, &recovered));
}

/// A session that is refused holds no place, not even for a moment in which another one comes.
#[test]
fn refusals_take_no_place_from_a_newcomer() {
    // Each of them holds two of the places, and one place is left.
    const CROWD: u8 = 15;
    let queue = queue(1, 31);
    let enter = |number: u8| queue.enter(session(number.into()), address(number), &owner(1), UNBOUNDED);
    let mut waiting = vec![];
    while (0..CROWD).flat_map(enter).map(|turn| waiting.push(turn)).count() > 0 {}
    let newcomer_at_once = || enter(CROWD).map(drop);
    std::thread::scope(|scope| {
        for number in 0..CROWD {
            let enter = &enter;
            scope.spawn(move || (0..2000).for_each(|_| assert!(enter(number).is_err())));
        }
        (0..2000).for_each(|_| assert_eq!(newcomer_at_once(), Ok(()), "the last place is free"));
    });
}

#[test]
fn guests_that_start_leave_room_for_other_guests() {
    let limits = PortionLimits { total: 100, per_address: 100, reserved: 0 };
    let queue = RunQueue::new(RunQueueLimits {
        running: limits,
        queued: limits,
        starting: 4,
        starts_per_second: u64::MAX,
    });
    let enter = |id, payer| queue.enter(session(id), payer, &owner(1), UNBOUNDED).unwrap();
    let mut turns: Vec<_> = (0..3).map(|id| enter(id, address(1))).collect();
    assert_eq!(turns.iter().map(|turn| is_granted(&queue, turn)).collect::<Vec<_>>(), [true, true, false]);
    assert!(is_granted(&queue, &enter(3, address(2))));
    let local: Vec<_> = (4..20).map(|id| enter(id, Payer::Local)).collect();
    assert!(local.iter().all(|turn| is_granted(&queue, turn)), "the local user starts when it likes");
    turns[0].has_started();
    turns[0].has_started();
    assert!(is_granted(&queue, &turns[2]));
}

#[test]
fn a_payer_has_no_more_than_its_bounds() {
    let queue = queue(100, 100);
    let enter = |id, payer, running_max, queued_max| {
        queue.enter(session(id), payer, &owner(1), RunBounds { running_max, queued_max })
    };
    let mut turns: Vec<_> = (0..4).map(|id| enter(id, address(1), 2, 2).unwrap()).collect();
    let granted = |turns: &[RunTurn]| turns.iter().map(|turn| is_granted(&queue, turn)).collect::<Vec<_>>();
    assert_eq!(granted(&turns), [true, true, false, false]);
    assert!(enter(4, address(1), 2, 2).is_err(), "two wait");
    assert!(is_granted(&queue, &enter(5, address(2), 1, 0).unwrap()), "another payer");
    drop(turns.remove(0));
    assert_eq!(granted(&turns), [true, true, false]);
    // A session with a higher bound keeps its place behind one that waits.
    turns.push(enter(6, address(1), 3, 2).unwrap());
    assert_eq!(granted(&turns), [true, true, false, false]);
    drop(turns.remove(0));
    assert_eq!(granted(&turns), [true, true, true]);
}

#[test]
fn a_session_that_waits_no_more_lets_the_next_one_run() {
    let queue = queue(100, 100);
    let enter = |id, running_max| {
        let bounds = RunBounds { running_max, queued_max: 10 };
        queue.enter(session(id), address(1), &owner(1), bounds).unwrap()
    };
    let (_running, waiting, next) = (enter(0, 1), enter(1, 1), enter(2, 3));
    assert!(!is_granted(&queue, &next));
    drop(waiting);
    assert!(is_granted(&queue, &next));
}

#[derive(Clone, Debug)]
enum Step {
    Enter {
        payer: u8,
        owner: u8,
    },
    /// A session, whether it waits or runs, ends.
    Leave(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4u8, 0..3u8).prop_map(|(payer, owner)| Step::Enter { payer, owner }),
        2 => any::<prop::sample::Index>().prop_map(Step::Leave),
    ]
}

proptest! {
    #[test]
    fn permits_are_bounded_and_granted_in_order(steps in prop::collection::vec(step(), 1..120), max in 1..6u64) {
        let limits = PortionLimits::new(max, max, true);
        let queue = RunQueue::new(RunQueueLimits { running: limits, queued: PortionLimits::new(16, 8, true), starting: 3, starts_per_second: u64::MAX });
        let mut turns: Vec<RunTurn> = vec![];
        for (id, step) in (0..).zip(steps) {
            match step {
                Step::Enter { payer, owner: of } => {
                    let payer = if payer == 0 { Payer::Local } else { address(payer) };
                    turns.extend(queue.enter(session(id), payer, &owner(of), UNBOUNDED));
                }
                Step::Leave(index) if !turns.is_empty() => drop(turns.remove(index.index(turns.len()))),
                Step::Leave(_) => {}
            }
            let granted = turns.iter().filter(|turn| is_granted(&queue, turn)).count() as u64;
            prop_assert!(granted <= max);
            // The sessions of one owner get their permits in their order.
            let mut waits: HashMap<(Payer, Owner), bool> = HashMap::new();
            for turn in &turns {
                let earlier_waits = waits.entry((turn.payer, turn.owner.clone())).or_default();
                prop_assert!(!(*earlier_waits && is_granted(&queue, turn)));
                *earlier_waits |= !is_granted(&queue, turn);
            }
            let mut positions: Vec<_> =
                turns.iter().filter_map(|turn| queue.position(turn.id, &turn.payer, &turn.owner)).collect();
            positions.sort_unstable();
            prop_assert!(positions.iter().copied().eq(1..=positions.len() as u64));
        }
        drain(&queue, turns);
    }

    #[test]
    fn the_position_is_the_order_of_the_permits(waiting in prop::collection::vec((0..5u8, 0..4u8), 1..60)) {
        let queue = queue(1, u64::MAX);
        let first = queue.enter(session(u16::MAX), Payer::Local, &Owner::Local, UNBOUNDED).unwrap();
        let turns: Vec<_> = (0..).zip(&waiting)
            .map(|(id, (payer, of))| queue.enter(session(id), address(*payer), &owner(*of), UNBOUNDED).unwrap())
            .collect();
        let mut expected: Vec<_> = turns.iter()
            .map(|turn| (queue.position(turn.id, &turn.payer, &turn.owner).unwrap(), turn.id))
            .collect();
        expected.sort_unstable();
        drop(first);
        prop_assert_eq!(drain(&queue, turns), expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    }
}
