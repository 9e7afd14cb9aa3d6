//! Processes: making, executing, ending and reaping them.

use std::{
    ffi::{CStr, CString},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
};

use rustix::process::Pid;

use super::errno::check;

/// The side of a fork on which a call has returned.
pub enum Forked<P> {
    /// This is the new process.
    Child,
    /// This is the process that forked, with what identifies the child to it.
    Parent(P),
}

/// Forks this process, which must have a single thread.
///
/// # Errors
/// The errors of fork(2): `EAGAIN`, `ENOMEM`. Also fails if the process has more than one thread,
/// because the child would inherit their locks without the threads that hold them.
pub fn fork() -> io::Result<Forked<Pid>> {
    require_single_thread()?;
    // SAFETY: there is one thread, so the child has the whole process and no other thread's lock
    // is held.
    let pid = check(libc::c_long::from(unsafe { libc::fork() }))?;
    Ok(Pid::from_raw(pid as i32).map_or(Forked::Child, Forked::Parent))
}

/// Runs `child` in a new process that shares the memory of this one, and nothing else, so that no
/// memory is copied. This process, which must have a single thread, is suspended until the child
/// has executed a program or has ended (vfork(2)). The value that `child` returns is its exit
/// status.
///
/// # Errors
/// As [`fork`].
pub(crate) fn vfork<F: FnOnce() -> i32>(child: F) -> io::Result<Pid> {
    const STACK_BYTES: usize = 128 * 1024;
    const WORD_BYTES: usize = size_of::<u128>();
    /// Exit status if there is no closure to call, which cannot happen.
    const NO_CLOSURE: i32 = 125;
    extern "C" fn enter<F: FnOnce() -> i32>(child: *mut libc::c_void) -> libc::c_int {
        // SAFETY: this is the pointer that `clone` was given below, and nothing else uses it
        // meanwhile.
        unsafe { &mut *child.cast::<Option<F>>() }.take().map_or(NO_CLOSURE, |child| child())
    }
    require_single_thread()?;
    let mut child = Some(child);
    let mut stack: Vec<u128> = Vec::with_capacity(STACK_BYTES / WORD_BYTES);
    let stack_top = stack.spare_capacity_mut().as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: this process, which has one thread, is suspended until the child has left the shared
    // memory for good. So the stack, which is large enough and aligned, and `child` outlive their
    // use, and no lock can be found held. The C library ends the child with what `enter` returns.
    let pid = unsafe { libc::clone(enter::<F>, stack_top.cast(), flags, (&raw mut child).cast()) };
    let pid = check(libc::c_long::from(pid))?;
    Pid::from_raw(pid as i32).ok_or_else(|| io::Error::other("the new process has no pid"))
}

/// Executes the first of `paths` that can be executed, with these arguments and this environment.
/// A file whose format the kernel does not know is run by a shell (execvp(3)). Returns the error
/// if none can be executed.
pub(crate) fn execute(paths: &[CString], argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |words: &[CString]| words.iter().map(|word| word.as_ptr()).collect::<Vec<_>>();
    let null_terminated = |mut words: Vec<*const libc::c_char>| {
        words.push(std::ptr::null());
        words
    };
    let env = null_terminated(pointers(env));
    // SAFETY: all strings are NUL-terminated, the arrays end with a null pointer, and everything
    // outlives the call.
    let execve = |path: &CStr, argv: Vec<_>| unsafe {
        libc::execve(path.as_ptr(), null_terminated(argv).as_ptr(), env.as_ptr());
        io::Error::last_os_error()
    };
    let (mut last_error, mut is_denied) = (io::Error::from_raw_os_error(libc::ENOENT), false);
    for path in paths {
        last_error = execve(path, pointers(argv));
        match last_error.raw_os_error() {
            Some(libc::EACCES) => is_denied = true,
            Some(libc::ENOENT | libc::ENOTDIR | libc::ENODEV | libc::ESTALE | libc::ETIMEDOUT) => {}
            Some(libc::ENOEXEC) => {
                const SHELL: &CStr = c"/bin/sh";
                let arguments = pointers(argv.get(1..).unwrap_or_default());
                return execve(SHELL, [vec![SHELL.as_ptr(), path.as_ptr()], arguments].concat());
            }
            _ => return last_error,
        }
    }
    if is_denied { io::Error::from_raw_os_error(libc::EACCES) } else { last_error }
}

