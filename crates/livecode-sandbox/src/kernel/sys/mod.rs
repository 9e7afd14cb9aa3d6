//! System calls that have no safe wrapper elsewhere. All `unsafe` code of the project is here,
//! and each block says why it is sound.

mod descriptors;
mod errno;
mod isolation;
mod memory;
mod mounts;
mod notifications;
mod process;
mod signals;

pub(crate) use descriptors::{close_all_except, duplicate_high, duplicate_to};
pub(crate) use isolation::{
    bring_loopback_up, install_filter, install_filter_with_listener, landlock_version,
    unshare_cgroup_namespace, unshare_nothing,
};
pub(crate) use memory::{PageRange, prefault, touched_pages};
pub use memory::{return_free_pages, return_large_blocks};
pub(crate) use mounts::{MountFlags, set_mount_flags};
pub(crate) use notifications::{continue_call, is_call_waiting, receive_notification, wake_up_synchronously};
pub(crate) use process::{
    Cloned, ResourceUsage, children_usage, clone, execute, kill_all_others, reap_child, replace_command_line,
    set_file_system_ids, vfork,
};
pub use process::{Forked, exit_now, fork, has_one_thread};
pub use signals::reap_children_automatically;
pub(crate) use signals::{child_signal_fd, reset_signals, unblock_child_signals};
