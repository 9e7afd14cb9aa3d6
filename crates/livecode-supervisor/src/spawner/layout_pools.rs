//! The decisions about warm sandboxes of other layouts than the usual one: of which layouts some
//! wait, how many of each, and which layout gives way to another. The sandboxes themselves belong
//! to workers (`pool`).
//!
//! Layouts come from runtimes, which the operator chooses, and not from requests. Still there may
//! be more of them than there is memory for. These rules hold:
//!
//! - All layouts together have at most `sandboxes_max` sandboxes, and at most as many layouts are
//!   kept. The layout that was least recently wanted is forgotten first.
//! - A layout has one sandbox or more. It has a second one only where there is room: whoever wants
//!   one layout often takes from no other layout the last.
//! - A layout that has none makes room by taking one of a layout that has several.
//! - A layout that nobody wants for `idle` is forgotten.

use std::time::{Duration, Instant};

use livecode_protocol::{run_spec::SandboxLayout, warm::WarmPoolSettings};

use crate::spawner::retry::RetryPause;

/// How often in a row a layout's sandbox cannot be made before fewer of them are to wait. One such
/// failure may have another cause, for example a parked worker whose time was just over.
const MAX_FAILURES: u32 = 2;

/// The number of a layout's pool, which no other layout has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolId(u64);

/// The layouts of which sandboxes wait.
pub(super) struct LayoutPools {
    /// The least recently wanted layout is the first.
    pools: Vec<LayoutPool>,
    last_id: u64,
    /// The most sandboxes of one layout.
    layout_max: usize,
    /// The most sandboxes of all layouts together.
    sandboxes_max: usize,
    idle: Duration,
}

/// A layout, and how many sandboxes of it are to wait.
struct LayoutPool {
    id: PoolId,
    /// The size is that of the latest session, so that a repetition finds its own.
    layout: SandboxLayout,
    target: usize,
    wanted_at: Instant,
    pause: RetryPause,
}

/// The workers of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WorkerCount {
    /// Those that wait for a request, or make the sandbox with which they will wait.
    pub waiting: usize,
    /// Those that have been given a request and have not reported that they have taken it.
    pub assigned: usize,
}

/// A step that brings the pools nearer to their targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolStep {
    /// Make a sandbox for this pool.
    Make(PoolId),
    /// End a worker of this pool, to make room.
    End(PoolId),
}

impl LayoutPools {
    /// The settings of a spawner without warm sandboxes are `None`.
    pub fn new(settings: Option<&WarmPoolSettings>) -> Self {
        Self {
            pools: vec![],
            last_id: 0,
            layout_max: settings.map_or(0, |settings| settings.sandboxes_max as usize),
            sandboxes_max: settings.map_or(0, |settings| settings.other_sandboxes_max as usize),
            idle: settings.map_or(Duration::ZERO, |settings| Duration::from_millis(settings.layout_idle_ms)),
        }
    }

    /// Notes that a session wants a layout now. Returns the layout's pool.
    pub fn want(&mut self, layout: SandboxLayout, now: Instant) -> PoolId {
        let known = self.pools.iter().position(|pool| pool.layout.has_same_files(&layout));
        let (id, target, pause) = match known.map(|index| self.pools.remove(index)) {
            Some(known) => (known.id, known.target, known.pause),
            None => {
                self.last_id += 1;
                (PoolId(self.last_id), 0, RetryPause::default())
            }
        };
        self.pools.push(LayoutPool { id, layout, target, wanted_at: now, pause });
        if self.pools.len() > self.sandboxes_max {
            self.pools.remove(0);
        }
        id
    }

    /// Raises the number of sandboxes that are to wait: a session has found none, or has taken the
    /// last.
    pub fn grow(&mut self, id: PoolId) {
        let max = self.layout_max.min(self.sandboxes_max);
        if let Some(pool) = self.pool_mut(id) {
            pool.target = (pool.target * 2).max(1).min(max);
        }
    }

    /// Lowers the number of sandboxes that are to wait to at most `held`: others have waited in
    /// vain, or give way to another layout. A layout of which none is to wait is forgotten until a
    /// session wants it again.
    pub fn shrink_to(&mut self, id: PoolId, held: usize) {
        if let Some(pool) = self.pool_mut(id) {
            pool.target = pool.target.min(held);
        }
        self.pools.retain(|pool| pool.id != id || pool.target > 0);
    }

    /// Notes that a worker has taken a request: sandboxes of this layout can be made.
    pub fn succeed(&mut self, id: PoolId) {
        if let Some(pool) = self.pool_mut(id) {
            pool.pause.succeed();
        }
    }

