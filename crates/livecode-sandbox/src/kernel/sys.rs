//! The system calls that have no safe wrapper elsewhere. All `unsafe` of the project is here.

use std::{
    ffi::{CStr, CString},
    io,
    ops::Range,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::fs::FileExt as _,
    },
};

use rustix::process::Pid;

/// Which side of a fork this is.
pub enum Forked<P> {
    /// The new process.
    Child,
    /// The old one, with what it knows of the new.
    Parent(P),
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Forks this process, which must have a single thread.
///
/// # Errors
/// fork(2): `EAGAIN`, `ENOMEM`. Also where the process has more than one thread, whose locks the child would inherit
/// without the threads that hold them.
pub fn fork() -> io::Result<Forked<Pid>> {
    require_single_thread()?;
    // SAFETY: there is one thread, so the child has the whole process and nobody else's lock is held.
    let pid = check(libc::c_long::from(unsafe { libc::fork() }))?;
    Ok(Pid::from_raw(pid as i32).map_or(Forked::Child, Forked::Parent))
}

/// Runs `child` in a new process that has this one's memory, and nothing else of it; this one, which must have a single thread,
/// waits until that has executed a program or ended (vfork(2)). So no memory is copied. What `child` returns is its status.
///
/// # Errors
/// As [`fork`].
pub(crate) fn vfork<F: FnOnce() -> i32>(child: F) -> io::Result<Pid> {
    const STACK_BYTES: usize = 128 * 1024;
    const WORD_BYTES: usize = size_of::<u128>();
    extern "C" fn enter<F: FnOnce() -> i32>(child: *mut libc::c_void) -> libc::c_int {
        // SAFETY: it is what `clone` was given below, and nobody else uses it meanwhile.
        unsafe { &mut *child.cast::<Option<F>>() }.take().map_or(125, |child| child())
    }
    require_single_thread()?;
    let mut child = Some(child);
    let mut stack: Vec<u128> = Vec::with_capacity(STACK_BYTES / WORD_BYTES);
    let top = stack.spare_capacity_mut().as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: this process, which has one thread, does nothing until the other has left its memory for good, so the stack, which
    // is large enough and aligned, and `child` outlive their use, and no lock can be found held. What `enter` returns the
    // C library ends the other with.
    let pid = unsafe { libc::clone(enter::<F>, top.cast(), flags, (&raw mut child).cast()) };
    let pid = check(libc::c_long::from(pid))?;
    Pid::from_raw(pid as i32).ok_or_else(|| io::Error::other("a child without a number"))
}

/// Executes the first of `places` that can be, with the arguments and the environment given; what has no format that the kernel
/// knows, by a shell (execvp(3)). Returns why that was not possible.
pub(crate) fn execute(places: &[CString], argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |words: &[CString]| words.iter().map(|word| word.as_ptr()).collect::<Vec<_>>();
    let ended = |mut words: Vec<*const libc::c_char>| {
        words.push(std::ptr::null());
        words
    };
    let env = ended(pointers(env));
    // SAFETY: all are NUL-terminated, the arrays end with a null pointer, and everything outlives the call.
    let execute = |place: &CStr, argv: Vec<_>| unsafe {
        libc::execve(place.as_ptr(), ended(argv).as_ptr(), env.as_ptr());
        io::Error::last_os_error()
    };
    let (mut why, mut is_denied) = (io::Error::from_raw_os_error(libc::ENOENT), false);
    for place in places {
        why = execute(place, pointers(argv));
        match why.raw_os_error() {
            Some(libc::EACCES) => is_denied = true,
            Some(libc::ENOENT | libc::ENOTDIR | libc::ENODEV | libc::ESTALE | libc::ETIMEDOUT) => {}
            Some(libc::ENOEXEC) => {
                const SHELL: &CStr = c"/bin/sh";
                let arguments = pointers(argv.get(1..).unwrap_or_default());
                return execute(SHELL, [vec![SHELL.as_ptr(), place.as_ptr()], arguments].concat());
            }
            _ => return why,
        }
    }
    if is_denied { io::Error::from_raw_os_error(libc::EACCES) } else { why }
}

/// clone3(2), Linux 5.7. The libc crate's constant is too narrow for its value.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the parent of [`clone`] knows of the child.
pub(crate) struct Cloned {
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// Like [`fork`], into the namespaces of `flags` and, where given, into the v2 cgroup whose folder `cgroup` is.
pub(crate) fn clone(flags: i32, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked<Cloned>> {
    require_single_thread()?;
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all fields of clone_args are integers, for which zero is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags as u64 | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM and a stack of its own the child is a copy, as with fork; there is one thread, so nobody
    // else's lock is held; `args` and `pidfd` outlive the call.
    let pid =
        check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) })?;
    if pid == 0 {
        return Ok(Forked::Child);
    }
    // SAFETY: the kernel has put a new descriptor there, which is ours alone.
    Ok(Forked::Parent(Cloned { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }))
}

