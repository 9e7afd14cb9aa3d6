//! The system calls a program may use.
//!
//! Two filters, of which the kernel takes the stricter answer, and on a tie that of the one installed last:
//!
//! 1. **Allowed**: the calls that ordinary programs need, some only with certain arguments. Anything else, known or
//!    not yet invented, fails with `ENOSYS`, on which C libraries fall back. A call of a foreign architecture kills.
//! 2. **Refused**: calls that exist but are none of a program's business fail with `EPERM`, so that the program says so.
//!
//! Modelled on the default profile of Docker (its allow-list, its rules for `clone`, `clone3`, `personality` and
//! `socket`), less what only a privileged container can use. The kernel remembers which calls a filter always allows
//! (Linux 5.11), so the length of the list costs nothing at run time.

use std::{collections::BTreeMap, io};

use libc as c;
use seccompiler::{
    BpfProgram, SeccompAction,
    SeccompCmpArgLen::{Dword, Qword},
    SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// The filters, compiled once and installed in every sandbox.
pub(crate) struct Profile {
    allowed: BpfProgram,
    refused: BpfProgram,
    hoards: BpfProgram,
}

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

impl Profile {
    pub(crate) fn compile() -> io::Result<Self> {
        let filter = |rules, otherwise, matched| -> io::Result<BpfProgram> {
            let filter = SeccompFilter::new(rules, otherwise, matched, ARCH).map_err(io::Error::other)?;
            filter.try_into().map_err(io::Error::other)
        };
        let errno = |errno: i32| SeccompAction::Errno(errno as u32);
        Ok(Self {
            allowed: filter(allowed().map_err(io::Error::other)?, errno(c::ENOSYS), SeccompAction::Allow)?,
            refused: filter(refused().map_err(io::Error::other)?, SeccompAction::Allow, errno(c::EPERM))?,
            hoards: filter(
                HOARDS.iter().map(|call| (*call, vec![])).collect(),
                SeccompAction::Allow,
                errno(c::ENOSYS),
            )?,
        })
    }

    /// Installs both for this process and all it will start, and a third where memory is only looked at. There is no way
    /// back.
    pub(crate) fn install(&self, is_memory_sampled: bool) -> io::Result<()> {
        let apply = |program| seccompiler::apply_filter(program).map_err(io::Error::other);
        if is_memory_sampled {
            apply(&self.hoards)?;
        }
        apply(&self.allowed)?;
        apply(&self.refused)
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Flags of `clone` and `unshare` that make namespaces: mnt, cgroup, uts, ipc, user, pid, net, and time.
const NAMESPACES: u64 = (c::CLONE_NEWNS
    | c::CLONE_NEWCGROUP
    | c::CLONE_NEWUTS
    | c::CLONE_NEWIPC
    | c::CLONE_NEWUSER
    | c::CLONE_NEWPID
    | c::CLONE_NEWNET) as u64;

/// Personalities: Linux, the same with address randomisation off (debuggers, sanitizers), and the question.
const PERSONALITIES: [u64; 3] = [0x0, 0x4_0000, 0xffff_ffff];

/// What `socket` may be called for, all of it inside the session's own network namespace: families, each with its types
/// and protocols where not all are meant. For others the kernel would load modules on anybody's word.
const SOCKETS: [(i32, &[i32], &[i32]); 4] = [
    (c::AF_UNIX, &[], &[]),
    (c::AF_INET, &[c::SOCK_STREAM, c::SOCK_DGRAM], &[0, c::IPPROTO_TCP, c::IPPROTO_UDP]),
    (c::AF_INET6, &[c::SOCK_STREAM, c::SOCK_DGRAM], &[0, c::IPPROTO_TCP, c::IPPROTO_UDP]),
    (c::AF_NETLINK, &[], &[c::NETLINK_ROUTE]), // the addresses of one's own interfaces
];
/// The bits of a socket's type that are no flags.
const TYPE_MASK: u64 = 0xf;

fn allowed() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = ALLOWED.iter().map(|call| (*call, vec![])).collect();
    let argument =
        |value: u64| SeccompRule::new(vec![SeccompCondition::new(0, Dword, SeccompCmpOp::Eq, value)?]);
    let no_namespace = SeccompCondition::new(0, Dword, SeccompCmpOp::MaskedEq(NAMESPACES), 0)?;
    rules.insert(c::SYS_clone, vec![SeccompRule::new(vec![no_namespace])?]);
    rules.insert(c::SYS_personality, PERSONALITIES.into_iter().map(argument).collect::<Result<_, _>>()?);
    rules.insert(c::SYS_socket, sockets()?);
    Ok(rules)
}

/// One rule for each combination of [`SOCKETS`].
fn sockets() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let or_any = |values: &'static [i32]| -> Vec<Option<u64>> {
        if values.is_empty() { vec![None] } else { values.iter().map(|value| Some(*value as u64)).collect() }
    };
    let mut rules = vec![];
    for (family, types, protocols) in SOCKETS {
        for kind in or_any(types) {
            for protocol in or_any(protocols) {
                let mut all = vec![SeccompCondition::new(0, Dword, SeccompCmpOp::Eq, family as u64)?];
                if let Some(kind) = kind {
                    all.push(SeccompCondition::new(1, Dword, SeccompCmpOp::MaskedEq(TYPE_MASK), kind)?);
                }
                if let Some(protocol) = protocol {
                    all.push(SeccompCondition::new(2, Dword, SeccompCmpOp::Eq, protocol)?);
                }
                rules.push(SeccompRule::new(all)?);
            }
        }
    }
    Ok(rules)
}

