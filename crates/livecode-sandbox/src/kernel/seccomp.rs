//! The system calls that a program may use.
//!
//! One filter decides, which the kernel runs at each system call (seccomp(2)). Its rule for a call
//! is one of these:
//!
//! 1. **Allowed**: the calls that ordinary programs need, some of them only with certain
//!    arguments.
//! 2. **Denied**: calls that exist but that no program here may use fail with `EPERM`, so that the
//!    program can report it.
//! 3. **Skipped**: calls that would do nothing useful in a sandbox, and that would delay the whole
//!    machine, succeed without being made.
//! 4. Every other call, whether it exists or not, fails with `ENOSYS`, on which C libraries fall
//!    back to other calls. A call of a foreign architecture kills the process.
//!
//! An allowed call must not take a resource that the kernel counts for the whole machine, or for a
//! user that sessions share, unless another limit bounds it. [`ALLOWED`] leaves such calls out, or
//! names the limit; [`rules_by_arguments`] denies the arguments that would take one.
//!
//! The lists are modelled on the default profile of Docker (its allow-list, its rules for `clone`,
//! `clone3`, `personality` and `socket`), without what only a privileged container can use. The
//! kernel remembers which calls a filter always allows (Linux 5.11), so these calls do not run the
//! filter again. To find them, the kernel runs the filter once for each call when it is installed;
//! therefore the filter finds the number of the call by binary search among ranges with the same
//! rule.

use std::{collections::BTreeMap, io, os::fd::OwnedFd};

use libc as c;

use crate::kernel::{
    bpf::{Instructions, Word, if_any_bit, if_equal, program, return_action},
    seccomp_listener::add_notifying_rules,
    sys,
};

/// The filters, compiled once and installed in every sandbox.
pub(crate) struct SeccompProfile {
    filter: Instructions,
    /// The same filter without [`UNCHARGED_MEMORY_CALLS`].
    filter_without_uncharged_memory: Instructions,
    /// The two filters again, which notify their listener of some of the allowed calls.
    notifying: [Instructions; 2],
}

/// The kernel's name for this architecture (linux/audit.h).
#[cfg(target_arch = "x86_64")]
const AUDIT_ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCHITECTURE: u32 = 0xc000_00b7;

// Actions of the filter.
const ALLOW: u32 = c::SECCOMP_RET_ALLOW;
const KILL: u32 = c::SECCOMP_RET_KILL_PROCESS;
const DENY: u32 = c::SECCOMP_RET_ERRNO | c::EPERM as u32;
const SKIP: u32 = c::SECCOMP_RET_ERRNO; // the errno 0 is success
const NO_MEMORY: u32 = c::SECCOMP_RET_ERRNO | c::ENOMEM as u32;
const NO_OPTION: u32 = c::SECCOMP_RET_ERRNO | c::ENOPROTOOPT as u32;
const NOT_IMPLEMENTED: u32 = c::SECCOMP_RET_ERRNO | c::ENOSYS as u32;

impl SeccompProfile {
    pub(crate) fn compile() -> Self {
        let rules = rules();
        let mut strict_rules = rules.clone();
        UNCHARGED_MEMORY_CALLS.iter().for_each(|call| drop(strict_rules.remove(call)));
        let notifying = [&rules, &strict_rules].map(|rules| {
            let mut rules = rules.clone();
            add_notifying_rules(&mut rules);
            compile_filter(&rules)
        });
        Self {
            filter: compile_filter(&rules),
            filter_without_uncharged_memory: compile_filter(&strict_rules),
            notifying,
        }
    }

    /// Installs the filter for this process and all that it will start; it cannot be removed.
    /// If no cgroup limits memory and it is only sampled (`is_memory_sampled`), the filter also
    /// excludes [`UNCHARGED_MEMORY_CALLS`]. Returns the filter's listener, or `None` if it is not
    /// to notify, or cannot have one: the kernel has none (`EINVAL`), or an earlier filter of this
    /// process has one (`EBUSY`). Then the filter notifies of no call.
    pub(crate) fn install(&self, is_memory_sampled: bool, notifies: bool) -> io::Result<Option<OwnedFd>> {
        let filter = if is_memory_sampled { &self.filter_without_uncharged_memory } else { &self.filter };
        if !notifies {
            return sys::install_filter(filter).map(|()| None);
        }
        match sys::install_filter_with_listener(&self.notifying[usize::from(is_memory_sampled)]) {
            Err(error) if matches!(error.raw_os_error(), Some(c::EBUSY | c::EINVAL)) => {}
            other => return other.map(Some),
        }
        sys::install_filter(filter).map(|()| None)
    }
}