    /// Notes that a worker has died, and makes no other of this pool for a while. If the sandbox
    /// could not be made, several times in a row, fewer are to wait.
    pub fn fail(&mut self, id: PoolId, was_made: bool, now: Instant) {
        let Some(pool) = self.pool_mut(id) else { return };
        let failures = pool.pause.fail(now);
        if !was_made && failures >= MAX_FAILURES {
            let fewer = pool.target.saturating_sub(1);
            self.shrink_to(id, fewer);
        }
    }

    fn pool_mut(&mut self, id: PoolId) -> Option<&mut LayoutPool> {
        self.pools.iter_mut().find(|pool| pool.id == id)
    }

    /// Forgets the layouts that nobody has wanted for long.
    pub fn forget_unwanted(&mut self, now: Instant) {
        self.pools.retain(|pool| now < pool.wanted_at + self.idle);
    }

    /// When [`Self::forget_unwanted`] must be called, or a pool may make sandboxes again.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let unwanted_at = self.pools.first().map(|pool| pool.wanted_at + self.idle);
        self.pools.iter().filter_map(|pool| pool.pause.until(now)).chain(unwanted_at).min()
    }

    /// The layout of a pool; `None` if it was forgotten.
    pub fn layout(&self, id: PoolId) -> Option<&SandboxLayout> {
        self.pools.iter().find(|pool| pool.id == id).map(|pool| &pool.layout)
    }

    /// The next step, the most recently wanted layout first. `count` tells what workers
    /// a pool has.
    pub fn next_step(&self, now: Instant, count: impl Fn(PoolId) -> WorkerCount) -> Option<PoolStep> {
        let counts: Vec<_> = self.pools.iter().map(|pool| (pool, count(pool.id))).collect();
        let total: usize = counts.iter().map(|(_, count)| count.waiting + count.assigned).sum();
        let has_room = total < self.sandboxes_max;
        for (pool, count) in counts.iter().rev() {
            let held = count.waiting + count.assigned;
            if held >= pool.target || pool.pause.until(now).is_some() {
                continue;
            }
            if has_room {
                return Some(PoolStep::Make(pool.id));
            }
            if held == 0 {
                let giver = counts.iter().find(|(_, count)| count.waiting > 1);
                return giver.map(|(pool, _)| PoolStep::End(pool.id));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use livecode_protocol::run_spec::{Mount, StepLimits};

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn layout(name: &str, disk_bytes: u64) -> SandboxLayout {
        let mounts = vec![Mount { source: name.into(), target: "/opt".into() }];
        SandboxLayout { mounts, root: None, disk_bytes, disk_files: 1 }
    }

    /// Pools whose workers are numbers.
    struct Model {
        pools: LayoutPools,
        waiting: HashMap<u64, usize>,
        now: Instant,
    }

    impl Model {
        fn new(sandboxes_max: u32, other_sandboxes_max: u32) -> Self {
            let limits = StepLimits { cpu_ms: 1, memory_bytes: 1, processes: 1 };
            let settings = WarmPoolSettings {
                layout: layout("usual", 1),
                limits,
                cpu_millicores: 1,
                sandboxes_max,
                other_sandboxes_max,
                layout_idle_ms: IDLE.as_millis() as u64,
            };
            Self { pools: LayoutPools::new(Some(&settings)), waiting: HashMap::new(), now: Instant::now() }
        }

        /// A session takes a sandbox, and the pools do all that they want to do then. Returns
        /// whether the session found a sandbox.
        fn start(&mut self, name: &str) -> bool {
            let is_warm = self.take(name);
            self.work();
            is_warm
        }

        fn take(&mut self, name: &str) -> bool {
            self.now += Duration::from_secs(1);
            let id = self.pools.want(layout(name, 1), self.now);
            let waiting = self.waiting.entry(id.0).or_default();
            let is_warm = *waiting > 0;
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                self.pools.grow(id);
            }
            is_warm
        }

        fn work(&mut self) {
            self.pools.forget_unwanted(self.now);
            self.waiting.retain(|id, _| self.pools.layout(PoolId(*id)).is_some());
            loop {
                let waiting = &self.waiting;
                let count = |id: PoolId| WorkerCount {
                    waiting: waiting.get(&id.0).copied().unwrap_or(0),
                    assigned: 0,
                };
                match self.pools.next_step(self.now, count) {
                    None => return,
                    Some(PoolStep::Make(id)) => *self.waiting.entry(id.0).or_default() += 1,
                    Some(PoolStep::End(id)) => {
                        let waiting = self.waiting.get_mut(&id.0).expect("a worker to end");
                        *waiting -= 1;
                        self.pools.shrink_to(id, *waiting);
                    }
                }
                assert!(self.total() <= self.pools.sandboxes_max, "{:?}", self.waiting);
            }
        }

        fn total(&self) -> usize {
            self.waiting.values().sum()
        }
    }

    #[test]
    fn the_second_session_of_a_layout_is_warm_until_nobody_wants_it() {
        let mut model = Model::new(8, 4);
        assert_eq!([(); 3].map(|()| model.start("rust")), [false, true, true]);
        model.now += IDLE;
        model.work();
        assert_eq!((model.total(), model.pools.due(model.now)), (0, None));
        assert!(!model.start("rust"));
    }

    #[test]
    fn another_size_is_no_other_layout() {
        let mut model = Model::new(8, 4);
        let first = model.pools.want(layout("rust", 1), model.now);
        assert_eq!(model.pools.want(layout("rust", 2), model.now), first);
        assert_eq!(model.pools.layout(first), Some(&layout("rust", 2)));
    }

    #[test]
    fn demand_for_one_layout_takes_the_last_sandbox_of_no_other() {
        let mut model = Model::new(8, 6);
        for name in ["go", "java", "kotlin"] {
            model.start(name);
        }
        for _ in 0..50 {
            model.take("rust");
        }
        model.work();
        assert_eq!(model.total(), 6);
        for name in ["go", "java", "kotlin"] {
            assert!(model.start(name), "{name}");
        }
    }

    #[test]
    fn more_layouts_than_sandboxes_keep_the_bound_and_the_latest() {
        let mut model = Model::new(8, 3);
        let names: Vec<_> = (0..20).map(|number| number.to_string()).collect();
        for name in &names {
            assert!(!model.start(name));
        }
        assert_eq!((model.total(), model.pools.pools.len()), (3, 3));
        assert!(model.start("19") && model.start("18") && model.start("17") && !model.start("16"));
    }

    #[test]
    fn a_bound_of_none_keeps_none() {
        let mut model = Model::new(8, 0);
        assert_eq!([(); 3].map(|()| model.start("rust")), [false; 3]);
        assert_eq!((model.total(), model.pools.pools.len()), (0, 0));
    }

    #[test]
    fn a_layout_whose_workers_are_all_assigned_waits_for_room() {
        let Model { mut pools, now, .. } = Model::new(8, 1);
        let rust = pools.want(layout("rust", 1), now);
        pools.grow(rust);
        assert_eq!(pools.next_step(now, count(0, 0)), Some(PoolStep::Make(rust)));
        assert_eq!(pools.next_step(now, count(1, 0)), None);
        assert_eq!(pools.next_step(now, count(0, 1)), None);
        pools.shrink_to(rust, 0);
        assert_eq!(pools.next_step(now, count(0, 0)), None);
    }

    fn count(waiting: usize, assigned: usize) -> impl Fn(PoolId) -> WorkerCount {
        move |_| WorkerCount { waiting, assigned }
    }

    #[test]
    fn a_worker_that_dies_once_is_replaced_after_a_pause_of_its_pool_alone() {
        for was_made in [false, true] {
            let Model { mut pools, now, .. } = Model::new(8, 8);
            let [go, rust] = ["go", "rust"].map(|name| pools.want(layout(name, 1), now));
            pools.grow(go);
            pools.grow(rust);
            pools.fail(rust, was_made, now);
            let retry_at = pools.due(now).expect("the pool makes another");
            assert!(retry_at < now + IDLE);
            assert_eq!(pools.next_step(now, count(0, 0)), Some(PoolStep::Make(go)));
            assert_eq!(pools.next_step(retry_at, count(0, 0)), Some(PoolStep::Make(rust)));
        }
    }

    #[test]
    fn a_layout_that_cannot_be_made_is_forgotten_and_one_whose_sandboxes_die_is_not() {
        let Model { mut pools, now, .. } = Model::new(8, 8);
        let rust = pools.want(layout("rust", 1), now);
        pools.grow(rust);
        for _ in 0..10 {
            pools.fail(rust, true, now);
        }
        assert!(pools.layout(rust).is_some());
        pools.succeed(rust);
        pools.fail(rust, false, now);
        assert!(pools.layout(rust).is_some());
        pools.fail(rust, false, now);
        assert_eq!((pools.layout(rust), pools.next_step(now + IDLE, count(0, 0))), (None, None));
    }

    #[test]
    fn no_more_are_to_wait_than_there_may_be_nor_than_there_were_when_one_waited_in_vain() {
        let Model { mut pools, now, .. } = Model::new(64, 3);
        let rust = pools.want(layout("rust", 1), now);
        (0..10).for_each(|_| pools.grow(rust));
        assert_eq!(pools.pools[0].target, 3);
        pools.shrink_to(rust, 1);
        assert_eq!(pools.next_step(now, count(1, 0)), None);
    }
}