/// What a process used, and all its children that it has waited for.
pub(crate) struct ResourceUsage {
    pub cpu_ms: u64,
    /// Memory of the largest single process among them, in KiB.
    pub largest_kib: u64,
    /// With which code it exited, unless a signal killed it.
    pub exit_code: Option<i32>,
}

impl ResourceUsage {
    fn of(usage: &libc::rusage, exit_code: Option<i32>) -> Self {
        let ms = |time: libc::timeval| time.tv_sec as u64 * 1000 + time.tv_usec as u64 / 1000;
        let cpu_ms = ms(usage.ru_utime) + ms(usage.ru_stime);
        Self { cpu_ms, largest_kib: usage.ru_maxrss as u64, exit_code }
    }
}

/// Waits until the child `pid` is dead and gone, which it must not be yet.
pub(crate) fn reap_child(pid: i32) -> io::Result<ResourceUsage> {
    let mut status = 0;
    // SAFETY: all fields of rusage are integers, for which zero is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both are valid to write to, and outlive the call.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        match check(libc::c_long::from(waited)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    Ok(ResourceUsage::of(&usage, libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))))
}

/// What children that have ended, and were waited for, used.
pub(crate) fn used_by_children() -> ResourceUsage {
    // SAFETY: all fields of rusage are integers, for which zero is a valid value; it is valid to write to.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    ResourceUsage::of(&usage, None)
}

fn require_single_thread() -> io::Result<()> {
    if threads()? == 1 {
        Ok(())
    } else {
        Err(io::Error::other("a process with several threads must not fork"))
    }
}

/// Whether this process has no other thread, and may fork.
pub fn has_one_thread() -> bool {
    threads().is_ok_and(|threads| threads == 1)
}

fn threads() -> io::Result<u64> {
    // The link count of the folder is the number of threads plus two (`.` and `..`).
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata("/proc/self/task")?.nlink().saturating_sub(2))
}

/// Takes part in no cgroup above its own any more: /proc/self/cgroup says `/`.
pub(crate) fn unshare_cgroup_namespace() -> io::Result<()> {
    // SAFETY: a cgroup namespace concerns names only; no memory and no descriptor is touched.
    check(libc::c_long::from(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) })).map(drop)
}

/// unshare(2) of nothing: anybody may, but who has filters that refuse the call.
pub(crate) fn unshare_nothing() -> io::Result<()> {
    // SAFETY: without a flag the call does nothing.
    check(libc::c_long::from(unsafe { libc::unshare(0) })).map(drop)
}

/// The version of Landlock that this kernel has (landlock_create_ruleset(2)).
pub(crate) fn landlock_version() -> io::Result<i64> {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no attributes, makes nothing, and returns a number.
    check(unsafe {
        let none = std::ptr::null::<libc::c_void>();
        libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, LANDLOCK_CREATE_RULESET_VERSION)
    })
}

