//! A second restriction of file access, by Landlock (landlock(7)). It repeats the rules of the
//! mounts in another part of the kernel, so that a mistake in one of them does not open the other.
//! It also confines signals and abstract sockets to the sandbox and forbids changes of mounts.
//! Init restricts itself, and all processes that it will start inherit the restriction.
//!
//! | files below | allowed access |
//! | --- | --- |
//! | `/` | read, execute |
//! | `/code`, `/tmp`, `/dev/shm` | everything except making devices |
//! | `/proc`, `/dev` | write to existing files |
//!
//! Each kernel enforces the part that its version of Landlock supports; a kernel without Landlock
//! enforces nothing of it.

use std::io;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope,
};

use crate::WORKING_DIRECTORY;

/// The version that the rules are written for. Rights that an older kernel does not know are left
/// out.
const TARGET_ABI: ABI = ABI::V6;

/// Whether this kernel has Landlock, in any version.
pub(crate) fn is_available() -> bool {
    let required = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    required.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

/// Restricts this process and all that it will start. The restriction cannot be lifted.
pub(crate) fn confine() -> io::Result<()> {
    let write_existing = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let all_but_devices = AccessFs::from_all(TARGET_ABI) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let rules = [
        ("/", AccessFs::from_read(TARGET_ABI)),
        ("/proc", write_existing),
        ("/dev", write_existing),
        (WORKING_DIRECTORY, all_but_devices),
        ("/tmp", all_but_devices),
        ("/dev/shm", all_but_devices),
    ];
    let create_ruleset = || -> Result<_, RulesetError> {
        let handled = Ruleset::default().handle_access(AccessFs::from_all(TARGET_ABI))?;
        handled.scope(Scope::from_all(TARGET_ABI))?.create()
    };
    let mut ruleset = create_ruleset().map_err(to_io_error)?;
    for (path, access) in rules {
        ruleset = ruleset.add_rule(path_rule(path, access)?).map_err(to_io_error)?;
    }
    ruleset.restrict_self().map(drop).map_err(to_io_error)
}

fn path_rule(path: &str, access: BitFlags<AccessFs>) -> io::Result<PathBeneath<PathFd>> {
    Ok(PathBeneath::new(PathFd::new(path).map_err(to_io_error)?, access))
}

/// Finds the kernel's `errno` among the causes of an error of the landlock crate.
fn to_io_error(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(candidate) = cause {
        if let Some(errno) = candidate.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(errno);
        }
        cause = candidate.source();
    }
    io::Error::other(error)
}