/// A flag of clone3(2), Linux 5.7. The libc crate's constant is too narrow for its value.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The child of [`clone`], as its parent knows it.
pub(crate) struct Cloned {
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// Forks like [`fork`], but into new namespaces by the `CLONE_NEW…` flags in `flags` and, if
/// `cgroup` is given, into the v2 cgroup whose folder this descriptor is open on (clone3(2)).
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
    // SAFETY: without CLONE_VM and a stack of its own the child is a copy, as with fork; there is
    // one thread, so no other thread's lock is held; `args` and `pidfd` outlive the call.
    let pid =
        check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) })?;
    if pid == 0 {
        return Ok(Forked::Child);
    }
    // SAFETY: the kernel has written a new descriptor to `pidfd`, which nothing else owns.
    Ok(Forked::Parent(Cloned { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }))
}

/// Resources that a process and all its reaped children have used (getrusage(2)).
pub(crate) struct ResourceUsage {
    /// CPU time of all of them together, in milliseconds.
    pub cpu_ms: u64,
    /// Peak resident memory of the largest single process among them, in KiB.
    pub largest_kib: u64,
    /// The exit code of the process; `None` if a signal killed it.
    pub exit_code: Option<i32>,
}

impl ResourceUsage {
    fn new(usage: &libc::rusage, exit_code: Option<i32>) -> Self {
        let ms = |time: libc::timeval| time.tv_sec as u64 * 1000 + time.tv_usec as u64 / 1000;
        let cpu_ms = ms(usage.ru_utime) + ms(usage.ru_stime);
        Self { cpu_ms, largest_kib: usage.ru_maxrss as u64, exit_code }
    }
}

/// Waits until the child `pid` is dead, and reaps it (wait4(2)). It must not have been reaped yet.
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
    Ok(ResourceUsage::new(&usage, libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))))
}

/// Returns the resources that all reaped children of this process have used together.
pub(crate) fn children_usage() -> ResourceUsage {
    // SAFETY: all fields of rusage are integers, for which zero is a valid value; it is valid to
    // write to.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    ResourceUsage::new(&usage, None)
}

/// Kills every process that this one can see and may signal, except itself and process 1
/// (kill(2)).
pub(crate) fn kill_all_others() -> io::Result<()> {
    // SAFETY: kill has no precondition; no memory is touched.
    match check(libc::c_long::from(unsafe { libc::kill(-1, libc::SIGKILL) })) {
        // There is no other process.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other.map(drop),
    }
}

/// Replaces the command line of this process, which all processes that see it can read, by `name`.
///
/// The kernel keeps the command line in the process's own memory. It normally shows the whole
/// area; if the area does not end with a NUL, it shows the text up to the first NUL
/// (/proc/PID/cmdline in proc(5)). So the length of the old command line is not shown either.
pub(crate) fn replace_command_line(name: &CStr) -> io::Result<()> {
    /// Indices of the area's two ends among the fields that follow the name of the process.
    const AREA_FIELDS: [usize; 2] = [45, 46];
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ends = AREA_FIELDS.map(|index| fields.get(index).and_then(|field| field.parse::<usize>().ok()));
    let [Some(start), Some(end)] = ends else { return Err(io::ErrorKind::InvalidData.into()) };
    let name = name.to_bytes_with_nul();
    if start == 0 || end.saturating_sub(start) <= name.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let area: *mut u8 = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the kernel says that the area is from `start` to `end`, on the stack of the main
    // thread above all frames, and it is longer than `name`. No reference to it exists: the
    // arguments of this process were copied when it began.
    unsafe {
        std::ptr::write_bytes(area, 0, end - start);
        std::ptr::copy_nonoverlapping(name.as_ptr(), area, name.len());
        area.add(end - start - 1).write(b' ');
    }
    Ok(())
}

/// Ends this process at once, without running destructors or exit handlers, and without flushing
/// buffers that the parent also holds.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(code) }
}

/// Whether this process has a single thread, and so may fork.
pub fn has_one_thread() -> bool {
    thread_count().is_ok_and(|count| count == 1)
}

fn require_single_thread() -> io::Result<()> {
    if thread_count()? == 1 {
        Ok(())
    } else {
        Err(io::Error::other("a process with several threads must not fork"))
    }
}

fn thread_count() -> io::Result<u64> {
    // The link count of the folder is the number of threads plus two (`.` and `..`).
    Ok(std::fs::metadata("/proc/self/task")?.nlink().saturating_sub(2))
}

/// Gives this thread the rights of another user and group wherever it names files (setfsuid(2)).
/// The calls report no error: a thread that may not have the rights does not get them.
pub(crate) fn set_file_system_ids(uid: u32, gid: u32) {
    // SAFETY: this call takes a number and changes the credentials of this thread alone.
    unsafe { libc::setfsgid(gid) };
    // SAFETY: as above.
    unsafe { libc::setfsuid(uid) };
}
