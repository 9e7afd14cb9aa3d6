//! Limits of a session hold for what the kernel keeps for it.
