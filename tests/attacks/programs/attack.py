"""Helpers of the attacks in Python.

Each attack prints what should not have happened, and "held" at its end.
"""
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

# Whether the program runs in the root of a Debian image, whose /var and the like it may see. Of the
# machine itself no program sees this file.
in_image = os.path.exists("/etc/debian_version")

# The numbers of system calls on x86_64.
NUMBERS = dict(
    access=21, dup=32, ptrace=101, syslog=103, modify_ldt=154, pivot_root=155, adjtimex=159, chroot=161, acct=163,
    settimeofday=164, mount=165, umount2=166, swapon=167, swapoff=168, reboot=169, sethostname=170, iopl=172,
    ioperm=173, init_module=175, delete_module=176, quotactl=179, clone=56, clock_settime=227, kexec_load=246,
    add_key=248, request_key=249, keyctl=250, migrate_pages=256, unshare=272, move_pages=279,
    perf_event_open=298, fanotify_init=300, prlimit64=302, name_to_handle_at=303, open_by_handle_at=304,
    clock_adjtime=305, setns=308, process_vm_readv=310, process_vm_writev=311, kcmp=312, finit_module=313,
    memfd_create=319, kexec_file_load=320, bpf=321, userfaultfd=323, io_uring_setup=425, io_uring_enter=426,
    io_uring_register=427, open_tree=428, move_mount=429, fsopen=430, fsmount=432, clone3=435, pidfd_getfd=438,
    process_madvise=440, mount_setattr=442, quotactl_fd=443, memfd_secret=447, cachestat=451,
    set_mempolicy_home_node=450, vhangup=153, lookup_dcookie=212, mbind=237, open_tree_attr=467,
)


def call(name, *args):
    """Makes a system call. Returns the name of its errno, or "done" if it succeeded."""
    ctypes.set_errno(0)
    number = NUMBERS[name] if isinstance(name, str) else name
    args = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    if libc.syscall(ctypes.c_long(number), *args) == -1:
        return errno.errorcode[ctypes.get_errno()]
    return "done"


def attempt(action, *args, **more):
    """Calls a function. Returns the name of its errno, or "done" if it succeeded."""
    try:
        action(*args, **more)
        return "done"
    except OSError as error:
        return errno.errorcode.get(error.errno, repr(error))


def want(what, got, *allowed):
    """Prints a line if `got` is not one of the allowed results."""
    if got not in allowed:
        print(f"{what}: {got}, not {' or '.join(map(str, allowed))}")


def refused(what, got, *besides):
    """Prints a line if `got` is not the errno of a refusal."""
    want(what, got, "EPERM", "EACCES", "ENOSYS", "EROFS", "ENOENT", *besides)


def held():
    """Ends an attack. The check passes if nothing was printed before."""
    print("held", flush=True)
    os._exit(0)
