//! Giving up every privilege, for good.

use rustix::{
    process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::{
    init_wire::{SetupContext, SetupError},
    kernel::fault_switch::is_enabled,
};

/// Sees to it that no program this process will ever execute has more than it was given.
pub(crate) fn forgo() -> Result<(), SetupError> {
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => {} // EINVAL: the kernel is older than this capability
            Err(errno) => return Err(errno).context("drop the bounding set"),
        }
    }
    clear_ambient_capability_set().context("drop ambient capabilities")?;
    set_no_new_privs(true).context("no_new_privs")
}

/// Drops all capabilities and groups, and becomes `id` where that is given (root mode; in rootless mode the user
/// namespace has already made this process an ordinary user).
pub(crate) fn drop_all(id: Option<u32>) -> Result<(), SetupError> {
    if let Some(id) = id {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        set_thread_groups(&[]).context("setgroups")?;
        set_thread_res_gid(gid, gid, gid).context("setresgid")?;
        set_thread_res_uid(uid, uid, uid).context("setresuid")?;
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .context("drop capabilities")?;
    // After the change of uid, which resets it.
    let behaviour =
        if is_enabled("dumpable") { DumpableBehavior::NotDumpable } else { DumpableBehavior::Dumpable };
    set_dumpable_behavior(behaviour).context("become non-dumpable")
}

/// What exec does for a program, for one that goes on in a copy of an interpreter: its own /proc/self is its own again.
pub(crate) fn as_executed() -> Result<(), SetupError> {
    set_dumpable_behavior(DumpableBehavior::Dumpable).context("become dumpable")
}
