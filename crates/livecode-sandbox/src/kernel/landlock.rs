//! A second wall around files (landlock(7)): what the mounts already say, said once more in another part of the kernel, so
//! that a mistake in one does not open the other. It also keeps signals and abstract sockets inside, mounts as they
//! are, and goes for all that init will ever start.
//!
//! | below | |
//! | --- | --- |
//! | `/` | read, execute |
//! | `/code`, `/tmp`, `/dev/shm` | everything but making devices |
//! | `/proc`, `/dev` | write to what is there |
//!
//! Each kernel enforces as much of it as it knows; one without Landlock, nothing.

use std::io;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope,
};

use crate::WORKING_DIRECTORY;

/// What is asked for; an older kernel leaves out what it does not know.
const NEWEST: ABI = ABI::V6;

/// Whether this kernel has Landlock at all.
pub(crate) fn is_available() -> bool {
    let wanted = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    wanted.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

/// Confines this process and all it will start. There is no way back.
pub(crate) fn confine() -> io::Result<()> {
    let existing = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let everything = AccessFs::from_all(NEWEST) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let rules = [
        ("/", AccessFs::from_read(NEWEST)),
        ("/proc", existing),
        ("/dev", existing),
        (WORKING_DIRECTORY, everything),
        ("/tmp", everything),
        ("/dev/shm", everything),
    ];
    let ruleset = || -> Result<_, RulesetError> {
        let handled = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?;
        handled.scope(Scope::from_all(NEWEST))?.create()
    };
    let mut ruleset = ruleset().map_err(cause)?;
    for (path, access) in rules {
        ruleset = ruleset.add_rule(rule(path, access)?).map_err(cause)?;
    }
    ruleset.restrict_self().map(drop).map_err(cause)
}

fn rule(path: &str, access: BitFlags<AccessFs>) -> io::Result<PathBeneath<PathFd>> {
    Ok(PathBeneath::new(PathFd::new(path).map_err(cause)?, access))
}

/// What the kernel said, deep inside an error of the library's.
fn cause(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    let mut inner: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(candidate) = inner {
        if let Some(errno) = candidate.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(errno);
        }
        inner = candidate.source();
    }
    io::Error::other(error)
}
