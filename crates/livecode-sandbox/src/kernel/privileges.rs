//! Giving up all privileges for good (capabilities(7)).

use rustix::{
    process::{DumpableBehavior, Gid, Uid, getegid, geteuid, set_dumpable_behavior},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::{
    kernel::{fault_switch::is_not_disabled_by_test, sys},
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

/// The uids of a session in root mode, as which its program and its init run.
///
/// Init has a uid of its own so that the kernel lets no program change its limits, its priority or
/// its processors. Init's saved uid is that of the program: with it init may become the program's
/// user, without any capability (setresuid(2)).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionIds {
    pub program: u32,
    pub init: u32,
}

/// Drops all capabilities, in rootless mode. There the user namespace has already made this
/// process an ordinary user.
pub(crate) fn drop_capabilities() -> Result<(), SetupError> {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .context("drop capabilities")?;
    become_non_dumpable()
}

impl SessionIds {
    /// Drops all capabilities and supplementary groups, and becomes init of the session. As long
    /// as [`Self::take_init_uid`] is not called, the effective uid is that of the program, which
    /// owns what this process creates.
    pub fn drop_all_as_init(self) -> Result<(), SetupError> {
        self.drop_groups()?;
        set_uids(self.init, self.program, self.program)?;
        drop_capabilities()
    }

    /// Changes the effective uid to that of init.
    pub fn take_init_uid(self) -> Result<(), SetupError> {
        set_uids(self.init, self.init, self.program)?;
        become_non_dumpable()
    }

    /// Drops all capabilities and supplementary groups, and becomes the program's user for good.
    pub fn drop_all_as_program(self) -> Result<(), SetupError> {
        self.drop_groups()?;
        set_uids(self.program, self.program, self.program)?;
        drop_capabilities()
    }

    /// Becomes the program's user for good, in a child of init that is to execute a step.
    pub fn become_program(self) -> Result<(), SetupError> {
        set_uids(self.program, self.program, self.program)?;
        // The child shares the memory of init, and with it whether init is dumpable.
        become_non_dumpable()
    }

    fn drop_groups(self) -> Result<(), SetupError> {
        let gid = Gid::from_raw(self.program);
        set_thread_groups(&[]).context("setgroups")?;
        set_thread_res_gid(gid, gid, gid).context("setresgid")
    }
}

/// Runs `act` in init with the effective uid of the program, which may signal the program and read
/// its files. `ids` is `None` in rootless mode, in which init always has that uid.
pub(crate) fn act_as_program<T>(ids: Option<SessionIds>, act: impl FnOnce() -> T) -> Result<T, SetupError> {
    let Some(ids) = ids else { return Ok(act()) };
    set_uids(ids.init, ids.program, ids.program)?;
    become_non_dumpable()?;
    let result = act();
    ids.take_init_uid()?;
    Ok(result)
}

/// Runs `look` in a supervisor with the rights to files of this user, whose group has the same
/// number. In /proc that shows what the user's processes have open, for which root alone would
/// need a capability. No process can do more to the supervisor meanwhile: signals and ptrace(2)
/// ask for its other uids. `user` is `None` in rootless mode, in which the program has the
/// supervisor's uid.
pub(crate) fn look_as_user<T>(user: Option<u32>, look: impl FnOnce() -> T) -> T {
    let Some(user) = user else { return look() };
    sys::set_file_system_ids(user, user);
    let result = look();
    sys::set_file_system_ids(geteuid().as_raw(), getegid().as_raw());
    result
}

fn set_uids(real: u32, effective: u32, saved: u32) -> Result<(), SetupError> {
    let [real, effective, saved] = [real, effective, saved].map(Uid::from_raw);
    set_thread_res_uid(real, effective, saved).context("setresuid")
}

/// Makes this process non-dumpable. To be called after each change of a uid, which resets it.
fn become_non_dumpable() -> Result<(), SetupError> {
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