fn refused() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, vec![])).collect();
    // A `clone` with a namespace flag matches no rule above, but EPERM says more than ENOSYS. One rule a flag.
    let with_flag = |flag: i32| {
        let set = SeccompCondition::new(0, Dword, SeccompCmpOp::MaskedEq(flag as u64), flag as u64)?;
        SeccompRule::new(vec![set])
    };
    let flags = [
        c::CLONE_NEWNS,
        c::CLONE_NEWCGROUP,
        c::CLONE_NEWUTS,
        c::CLONE_NEWIPC,
        c::CLONE_NEWUSER,
        c::CLONE_NEWPID,
        c::CLONE_NEWNET,
    ];
    rules.insert(c::SYS_clone, flags.into_iter().map(with_flag).collect::<Result<_, _>>()?);
    // The limit of core dumps stays as it is (see `limits`); asking for it is allowed.
    let of_core = |argument| SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, c::RLIMIT_CORE.into());
    let is_set = SeccompCondition::new(2, Qword, SeccompCmpOp::Ne, 0)?;
    rules.insert(c::SYS_setrlimit, vec![SeccompRule::new(vec![of_core(0)?])?]);
    rules.insert(c::SYS_prlimit64, vec![SeccompRule::new(vec![of_core(1)?, is_set])?]);
    Ok(rules)
}

/// Calls that make memory which no process has, so that only a cgroup can bound it. Unknown where there is none.
const HOARDS: &[i64] = &[c::SYS_memfd_create, c::SYS_shmget, c::SYS_msgget, c::SYS_semget];