/// The block that decides about each call, by number. A call without a rule is not implemented.
fn rules() -> BTreeMap<i64, Instructions> {
    let allowed = ALLOWED.iter().map(|call| (*call, return_action(ALLOW)));
    let denied = DENIED.iter().map(|call| (*call, return_action(DENY)));
    let skipped = SKIPPED.iter().map(|call| (*call, return_action(SKIP)));
    allowed.chain(denied).chain(skipped).chain(rules_by_arguments()).collect()
}

/// Compiles rules to a filter. Neighbouring numbers with the same rule become one range.
fn compile_filter(rules: &BTreeMap<i64, Instructions>) -> Instructions {
    let not_implemented = return_action(NOT_IMPLEMENTED);
    let end = rules.keys().last().map_or(0, |last| last + 1);
    let mut ranges: Vec<(u32, Instructions)> = vec![];
    for number in 0..=end {
        let rule = rules.get(&number).unwrap_or(&not_implemented);
        if ranges.last().is_none_or(|(_, last)| !is_same(last, rule)) {
            ranges.push((number as u32, rule.clone()));
        }
    }
    program(AUDIT_ARCHITECTURE, KILL, &ranges)
}

/// Whether two blocks consist of the same instructions (`sock_filter` has no `PartialEq`).
fn is_same(one: &Instructions, other: &Instructions) -> bool {
    let fields = |block: &Instructions| {
        block
            .iter()
            .map(|instruction| (instruction.code, instruction.jt, instruction.jf, instruction.k))
            .collect::<Vec<_>>()
    };
    fields(one) == fields(other)
}

/// Flags of `clone` that make namespaces: mount, cgroup, uts, ipc, user, pid and network.
/// `CLONE_NEWTIME` is not among them: clone(2) cannot take it, because its bit is part of the exit
/// signal there (linux/sched.h).
const NAMESPACE_FLAGS: u32 = (c::CLONE_NEWNS
    | c::CLONE_NEWCGROUP
    | c::CLONE_NEWUTS
    | c::CLONE_NEWIPC
    | c::CLONE_NEWUSER
    | c::CLONE_NEWPID
    | c::CLONE_NEWNET) as u32;

/// Arguments that `personality` may have: plain Linux, the same without address randomisation
/// (debuggers, sanitizers), and the query of the current personality.
const PERSONALITIES: [u32; 3] = [0x0, 0x4_0000, 0xffff_ffff];

/// Arguments that `socket` may have: address families, each with its types and protocols. An empty
/// list permits all. Every socket is inside the session's own network namespace; for other
/// families and protocols the kernel would load modules at the request of any program.
const SOCKETS: [(i32, &[i32], &[i32]); 4] = [
    (c::AF_UNIX, &[], &[]),
    (c::AF_INET, &[c::SOCK_STREAM, c::SOCK_DGRAM], &[0, c::IPPROTO_TCP, c::IPPROTO_UDP]),
    (c::AF_INET6, &[c::SOCK_STREAM, c::SOCK_DGRAM], &[0, c::IPPROTO_TCP, c::IPPROTO_UDP]),
    (c::AF_NETLINK, &[], &[c::NETLINK_ROUTE]), // lists the addresses of the sandbox's interfaces
];
/// The bits of a socket's type that are not flags.
const SOCKET_TYPE_MASK: u32 = 0xf;

/// The pid of init in its own pid namespace, the only one that a program can name.
const INIT_PID: u32 = 1;
/// Values of the first argument of `setpriority` and `ioprio_set` that stand for all processes of
/// a user, init among them if it has the program's uid.
const PRIO_USER: u32 = c::PRIO_USER;
const IOPRIO_WHO_USER: u32 = 3;

