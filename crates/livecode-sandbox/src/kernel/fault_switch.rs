//! What shows that the attack suite can fail: a debug build leaves out the steps of the isolation that the variable
//! `LIVECODE_TEST_WITHOUT` names, with commas. In a release build there is no such variable, and nothing to leave out.

/// Whether the isolation step of this name is made: always, but in a debug build that was told otherwise.
#[cfg(debug_assertions)]
pub(crate) fn is_enabled(step: &str) -> bool {
    !std::env::var("LIVECODE_TEST_WITHOUT").is_ok_and(|names| names.split(',').any(|name| name == step))
}

/// Always.
#[cfg(not(debug_assertions))]
pub(crate) const fn is_enabled(_: &str) -> bool {
    true
}