/// Calls that exist, and that no program here has a use for.
#[rustfmt::skip]
const REFUSED: &[i64] = &[
    // namespaces and mounts
    c::SYS_unshare, c::SYS_setns, c::SYS_mount, c::SYS_umount2, c::SYS_pivot_root, c::SYS_chroot, c::SYS_open_tree,
    c::SYS_move_mount, c::SYS_fsopen, c::SYS_fsconfig, c::SYS_fsmount, c::SYS_fspick, c::SYS_mount_setattr,
    // the kernel's inside
    c::SYS_bpf, c::SYS_perf_event_open, c::SYS_userfaultfd, c::SYS_kexec_load, c::SYS_kexec_file_load, c::SYS_init_module,
    c::SYS_finit_module, c::SYS_delete_module, c::SYS_io_uring_setup, c::SYS_io_uring_enter, c::SYS_io_uring_register,
    c::SYS_syslog, c::SYS_acct, c::SYS_quotactl, c::SYS_fanotify_init, c::SYS_lookup_dcookie,
    // other processes
    c::SYS_ptrace, c::SYS_process_vm_readv, c::SYS_process_vm_writev, c::SYS_kcmp, c::SYS_pidfd_getfd,
    c::SYS_process_madvise, c::SYS_move_pages, c::SYS_migrate_pages, c::SYS_mbind, c::SYS_set_mempolicy,
    // keys
    c::SYS_keyctl, c::SYS_add_key, c::SYS_request_key,
    // the machine
    c::SYS_reboot, c::SYS_swapon, c::SYS_swapoff, c::SYS_settimeofday, c::SYS_clock_settime, c::SYS_adjtimex,
    c::SYS_clock_adjtime, c::SYS_sethostname, c::SYS_setdomainname, c::SYS_vhangup, c::SYS_nfsservctl,
    // a file by handle leaves any root (open_by_handle_at(2): CAP_DAC_READ_SEARCH)
    c::SYS_open_by_handle_at, c::SYS_name_to_handle_at,
    #[cfg(target_arch = "x86_64")] c::SYS_iopl,
    #[cfg(target_arch = "x86_64")] c::SYS_ioperm,
    #[cfg(target_arch = "x86_64")] c::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")] c::SYS_uselib,
    #[cfg(target_arch = "x86_64")] c::SYS_ustat,
    #[cfg(target_arch = "x86_64")] c::SYS_sysfs,
    #[cfg(target_arch = "x86_64")] c::SYS__sysctl,
];

