//! Giving up all privileges for good (capabilities(7)).

use rustix::{
    process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::{
    kernel::fault_switch::is_not_disabled_by_test,
    setup_error::{SetupContext, SetupError},
};

/// Prevents every program that this process will execute from gaining privileges: empties the
/// bounding set and the ambient set, and sets `no_new_privs`.
pub(crate) fn prevent_gaining() -> Result<(), SetupError> {
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // EINVAL: the kernel is older than this capability.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(errno) => return Err(errno).context("drop the bounding set"),
        }
    }
    clear_ambient_capability_set().context("drop ambient capabilities")?;
    set_no_new_privs(true).context("no_new_privs")
}

/// Drops all capabilities and supplementary groups, and becomes the user and group `id` if that is
/// given. It is given in root mode only: in rootless mode the user namespace has already made this
/// process an ordinary user.
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
    // This comes last, because a change of the uid resets it.
    let behaviour = if is_not_disabled_by_test("dumpable") {
        DumpableBehavior::NotDumpable
    } else {
        DumpableBehavior::Dumpable
    };
    set_dumpable_behavior(behaviour).context("become non-dumpable")
}

/// Makes this process dumpable, as exec would. A program that goes on in a copy of an interpreter
/// is not executed, and while it is not dumpable, its /proc/self belongs to root.
pub(crate) fn become_dumpable() -> Result<(), SetupError> {
    set_dumpable_behavior(DumpableBehavior::Dumpable).context("become dumpable")
}
