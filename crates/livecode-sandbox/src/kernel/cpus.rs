//! Which CPUs work is done on. What is made ahead is made beside the session that was just asked for; where there are two
//! CPUs and both are looked for work at the same moment, the scheduler puts the two on one of them and leaves the other idle.

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The CPUs that this process may use.
#[derive(Clone, Copy, Debug)]
pub struct Cpus(CpuSet);

impl Cpus {
    pub(crate) fn all() -> Self {
        Self(sched_getaffinity(None).unwrap_or_default())
    }

    /// The one that this process is on.
    pub fn current() -> usize {
        sched_getcpu()
    }

    /// Keeps this process, and what it will start, off this one, where there is another.
    pub fn avoid(&self, cpu: usize) {
        let mut others = self.0;
        if cpu < CpuSet::MAX_CPU {
            others.unset(cpu);
        }
        if others.count() > 0 {
            let _ = sched_setaffinity(None, &others); // it may be on all of them as well
        }
    }

    /// Lets this process use all of them again.
    pub fn use_all(&self) {
        let _ = sched_setaffinity(None, &self.0); // or some have been taken away since: then it has what is left
    }
}