/// What a mount may not be used for, on top of what it already forbids.
#[derive(Clone, Copy)]
pub(crate) struct MountFlags(u64);

impl MountFlags {
    pub const RDONLY: Self = Self(0x1);
    pub const NOSUID: Self = Self(0x2);
    pub const NODEV: Self = Self(0x4);
    pub const NOEXEC: Self = Self(0x8);

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets flags on the mount that `mount` is open on, and on all below it where `recursive` (mount_setattr(2), Linux 5.12).
pub(crate) fn set_mount_flags(mount: impl AsFd, flags: MountFlags, recursive: bool) -> io::Result<()> {
    let attr = MountAttr { set: flags.0, clear: 0, propagation: 0, userns_fd: 0 };
    let at = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let empty: &CStr = c"";
    // SAFETY: the path is a NUL-terminated string and `attr` a mount_attr of the size given; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            empty.as_ptr(),
            at,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    check(result).map(drop)
}

/// Brings the loopback device of this network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: all fields of ifreq are integers or arrays of such, for which zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which `request` is, and keeps no reference to it.
    check(libc::c_long::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    }))
    .map(drop)
}

/// Closes every descriptor from `first` on but `keep`.
pub(crate) fn close_all_but(first: i32, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<i32> = keep.iter().map(|fd| fd.as_raw_fd()).filter(|fd| *fd >= first).collect();
    kept.sort_unstable();
    let mut from = first as u32;
    for fd in kept {
        close_range(from, fd as u32)?;
        from = fd as u32 + 1;
    }
    close_range(from, u32::MAX)
}

/// Closes the descriptors from `from` up to, but not including, `to`.
fn close_range(from: u32, to: u32) -> io::Result<()> {
    if from == to {
        return Ok(());
    }
    // SAFETY: the caller is a fresh child that uses none of these descriptors any more; it leaves by exec or _exit, so no
    // destructor closes one of the numbers a second time.
    check(unsafe { libc::syscall(libc::SYS_close_range, from, to - 1, 0) }).map(drop)
}

/// Kills every process that this one may signal and can see, but for itself and process 1 (kill(2)).
pub(crate) fn kill_all_others() -> io::Result<()> {
    // SAFETY: kill has no precondition; no memory is touched.
    match check(libc::c_long::from(unsafe { libc::kill(-1, libc::SIGKILL) })) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()), // there is nobody else
        other => other.map(drop),
    }
}

/// Memory of a process, in whole pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageRange {
    pub range: Range<usize>,
    /// Whether they were written to, and not only read.
    pub are_written: bool,
}

/// What the process `pid`, a fork of another, has used of that one's memory: of its own, what it has copied, since it has
/// written there; of files, what it has looked at. A fork starts with neither.
pub(crate) fn touched_pages(pid: i32) -> Vec<PageRange> {
    const ENTRY_BYTES: usize = 8;
    // In memory; a file's; and in no other process's (proc_pid_pagemap(5)).
    const IS_PRESENT: u64 = 1 << 63;
    const IS_FILE: u64 = 1 << 61;
    const IS_EXCLUSIVE: u64 = 1 << 56;
    let page_bytes = rustix::param::page_size();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let Ok(pages) = std::fs::File::open(format!("/proc/{pid}/pagemap")) else { return vec![] };
    let mut found: Vec<PageRange> = vec![];
    for line in maps.lines().filter(|line| !line.ends_with(']') || line.ends_with("[heap]")) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let numbers = range.map(|(start, end)| [start, end].map(|number| usize::from_str_radix(number, 16)));
        let Some([Ok(start), Ok(end)]) = numbers else { continue };
        let mut entries = vec![0; (end - start) / page_bytes * ENTRY_BYTES];
        if pages.read_exact_at(&mut entries, (start / page_bytes * ENTRY_BYTES) as u64).is_err() {
            continue;
        }
        let first = found.len();
        for (index, entry) in entries.as_chunks::<ENTRY_BYTES>().0.iter().enumerate() {
            let (page, entry) = (start + index * page_bytes, u64::from_ne_bytes(*entry));
            let are_written = match (entry & IS_PRESENT, entry & IS_FILE, entry & IS_EXCLUSIVE) {
                (IS_PRESENT, 0, IS_EXCLUSIVE) => true,
                (IS_PRESENT, IS_FILE, _) => false,
                _ => continue,
            };
            match found[first..].last_mut() {
                Some(last) if last.range.end == page && last.are_written == are_written => {
                    last.range.end += page_bytes;
                }
                _ => found.push(PageRange { range: page..page + page_bytes, are_written }),
            }
        }
    }
    found
}

