//! A switch by which the attack suite shows that it can fail. A debug build leaves out the
//! isolation steps that the variable `LIVECODE_TEST_WITHOUT` names, separated by commas. A release
//! build does not read this variable and always takes every step.

/// Whether the isolation step of this name is to be taken. Only the variable of a debug build can
/// switch it off.
#[cfg(debug_assertions)]
pub(crate) fn is_not_disabled_by_test(step: &str) -> bool {
    !std::env::var("LIVECODE_TEST_WITHOUT").is_ok_and(|names| names.split(',').any(|name| name == step))
}

/// Returns true: a release build takes every isolation step.
#[cfg(not(debug_assertions))]
pub(crate) const fn is_not_disabled_by_test(_: &str) -> bool {
    true
}