// Flags that take pages from the machine's pool of huge pages, which no limit of a session counts.
const MFD_HUGETLB: u32 = c::MFD_HUGETLB;
const SHM_HUGETLB: u32 = c::SHM_HUGETLB as u32;
const MAP_HUGETLB: u32 = c::MAP_HUGETLB as u32;

/// Options of sockets by which a program would hold memory that the kernel charges to nobody, or
/// take a part of what the whole machine has for filters (`net.core.bpf_jit_limit`). They are in
/// order of their level; each has its name, and the action if a program sets it.
const SOCKET_OPTIONS: [(i32, &[(i32, u32)]); 3] = [
    // The queues of errors and times are not charged. The resolver of the C library asks for
    // errors, and fails if it cannot.
    (c::SOL_IP, &[(c::IP_RECVERR, SKIP)]),
    (
        c::SOL_IPV6,
        &[
            (c::IPV6_RECVERR, SKIP),
            // A socket may have thousands of memberships.
            (c::IPV6_ADD_MEMBERSHIP, NO_OPTION),
            (IPV6_JOIN_ANYCAST, NO_OPTION),
            (MCAST_JOIN_GROUP, NO_OPTION),
            (MCAST_JOIN_SOURCE_GROUP, NO_OPTION),
        ],
    ),
    (
        c::SOL_SOCKET,
        &[
            (c::SO_TIMESTAMPING, NO_OPTION),
            (SO_TIMESTAMPING_NEW, NO_OPTION),
            (c::SO_ZEROCOPY, NO_OPTION),
            (c::SO_TXTIME, NO_OPTION),
            (c::SO_ATTACH_FILTER, NO_OPTION),
            (c::SO_ATTACH_BPF, NO_OPTION),
            (c::SO_ATTACH_REUSEPORT_CBPF, NO_OPTION),
            (c::SO_ATTACH_REUSEPORT_EBPF, NO_OPTION),
        ],
    ),
];

// Names of options that the libc crate does not have (linux/in.h, linux/in6.h, asm/socket.h).
const MCAST_JOIN_GROUP: i32 = 42;
const MCAST_JOIN_SOURCE_GROUP: i32 = 46;
const IPV6_JOIN_ANYCAST: i32 = 27;
const SO_TIMESTAMPING_NEW: i32 = 65;

/// Rules of the calls whose arguments decide. For an argument that is 32 bits wide, the kernel
/// ignores the high half, and so does the filter.
fn rules_by_arguments() -> Vec<(i64, Instructions)> {
    let (allow, deny) = (return_action(ALLOW), return_action(DENY));
    let personality = PERSONALITIES.iter().fold(return_action(NOT_IMPLEMENTED), |otherwise, persona| {
        if_equal(Word::Low(0), u32::MAX, *persona, &allow, &otherwise)
    });
    // A program may read the limit of core dumps but not change it (see `rlimits`).
    let if_core_limit = |argument: u32, then: &Instructions| {
        if_equal(Word::Low(argument), u32::MAX, c::RLIMIT_CORE, then, &allow)
    };
    // prlimit(2) changes the limit if its third argument, the pointer to the new limit, is not
    // null.
    let deny_change = if_any_bit(Word::High(2), u32::MAX, &deny, &allow);
    let deny_change = if_any_bit(Word::Low(2), u32::MAX, &deny, &deny_change);
    // A process may change only its own limits. In rootless mode init has the program's uid, so
    // the kernel would let the program change those of init.
    let prlimit = if_any_bit(Word::Low(0), u32::MAX, &deny_change, &if_core_limit(1, &deny_change));
    let unless_init =
        |argument: u32, then: &Instructions| if_equal(Word::Low(argument), u32::MAX, INIT_PID, &deny, then);
    let unless_user = |user: u32| if_equal(Word::Low(0), u32::MAX, user, &deny, &unless_init(1, &allow));
    let no_memory = return_action(NO_MEMORY);
    let unless_huge_pages =
        |argument: u32, flag: u32| if_any_bit(Word::Low(argument), flag, &no_memory, &allow);
    vec![
        (c::SYS_clone, if_any_bit(Word::Low(0), NAMESPACE_FLAGS, &deny, &allow)),
        (c::SYS_personality, personality),
        (c::SYS_socket, socket_rule()),
        (c::SYS_setrlimit, if_core_limit(0, &deny)),
        (c::SYS_prlimit64, unless_init(0, &prlimit)),
        (c::SYS_setpriority, unless_user(PRIO_USER)),
        (c::SYS_ioprio_set, unless_user(IOPRIO_WHO_USER)),
        (c::SYS_sched_setaffinity, unless_init(0, &allow)),
        (c::SYS_sched_setparam, unless_init(0, &allow)),
        (c::SYS_sched_setscheduler, unless_init(0, &allow)),
        (c::SYS_sched_setattr, unless_init(0, &allow)),
        (c::SYS_mmap, unless_huge_pages(3, MAP_HUGETLB)),
        (c::SYS_memfd_create, unless_huge_pages(1, MFD_HUGETLB)),
        (c::SYS_shmget, unless_huge_pages(2, SHM_HUGETLB)),
        (c::SYS_setsockopt, socket_option_rule()),
        // In rootless mode a program may own shared files. A lease on one would keep others
        // waiting that write to it (`/proc/sys/fs/lease-break-time`).
        (c::SYS_fcntl, if_equal(Word::Low(1), u32::MAX, c::F_SETLEASE as u32, &deny, &allow)),
    ]
}

