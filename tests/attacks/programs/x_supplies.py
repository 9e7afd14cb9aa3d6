import ctypes, fcntl, resource
from attack import *

# A program must not take what the kernel has once for all users: requests of asynchronous I/O,
# huge pages, memory that is not swapped, the writing back of all disks.
context = ctypes.c_ulong(0)
for events in (1, 65536):
    want(f"io_setup {events}", call(206, events, ctypes.byref(context)), "ENOSYS")
for number in (207, 208, 209, 210, 333):  # io_destroy, _getevents, _submit, _cancel, _pgetevents
    want(f"call {number}", call(number, 0, 0, 0, 0, 0, 0), "ENOSYS")
libc.mmap.restype = ctypes.c_long
for size in (0, 21 << 26, 30 << 26):
    got = libc.mmap(0, 2 << 20, 3, 0x22 | 0x40000 | size, -1, 0)
    want("huge pages", got, -1)
want("huge memfd", call("memfd_create", ctypes.c_char_p(b"x"), 4), "ENOMEM", "ENOSYS")
want("huge shared memory", call(29, 0, 2 << 20, 0o5600), "ENOMEM", "ENOSYS")
refused("memfd_secret", call("memfd_secret", 0))
refused("fanotify", call("fanotify_init", 0, 0))
refused("perf", call("perf_event_open", ctypes.create_string_buffer(128), 0, -1, -1, 0))
want("locked memory", resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] <= 64 << 10, True)
want("queued signals", resource.getrlimit(resource.RLIMIT_SIGPENDING)[1] <= 4096, True)
want("message queues", resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1], 0)
# A lease on a file would delay others that write to it. Root's files refuse it, too.
with open("/usr/bin/env") as shared, open("own", "w") as own:
    refused("lease on a shared file", attempt(fcntl.fcntl, shared, fcntl.F_SETLEASE, fcntl.F_RDLCK))
    refused("lease", attempt(fcntl.fcntl, own, fcntl.F_SETLEASE, fcntl.F_WRLCK))
# sync(2) succeeds, and writes nothing: all that a program writes is in memory.
want("sync", call(162), "done")
timers, timer = 0, ctypes.c_long()
while timers <= 5000 and call(222, 1, 0, ctypes.byref(timer)) == "done":
    timers += 1
want("timers are bounded", timers <= 4096, True)
held()