/// Calls that ordinary programs use, whatever their arguments. `clone`, `personality` and `socket` have rules of their
/// own; `clone3`, whose flags lie in memory where a filter cannot see them, is left out: C libraries fall back on `clone`.
#[rustfmt::skip]
const ALLOWED: &[i64] = &[
    // files by descriptor
    c::SYS_read, c::SYS_write, c::SYS_readv, c::SYS_writev, c::SYS_pread64, c::SYS_pwrite64, c::SYS_preadv,
    c::SYS_pwritev, c::SYS_preadv2, c::SYS_pwritev2, c::SYS_lseek, c::SYS_close, c::SYS_close_range, c::SYS_dup,
    c::SYS_dup3, c::SYS_fcntl, c::SYS_flock, c::SYS_ioctl, c::SYS_fsync, c::SYS_fdatasync, c::SYS_sync_file_range,
    c::SYS_syncfs, c::SYS_ftruncate, c::SYS_fallocate, c::SYS_fadvise64, c::SYS_readahead, c::SYS_sendfile, c::SYS_splice,
    c::SYS_tee, c::SYS_vmsplice, c::SYS_copy_file_range, c::SYS_fstat, c::SYS_fstatfs, c::SYS_fchmod, c::SYS_fchown,
    c::SYS_fchdir, c::SYS_getdents64,
    // files by name
    c::SYS_openat, c::SYS_openat2, c::SYS_statx, c::SYS_newfstatat, c::SYS_statfs, c::SYS_faccessat, c::SYS_faccessat2,
    c::SYS_mkdirat, c::SYS_mknodat, c::SYS_unlinkat, c::SYS_linkat, c::SYS_symlinkat, c::SYS_readlinkat, c::SYS_renameat,
    c::SYS_renameat2, c::SYS_truncate, c::SYS_utimensat, c::SYS_fchmodat, c::SYS_fchmodat2, c::SYS_fchownat,
    c::SYS_getcwd, c::SYS_chdir, c::SYS_umask, c::SYS_getxattr, c::SYS_lgetxattr, c::SYS_fgetxattr, c::SYS_listxattr,
    c::SYS_llistxattr, c::SYS_flistxattr, c::SYS_setxattr, c::SYS_lsetxattr, c::SYS_fsetxattr, c::SYS_removexattr,
    c::SYS_lremovexattr, c::SYS_fremovexattr, c::SYS_inotify_init1, c::SYS_inotify_add_watch, c::SYS_inotify_rm_watch,
    // memory
    c::SYS_mmap, c::SYS_munmap, c::SYS_mprotect, c::SYS_mremap, c::SYS_madvise, c::SYS_mincore, c::SYS_msync, c::SYS_brk,
    c::SYS_mlock, c::SYS_mlock2, c::SYS_munlock, c::SYS_mlockall, c::SYS_munlockall, c::SYS_memfd_create, c::SYS_membarrier,
    c::SYS_pkey_alloc, c::SYS_pkey_free, c::SYS_pkey_mprotect, c::SYS_get_mempolicy, c::SYS_remap_file_pages,
    // processes and threads
    c::SYS_execve, c::SYS_execveat, c::SYS_exit, c::SYS_exit_group, c::SYS_wait4, c::SYS_waitid, c::SYS_kill, c::SYS_tkill,
    c::SYS_tgkill, c::SYS_pidfd_open, c::SYS_pidfd_send_signal, c::SYS_getpid, c::SYS_getppid, c::SYS_gettid, c::SYS_getpgid,
    c::SYS_setpgid, c::SYS_getsid, c::SYS_setsid, c::SYS_set_tid_address, c::SYS_set_robust_list, c::SYS_get_robust_list,
    c::SYS_futex, c::SYS_futex_waitv, c::SYS_rseq, c::SYS_prctl, c::SYS_getrlimit, c::SYS_setrlimit, c::SYS_prlimit64,
    c::SYS_getrusage, c::SYS_times, c::SYS_getpriority, c::SYS_setpriority, c::SYS_ioprio_get, c::SYS_ioprio_set,
    c::SYS_sched_yield, c::SYS_sched_getaffinity, c::SYS_sched_setaffinity, c::SYS_sched_getparam, c::SYS_sched_setparam,
    c::SYS_sched_getscheduler, c::SYS_sched_setscheduler, c::SYS_sched_getattr, c::SYS_sched_setattr,
    c::SYS_sched_get_priority_max, c::SYS_sched_get_priority_min, c::SYS_sched_rr_get_interval, c::SYS_getcpu,
    c::SYS_restart_syscall, c::SYS_seccomp,
    c::SYS_landlock_create_ruleset, c::SYS_landlock_add_rule, c::SYS_landlock_restrict_self,
    // signals
    c::SYS_rt_sigaction, c::SYS_rt_sigprocmask, c::SYS_rt_sigreturn, c::SYS_rt_sigpending, c::SYS_rt_sigsuspend,
    c::SYS_rt_sigtimedwait, c::SYS_rt_sigqueueinfo, c::SYS_rt_tgsigqueueinfo, c::SYS_sigaltstack, c::SYS_signalfd4,
    // who am I; setting fails, since nobody here has a capability, but with the errno that programs expect
    c::SYS_getuid, c::SYS_geteuid, c::SYS_getgid, c::SYS_getegid, c::SYS_getresuid, c::SYS_getresgid, c::SYS_getgroups,
    c::SYS_setuid, c::SYS_setgid, c::SYS_setreuid, c::SYS_setregid, c::SYS_setresuid, c::SYS_setresgid, c::SYS_setgroups,
    c::SYS_setfsuid, c::SYS_setfsgid, c::SYS_capget, c::SYS_capset,
    // time
    c::SYS_nanosleep, c::SYS_clock_nanosleep, c::SYS_clock_gettime, c::SYS_clock_getres, c::SYS_gettimeofday,
    c::SYS_getitimer, c::SYS_setitimer, c::SYS_timer_create, c::SYS_timer_settime, c::SYS_timer_gettime,
    c::SYS_timer_getoverrun, c::SYS_timer_delete, c::SYS_timerfd_create, c::SYS_timerfd_settime, c::SYS_timerfd_gettime,
    // waiting
    c::SYS_ppoll, c::SYS_pselect6, c::SYS_epoll_create1, c::SYS_epoll_ctl, c::SYS_epoll_pwait, c::SYS_epoll_pwait2,
    c::SYS_eventfd2, c::SYS_pipe2, c::SYS_io_setup, c::SYS_io_submit, c::SYS_io_getevents,
    c::SYS_io_cancel, c::SYS_io_destroy,
    // sockets, inside the session's own network
    c::SYS_socketpair, c::SYS_bind, c::SYS_listen, c::SYS_accept, c::SYS_accept4, c::SYS_connect, c::SYS_shutdown,
    c::SYS_getsockname, c::SYS_getpeername, c::SYS_getsockopt, c::SYS_setsockopt, c::SYS_sendto, c::SYS_sendmsg,
    c::SYS_sendmmsg, c::SYS_recvfrom, c::SYS_recvmsg, c::SYS_recvmmsg,
    // IPC, inside the session's own namespace
    c::SYS_shmget, c::SYS_shmat, c::SYS_shmdt, c::SYS_shmctl, c::SYS_semget, c::SYS_semop, c::SYS_semtimedop, c::SYS_semctl,
    c::SYS_msgget, c::SYS_msgsnd, c::SYS_msgrcv, c::SYS_msgctl, c::SYS_mq_open, c::SYS_mq_unlink, c::SYS_mq_timedsend,
    c::SYS_mq_timedreceive, c::SYS_mq_notify, c::SYS_mq_getsetattr,
    // the machine, read only
    c::SYS_uname, c::SYS_sysinfo, c::SYS_getrandom, c::SYS_sync,
    #[cfg(target_arch = "x86_64")] c::SYS_open,
    #[cfg(target_arch = "x86_64")] c::SYS_creat,
    #[cfg(target_arch = "x86_64")] c::SYS_stat,
    #[cfg(target_arch = "x86_64")] c::SYS_lstat,
    #[cfg(target_arch = "x86_64")] c::SYS_access,
    #[cfg(target_arch = "x86_64")] c::SYS_mkdir,
    #[cfg(target_arch = "x86_64")] c::SYS_mknod,
    #[cfg(target_arch = "x86_64")] c::SYS_rmdir,
    #[cfg(target_arch = "x86_64")] c::SYS_unlink,
    #[cfg(target_arch = "x86_64")] c::SYS_link,
    #[cfg(target_arch = "x86_64")] c::SYS_symlink,
    #[cfg(target_arch = "x86_64")] c::SYS_readlink,
    #[cfg(target_arch = "x86_64")] c::SYS_rename,
    #[cfg(target_arch = "x86_64")] c::SYS_chmod,
    #[cfg(target_arch = "x86_64")] c::SYS_chown,
    #[cfg(target_arch = "x86_64")] c::SYS_lchown,
    #[cfg(target_arch = "x86_64")] c::SYS_utime,
    #[cfg(target_arch = "x86_64")] c::SYS_utimes,
    #[cfg(target_arch = "x86_64")] c::SYS_futimesat,
    #[cfg(target_arch = "x86_64")] c::SYS_getdents,
    #[cfg(target_arch = "x86_64")] c::SYS_dup2,
    #[cfg(target_arch = "x86_64")] c::SYS_pipe,
    #[cfg(target_arch = "x86_64")] c::SYS_poll,
    #[cfg(target_arch = "x86_64")] c::SYS_select,
    #[cfg(target_arch = "x86_64")] c::SYS_epoll_create,
    #[cfg(target_arch = "x86_64")] c::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")] c::SYS_eventfd,
    #[cfg(target_arch = "x86_64")] c::SYS_signalfd,
    #[cfg(target_arch = "x86_64")] c::SYS_inotify_init,
    #[cfg(target_arch = "x86_64")] c::SYS_fork,
    #[cfg(target_arch = "x86_64")] c::SYS_vfork,
    #[cfg(target_arch = "x86_64")] c::SYS_getpgrp,
    #[cfg(target_arch = "x86_64")] c::SYS_alarm,
    #[cfg(target_arch = "x86_64")] c::SYS_pause,
    #[cfg(target_arch = "x86_64")] c::SYS_time,
    #[cfg(target_arch = "x86_64")] c::SYS_arch_prctl,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_both_allowed_and_refused() {
        let both: Vec<_> = REFUSED.iter().filter(|call| ALLOWED.contains(call)).collect();
        assert!(both.is_empty(), "{both:?}");
    }

    #[test]
    fn it_compiles() {
        Profile::compile().unwrap();
    }
}