/// The rule of `setsockopt`, from [`SOCKET_OPTIONS`].
fn socket_option_rule() -> Instructions {
    let allow = return_action(ALLOW);
    SOCKET_OPTIONS.iter().fold(allow.clone(), |otherwise, (level, options)| {
        let of_level = options.iter().fold(allow.clone(), |otherwise, (name, action)| {
            if_equal(Word::Low(2), u32::MAX, *name as u32, &return_action(*action), &otherwise)
        });
        if_equal(Word::Low(1), u32::MAX, *level as u32, &of_level, &otherwise)
    })
}

/// The rule of `socket`, from [`SOCKETS`].
fn socket_rule() -> Instructions {
    let (allow, not_implemented) = (return_action(ALLOW), return_action(NOT_IMPLEMENTED));
    let if_one_of = |word: Word, mask: u32, values: &[i32], then: Instructions| {
        if values.is_empty() {
            return then;
        }
        values.iter().fold(not_implemented.clone(), |otherwise, value| {
            if_equal(word, mask, *value as u32, &then, &otherwise)
        })
    };
    SOCKETS.iter().fold(not_implemented.clone(), |otherwise, (family, types, protocols)| {
        let if_protocol = if_one_of(Word::Low(2), u32::MAX, protocols, allow.clone());
        let if_type = if_one_of(Word::Low(1), SOCKET_TYPE_MASK, types, if_protocol);
        if_equal(Word::Low(0), u32::MAX, *family as u32, &if_type, &otherwise)
    })
}

/// Calls that allocate memory which is not mapped into any process, so that only a cgroup can
/// limit it. They are not implemented if no cgroup does.
const UNCHARGED_MEMORY_CALLS: &[i64] = &[c::SYS_memfd_create, c::SYS_shmget, c::SYS_msgget, c::SYS_semget];

/// Calls that exist, and that no program here may use.
#[rustfmt::skip]
const DENIED: &[i64] = &[
    // namespaces and mounts
    c::SYS_unshare, c::SYS_setns, c::SYS_mount, c::SYS_umount2, c::SYS_pivot_root, c::SYS_chroot, c::SYS_open_tree,
    c::SYS_move_mount, c::SYS_fsopen, c::SYS_fsconfig, c::SYS_fsmount, c::SYS_fspick, c::SYS_mount_setattr,
    // internals of the kernel
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
    // opening a file by handle escapes from any root directory (open_by_handle_at(2))
    c::SYS_open_by_handle_at, c::SYS_name_to_handle_at,
    #[cfg(target_arch = "x86_64")] c::SYS_iopl,
    #[cfg(target_arch = "x86_64")] c::SYS_ioperm,
    #[cfg(target_arch = "x86_64")] c::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")] c::SYS_uselib,
    #[cfg(target_arch = "x86_64")] c::SYS_ustat,
    #[cfg(target_arch = "x86_64")] c::SYS_sysfs,
    #[cfg(target_arch = "x86_64")] c::SYS__sysctl,
];