/// Gives this process, a fresh fork of the one whose memory that was, what it will use of it at once instead of page by page
/// (madvise(2), Linux 5.14; a kernel before that does so as it is touched).
pub(crate) fn prefault(used: &[PageRange]) {
    const MADV_POPULATE_READ: i32 = 22;
    const MADV_POPULATE_WRITE: i32 = 23;
    for PageRange { range, are_written } in used {
        let advice = if *are_written { MADV_POPULATE_WRITE } else { MADV_POPULATE_READ };
        // SAFETY: the advice changes no contents, and fails where there is no such memory.
        unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), advice) };
    }
}

/// Has the kernel ask this filter at each system call of this process and of all it will start (seccomp(2)).
pub(crate) fn install_filter(filter: &[libc::sock_filter]) -> io::Result<()> {
    let length = filter.len().try_into().map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: without privileges a filter may be installed where none can be gained; the second call reads `program` and the
    // steps that it points at, both of which outlive it.
    unsafe {
        check(libc::c_long::from(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))?;
        check(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program))
            .map(drop)
    }
}

/// Ends this process at once: no destructor, no exit handler, nothing flushed twice.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(code) }
}

/// Blocks SIGCHLD and returns a descriptor that is readable while one is pending.
pub(crate) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: sigset_t is a plain array of integers, made valid by sigemptyset before its use; the pointers outlive the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        check(libc::c_long::from(libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut())))?;
        let fd = check(libc::c_long::from(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Undoes the block of [`child_signals`].
pub(crate) fn unblock_child_signals() -> io::Result<()> {
    // SAFETY: as in `child_signals`.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        check(libc::c_long::from(libc::sigprocmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()))).map(drop)
    }
}

/// Whether children of this process that end are forgotten at once, or wait to be asked how they ended (signal(7)).
pub fn reap_children_automatically(automatically: bool) {
    let disposition = if automatically { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: both are valid dispositions, and no handler of ours that anybody relies on is replaced.
    unsafe { libc::signal(libc::SIGCHLD, disposition) };
}

/// Sets every signal to its default: what somebody above us ignored (nohup, a runtime's own signals) is not the program's
/// business. The C library keeps two for itself and does not let them be set, hence the system call.
pub(crate) fn reset_signals() {
    const KERNEL_SIGSET_BYTES: usize = 8;
    for signal in 1..=64 {
        // The kernel's sigaction has at most four words; all zero is SIG_DFL without flags and with an empty mask.
        let default = [0usize; 4];
        // SAFETY: `default` is a valid action that outlives the call; nothing here relies on a handler. It fails for SIGKILL
        // and SIGSTOP, which are as they must be.
        unsafe {
            let none = std::ptr::null_mut::<usize>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, KERNEL_SIGSET_BYTES);
        }
    }
}

/// Gives the program `fd` under `number`, open across exec. Whatever had that number is closed.
pub(crate) fn give_as(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: the caller is a fresh child about to exec, which owns no descriptor of this number.
    check(libc::c_long::from(unsafe { libc::dup2(fd.as_raw_fd(), number) })).map(drop)
}
