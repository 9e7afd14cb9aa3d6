//! Clones a process into the namespaces of a new sandbox.

use std::{io, os::fd::AsFd as _};

use crate::{
    host::Host,
    init::context::InitResources,
    kernel::{
        fault_switch::is_not_disabled_by_test,
        sys::{self, Cloned, Forked},
    },
};

/// Clones this process into fresh namespaces and, if there is a v2 cgroup, into that cgroup.
/// The child is to become init of the sandbox ([`crate::init::run`]).
pub(crate) fn clone_init(host: &Host, fds: &InitResources) -> io::Result<Forked<Cloned>> {
    let mut flags = libc::CLONE_NEWNS | libc::CLONE_NEWUTS;
    let namespaces =
        [("pid", libc::CLONE_NEWPID), ("ipc", libc::CLONE_NEWIPC), ("network", libc::CLONE_NEWNET)];
    for (_, flag) in namespaces.into_iter().filter(|(name, _)| is_not_disabled_by_test(name)) {
        flags |= flag;
    }
    if host.is_rootless {
        flags |= libc::CLONE_NEWUSER;
    }
    sys::clone(flags, fds.cgroup_fd.as_ref().map(|fd| fd.as_fd()))
}
