//! CPU affinity. While a session that was just requested starts, the sandbox for a later session
//! is made beside it. On a machine with two CPUs, if the scheduler looks for a CPU for both tasks
//! at the same moment, it puts them on the same one and leaves the other idle. So the task that
//! makes the sandbox is kept off the CPU of the session.

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The CPUs that this process may use.
#[derive(Clone, Copy, Debug)]
pub struct Cpus(CpuSet);

impl Cpus {
    /// Reads the affinity mask of this process.
    pub(crate) fn all() -> Self {
        Self(sched_getaffinity(None).unwrap_or_default())
    }

    /// Returns the number of the CPU that this process runs on.
    pub fn current() -> usize {
        sched_getcpu()
    }

    /// Keeps this process, and those that it will start, off `cpu`. Does nothing if there is no
    /// other CPU.
    pub fn avoid(&self, cpu: usize) {
        let mut others = self.0;
        if cpu < CpuSet::MAX_CPU {
            others.unset(cpu);
        }
        if others.count() > 0 {
            // The exclusion only saves time, so a failure is ignored.
            let _ = sched_setaffinity(None, &others);
        }
    }

    /// Lets this process use all these CPUs again.
    pub fn use_all(&self) {
        // This fails if some CPUs have been taken away since; the process then keeps those it has.
        let _ = sched_setaffinity(None, &self.0);
    }
}
