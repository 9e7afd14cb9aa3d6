import ctypes, os, socket
from attack import *

b, buffer = ctypes.c_char_p, ctypes.create_string_buffer(4096)
pid = os.getpid()
for name, *args in (
    ("keyctl", 0, -3, 1), ("keyctl", 1, b(b"x")), ("add_key", b(b"user"), b(b"x"), b(b"y"), 1, -3),
    ("request_key", b(b"user"), b(b"x"), 0, -3),
    ("bpf", 0, buffer, 128), ("bpf", 5, buffer, 128), ("perf_event_open", buffer, 0, -1, -1, 0),
    ("userfaultfd", 0), ("userfaultfd", 1),
    ("ptrace", 0, 0, 0, 0), ("ptrace", 16, os.getppid(), 0, 0), ("ptrace", 0x4206, os.getppid(), 0, 0),
    ("process_vm_readv", pid, buffer, 1, buffer, 1, 0), ("process_vm_writev", pid, buffer, 1, buffer, 1, 0),
    ("kcmp", pid, pid, 0, 0, 0), ("pidfd_getfd", os.pidfd_open(pid), 0, 0), ("process_madvise", -1, 0, 0, 0, 0),
    ("modify_ldt", 0, buffer, 16), ("modify_ldt", 1, buffer, 16), ("iopl", 3), ("ioperm", 0, 8, 1),
    ("quotactl", 0x800001, 0, 0, buffer), ("quotactl_fd", 0, 0x800001, 0, buffer), ("swapon", b(b"/tmp/x"), 0), ("swapoff", b(b"/tmp/x")),
    ("acct", b(b"/tmp/x")), ("syslog", 3, buffer, 4096), ("reboot", 0xfee1dead, 672274793, 0, 0),
    ("init_module", buffer, 8, b(b"")), ("finit_module", 0, b(b""), 0), ("delete_module", b(b"x"), 0),
    ("kexec_load", 0, 0, 0, 0), ("kexec_file_load", 0, 0, 0, 0, 0), ("settimeofday", buffer, 0),
    ("clock_settime", 0, buffer), ("adjtimex", buffer), ("clock_adjtime", 0, buffer), ("sethostname", b(b"x"), 1),
    ("fanotify_init", 0, 0), ("name_to_handle_at", -100, b(b"/"), buffer, buffer, 0),
    ("open_by_handle_at", -100, buffer, 0), ("migrate_pages", pid, 0, 0, 0), ("move_pages", pid, 0, 0, 0, 0, 0),
    ("mbind", 0, 0, 0, 0, 0, 0), ("vhangup",), ("lookup_dcookie", 0, buffer, 8), ("memfd_secret", 0),
    ("set_mempolicy_home_node", 0, 0, 0, 0), ("cachestat", 0, buffer, buffer, 0),
):
    refused(name, call(name, *args))
# System calls that do not exist yet, and those of the x32 interface.
for number in list(range(463, 520)) + [600, 1000, 1 << 20]:
    want(f"call {number}", call(number, 0, 0, 0, 0, 0, 0), "ENOSYS")
for number in (0, 1, 39, 56, 59, 101, 165, 272, 512, 520, 545):
    want(f"x32 call {number}", call(0x40000000 | number, 0, 0, 0, 0, 0), "ENOSYS")
# Socket families and protocols for which the kernel would load modules, such as vsock, alg,
# packet, xdp, bluetooth, can, tipc and rds.
usual = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
for family in range(1, 46):
    if family not in usual:
        for kind in (1, 2, 3, 5):
            refused(f"socket {family} {kind}", call(41, family, kind, 0), "EAFNOSUPPORT")
for family in (socket.AF_INET, socket.AF_INET6):
    for kind, protocol in ((5, 132), (1, 132), (6, 33), (1, 262), (2, 136), (3, 255), (5, 0), (6, 0), (10, 0), (1, 256)):
        refused(f"socket {family} {kind} {protocol}", call(41, family, kind, protocol))
for protocol in range(1, 23):
    refused(f"netlink {protocol}", call(41, socket.AF_NETLINK, 3, protocol))
held()
