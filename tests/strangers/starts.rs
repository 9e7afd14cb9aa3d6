//! A start that fails for want of a resource is tried again, and nothing is killed by mistake.