/// Calls that write all that the machine has cached to its disks. The folders that a program may
/// write to are in memory, so it loses nothing.
const SKIPPED: &[i64] = &[c::SYS_sync, c::SYS_syncfs];

/// Calls that ordinary programs use, with any arguments. The rules of [`rules_by_arguments`] take
/// precedence over this list. `clone3` is left out, because its flags are in memory that a filter
/// cannot read; C libraries fall back to `clone`. Asynchronous I/O (`io_setup` and the others) is
/// left out, because the kernel has one supply of its requests for all users (`fs.aio-max-nr`).
#[rustfmt::skip]
const ALLOWED: &[i64] = &[
    // files by descriptor
    c::SYS_read, c::SYS_write, c::SYS_readv, c::SYS_writev, c::SYS_pread64, c::SYS_pwrite64, c::SYS_preadv,
    c::SYS_pwritev, c::SYS_preadv2, c::SYS_pwritev2, c::SYS_lseek, c::SYS_close, c::SYS_close_range, c::SYS_dup,
    c::SYS_dup3, c::SYS_flock, c::SYS_ioctl, c::SYS_fsync, c::SYS_fdatasync, c::SYS_sync_file_range,
    c::SYS_ftruncate, c::SYS_fallocate, c::SYS_fadvise64, c::SYS_readahead, c::SYS_sendfile, c::SYS_splice,
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
    c::SYS_munmap, c::SYS_mprotect, c::SYS_mremap, c::SYS_madvise, c::SYS_mincore, c::SYS_msync, c::SYS_brk,
    c::SYS_mlock, c::SYS_mlock2, c::SYS_munlock, c::SYS_mlockall, c::SYS_munlockall, c::SYS_membarrier,
    c::SYS_pkey_alloc, c::SYS_pkey_free, c::SYS_pkey_mprotect, c::SYS_get_mempolicy, c::SYS_remap_file_pages,
    // processes and threads
    c::SYS_execve, c::SYS_execveat, c::SYS_exit, c::SYS_exit_group, c::SYS_wait4, c::SYS_waitid, c::SYS_kill, c::SYS_tkill,
    c::SYS_tgkill, c::SYS_pidfd_open, c::SYS_pidfd_send_signal, c::SYS_getpid, c::SYS_getppid, c::SYS_gettid, c::SYS_getpgid,
    c::SYS_setpgid, c::SYS_getsid, c::SYS_setsid, c::SYS_set_tid_address, c::SYS_set_robust_list, c::SYS_get_robust_list,
    c::SYS_futex, c::SYS_futex_waitv, c::SYS_rseq, c::SYS_prctl, c::SYS_getrlimit,
    c::SYS_getrusage, c::SYS_times, c::SYS_getpriority, c::SYS_ioprio_get, c::SYS_sched_yield, c::SYS_sched_getaffinity,
    c::SYS_sched_getparam, c::SYS_sched_getscheduler, c::SYS_sched_getattr,
    c::SYS_sched_get_priority_max, c::SYS_sched_get_priority_min, c::SYS_sched_rr_get_interval, c::SYS_getcpu,
    c::SYS_restart_syscall, c::SYS_seccomp,
    c::SYS_landlock_create_ruleset, c::SYS_landlock_add_rule, c::SYS_landlock_restrict_self,
    // signals
    c::SYS_rt_sigaction, c::SYS_rt_sigprocmask, c::SYS_rt_sigreturn, c::SYS_rt_sigpending, c::SYS_rt_sigsuspend,
    c::SYS_rt_sigtimedwait, c::SYS_rt_sigqueueinfo, c::SYS_rt_tgsigqueueinfo, c::SYS_sigaltstack, c::SYS_signalfd4,
    // identity; a change fails, since no process here has a capability, but with the errno that
    // programs expect
    c::SYS_getuid, c::SYS_geteuid, c::SYS_getgid, c::SYS_getegid, c::SYS_getresuid, c::SYS_getresgid, c::SYS_getgroups,
    c::SYS_setuid, c::SYS_setgid, c::SYS_setreuid, c::SYS_setregid, c::SYS_setresuid, c::SYS_setresgid, c::SYS_setgroups,
    c::SYS_setfsuid, c::SYS_setfsgid, c::SYS_capget, c::SYS_capset,
    // time
    c::SYS_nanosleep, c::SYS_clock_nanosleep, c::SYS_clock_gettime, c::SYS_clock_getres, c::SYS_gettimeofday,
    c::SYS_getitimer, c::SYS_setitimer, c::SYS_timer_create, c::SYS_timer_settime, c::SYS_timer_gettime,
    c::SYS_timer_getoverrun, c::SYS_timer_delete, c::SYS_timerfd_create, c::SYS_timerfd_settime, c::SYS_timerfd_gettime,
    // waiting
    c::SYS_ppoll, c::SYS_pselect6, c::SYS_epoll_create1, c::SYS_epoll_ctl, c::SYS_epoll_pwait, c::SYS_epoll_pwait2,
    c::SYS_eventfd2, c::SYS_pipe2,
    // sockets, inside the session's own network namespace
    c::SYS_socketpair, c::SYS_bind, c::SYS_listen, c::SYS_accept, c::SYS_accept4, c::SYS_connect, c::SYS_shutdown,
    c::SYS_getsockname, c::SYS_getpeername, c::SYS_getsockopt, c::SYS_sendto, c::SYS_sendmsg,
    c::SYS_sendmmsg, c::SYS_recvfrom, c::SYS_recvmsg, c::SYS_recvmmsg,
    // System V IPC and message queues, inside the session's own IPC namespace
    c::SYS_shmat, c::SYS_shmdt, c::SYS_shmctl, c::SYS_semget, c::SYS_semop, c::SYS_semtimedop, c::SYS_semctl,
    c::SYS_msgget, c::SYS_msgsnd, c::SYS_msgrcv, c::SYS_msgctl, c::SYS_mq_open, c::SYS_mq_unlink, c::SYS_mq_timedsend,
    c::SYS_mq_timedreceive, c::SYS_mq_notify, c::SYS_mq_getsetattr,
    // the machine (read-only)
    c::SYS_uname, c::SYS_sysinfo, c::SYS_getrandom,
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
    use crate::kernel::bpf::tests::run_filter;

    #[test]
    fn no_call_has_two_rules() {
        let by_arguments = rules_by_arguments().into_iter().map(|(call, _)| call);
        let all: Vec<_> = DENIED.iter().chain(ALLOWED).chain(SKIPPED).copied().chain(by_arguments).collect();
        let twice: Vec<_> =
            all.iter().filter(|call| all.iter().filter(|other| other == call).count() > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    fn action(number: i64, arguments: [u64; 6]) -> u32 {
        run_filter(&SeccompProfile::compile().filter, AUDIT_ARCHITECTURE, number as u32, arguments)
    }

    #[test]
    fn each_call_has_the_action_of_its_list() {
        let SeccompProfile { filter, filter_without_uncharged_memory, notifying } = SeccompProfile::compile();
        let by_arguments: Vec<_> = rules_by_arguments().iter().map(|(call, _)| *call).collect();
        for number in (0..2000).filter(|number| !by_arguments.contains(number)) {
            let expected = match number {
                _ if DENIED.contains(&number) => DENY,
                _ if ALLOWED.contains(&number) => ALLOW,
                _ if SKIPPED.contains(&number) => SKIP,
                _ => NOT_IMPLEMENTED,
            };
            assert_eq!(
                run_filter(&filter, AUDIT_ARCHITECTURE, number as u32, [0; 6]),
                expected,
                "call {number}"
            );
            let strict_action =
                if UNCHARGED_MEMORY_CALLS.contains(&number) { NOT_IMPLEMENTED } else { expected };
            assert_eq!(
                run_filter(&filter_without_uncharged_memory, AUDIT_ARCHITECTURE, number as u32, [0; 6]),
                strict_action,
                "call {number}"
            );
            // No call notifies that is about descriptor 4.
            for (filter, expected) in notifying.iter().zip([expected, strict_action]) {
                assert_eq!(run_filter(filter, AUDIT_ARCHITECTURE, number as u32, [4; 6]), expected);
            }
        }
        for number in [u32::MAX, 0x4000_0000, 0x4000_0001] {
            // The x32 ABI has large numbers and the same architecture.
            assert_eq!(run_filter(&filter, AUDIT_ARCHITECTURE, number, [0; 6]), NOT_IMPLEMENTED);
        }
        assert_eq!(run_filter(&filter, 0x4000_0003, 1, [0; 6]), KILL); // 32-bit x86
        for filter in [&filter, &notifying[0]] {
            assert!(filter.len() < 520, "{} instructions", filter.len());
        }
    }

    /// A notified call is always made, so no other call may notify than one that is allowed.
    #[test]
    fn only_allowed_calls_notify() {
        let plain = rules();
        let mut notifying = plain.clone();
        add_notifying_rules(&mut notifying);
        for (call, _) in notifying.iter().filter(|(call, rule)| !is_same(rule, &plain[*call])) {
            assert!(ALLOWED.contains(call) || *call == c::SYS_fcntl, "{call}");
        }
        let filter = &SeccompProfile::compile().notifying[0];
        let lease = [10, c::F_SETLEASE as u64, c::FD_CLOEXEC as u64, 0, 0, 0];
        assert_eq!(run_filter(filter, AUDIT_ARCHITECTURE, c::SYS_fcntl as u32, lease), DENY);
    }

    #[test]
    fn clone_makes_processes_and_threads_but_no_namespaces() {
        assert_eq!(action(c::SYS_clone, [c::SIGCHLD as u64, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(action(c::SYS_clone, [(c::CLONE_VM | c::CLONE_THREAD) as u64, 0, 0, 0, 0, 0]), ALLOW);
        for flag in 0..32 {
            let expected = if NAMESPACE_FLAGS & 1 << flag == 0 { ALLOW } else { DENY };
            assert_eq!(action(c::SYS_clone, [1 << flag | c::SIGCHLD as u64, 0, 0, 0, 0, 0]), expected);
        }
    }

    #[test]
    fn only_sockets_of_the_listed_families_types_and_protocols_are_allowed() {
        let socket = |family: i32, kind: i32, protocol: i32| {
            action(c::SYS_socket, [family as u64, kind as u64, protocol as u64, 0, 0, 0])
        };
        for kind in [c::SOCK_STREAM, c::SOCK_DGRAM, c::SOCK_RAW, c::SOCK_SEQPACKET] {
            for protocol in [0, c::IPPROTO_TCP, c::IPPROTO_UDP, c::IPPROTO_ICMP, c::IPPROTO_SCTP] {
                let is_plain = [c::SOCK_STREAM, c::SOCK_DGRAM].contains(&kind)
                    && [0, c::IPPROTO_TCP, c::IPPROTO_UDP].contains(&protocol);
                let expected = if is_plain { ALLOW } else { NOT_IMPLEMENTED };
                for family in [c::AF_INET, c::AF_INET6] {
                    assert_eq!(socket(family, kind, protocol), expected, "{family} {kind} {protocol}");
                    assert_eq!(socket(family, kind | c::SOCK_CLOEXEC | c::SOCK_NONBLOCK, protocol), expected);
                }
                assert_eq!(socket(c::AF_UNIX, kind, protocol), ALLOW);
                let expected = if protocol == c::NETLINK_ROUTE { ALLOW } else { NOT_IMPLEMENTED };
                assert_eq!(socket(c::AF_NETLINK, kind, protocol), expected);
            }
        }
        for family in [c::AF_PACKET, c::AF_VSOCK, c::AF_ALG, c::AF_XDP, c::AF_UNSPEC] {
            assert_eq!(socket(family, c::SOCK_STREAM, 0), NOT_IMPLEMENTED, "{family}");
        }
    }

    #[test]
    fn the_personality_and_the_limit_of_core_dumps_cannot_be_changed() {
        for persona in [0, 0x4_0000, 0xffff_ffff] {
            assert_eq!(action(c::SYS_personality, [persona, 0, 0, 0, 0, 0]), ALLOW);
        }
        assert_eq!(action(c::SYS_personality, [8, 0, 0, 0, 0, 0]), NOT_IMPLEMENTED); // PER_LINUX32
        let (core, files) = (u64::from(c::RLIMIT_CORE), u64::from(c::RLIMIT_NOFILE));
        assert_eq!(action(c::SYS_setrlimit, [core, 1, 0, 0, 0, 0]), DENY);
        assert_eq!(action(c::SYS_setrlimit, [files, 1, 0, 0, 0, 0]), ALLOW);
        assert_eq!(action(c::SYS_prlimit64, [0, core, 0, 1, 0, 0]), ALLOW);
        assert_eq!(action(c::SYS_prlimit64, [0, files, 1, 1, 0, 0]), ALLOW);
        for new in [1, 1 << 32, u64::MAX] {
            assert_eq!(action(c::SYS_prlimit64, [0, core, new, 1, 0, 0]), DENY);
        }
    }

    #[test]
    fn only_the_limits_of_the_caller_can_be_changed() {
        let files = u64::from(c::RLIMIT_NOFILE);
        assert_eq!(action(c::SYS_prlimit64, [1, files, 0, 1, 0, 0]), DENY);
        assert_eq!(action(c::SYS_prlimit64, [7, files, 0, 1, 0, 0]), ALLOW);
        for pid in [1, 7, 1 << 31] {
            assert_eq!(action(c::SYS_prlimit64, [pid, files, 1 << 40, 0, 0, 0]), DENY);
        }
    }

    #[test]
    fn the_priorities_and_processors_of_init_cannot_be_changed() {
        let by_pid = [
            c::SYS_sched_setaffinity,
            c::SYS_sched_setparam,
            c::SYS_sched_setscheduler,
            c::SYS_sched_setattr,
        ];
        for call in by_pid {
            assert_eq!(action(call, [1, 0, 0, 0, 0, 0]), DENY, "{call}");
            assert_eq!(action(call, [1 << 32 | 1, 0, 0, 0, 0, 0]), DENY, "{call}");
            for pid in [0, 2, 11] {
                assert_eq!(action(call, [pid, 0, 0, 0, 0, 0]), ALLOW, "{call} {pid}");
            }
        }
        for (call, user) in [(c::SYS_setpriority, 2), (c::SYS_ioprio_set, 3)] {
            for (which, who, expected) in [(0, 0, ALLOW), (1, 12, ALLOW), (0, 1, DENY), (user, 0, DENY)] {
                assert_eq!(action(call, [which, who, 0, 0, 0, 0]), expected, "{call} {which} {who}");
            }
        }
    }

    #[test]
    fn no_huge_pages_are_taken_from_the_machine() {
        let flags = c::MAP_PRIVATE | c::MAP_ANONYMOUS;
        assert_eq!(action(c::SYS_mmap, [0, 4096, 3, flags as u64, 0, 0]), ALLOW);
        let huge = flags | c::MAP_HUGETLB;
        assert_eq!(action(c::SYS_mmap, [0, 4096, 3, huge as u64, 0, 0]), NO_MEMORY);
        assert_eq!(action(c::SYS_memfd_create, [0, 1, 0, 0, 0, 0]), ALLOW);
        assert_eq!(action(c::SYS_memfd_create, [0, 5, 0, 0, 0, 0]), NO_MEMORY);
        assert_eq!(action(c::SYS_shmget, [0, 4096, 0o1600, 0, 0, 0]), ALLOW);
        assert_eq!(action(c::SYS_shmget, [0, 4096, 0o5600, 0, 0, 0]), NO_MEMORY);
    }

    #[test]
    fn options_of_sockets_hold_no_memory_that_is_not_charged() {
        let option =
            |level: i32, name: i32| action(c::SYS_setsockopt, [3, level as u64, name as u64, 0, 0, 0]);
        for (level, name) in [
            (c::SOL_SOCKET, c::SO_RCVBUF),
            (c::SOL_SOCKET, c::SO_REUSEADDR),
            (c::IPPROTO_TCP, c::TCP_NODELAY),
            (c::SOL_IP, c::IP_ADD_MEMBERSHIP),
            (c::SOL_IPV6, c::IPV6_V6ONLY),
        ] {
            assert_eq!(option(level, name), ALLOW, "{level} {name}");
        }
        for (level, options) in SOCKET_OPTIONS {
            for (name, expected) in options {
                assert_eq!(option(level, *name), *expected, "{level} {name}");
            }
        }
    }
}
