import ctypes, os, resource, signal
from attack import *

# The limit is one byte. That is too small for any dump, and the only value at which the kernel
# starts no handler that core dumps are piped to.
want("limit", resource.getrlimit(resource.RLIMIT_CORE), (1, 1))
for limit in ((0, 0), (0, 1), (resource.RLIM_INFINITY,) * 2):
    try:
        resource.setrlimit(resource.RLIMIT_CORE, limit)
        print("the limit was changed to", limit)
    except (OSError, ValueError):
        pass
for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT, signal.SIGSYS):
    pid = os.fork()
    if pid == 0:
        attempt(lambda: libc.prctl(4, 1))
        open("/proc/self/coredump_filter", "w").write("0xff")
        os.kill(os.getpid(), number)
    status = os.waitpid(pid, 0)[1]
    want(f"dumped on {number}", os.WCOREDUMP(status), False)
want("files", [name for name in os.listdir("/code") if "core" in name], [])
held()
