import ctypes, os, resource, sys, time
from attack import *

# Process 1 starts the steps and reaps processes. A program must not limit it, slow it down or end
# it. The test checks that the session ends as the program does, whatever it tries here.
for kind in range(16):
    refused(f"limit {kind} of init", attempt(resource.prlimit, 1, kind, (0, 0)))
    refused(f"limit {kind} of the parent", attempt(resource.prlimit, os.getppid(), kind, (0, 0)))
refused("processors", attempt(os.sched_setaffinity, 1, {0}))
for policy in (os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_IDLE):
    refused(f"policy {policy}", attempt(os.sched_setscheduler, 1, policy, os.sched_param(0)))
refused("parameters", attempt(os.sched_setparam, 1, os.sched_param(0)))
refused("attributes", call(314, 1, ctypes.create_string_buffer(bytes.fromhex("30000000050000000000000000000000") + bytes(32)), 0))
refused("priority", attempt(os.setpriority, os.PRIO_PROCESS, 1, 19))
for user in (0, os.getuid()):
    refused("priority of the user", attempt(os.setpriority, os.PRIO_USER, user, 19))
    refused("I/O priority of the user", call(251, 3, user, 3 << 13))
refused("I/O priority", call(251, 1, 1, 3 << 13))
for name in ("oom_score_adj", "oom_adj", "autogroup", "timerslack_ns", "coredump_filter", "clear_refs", "comm", "sched", "mem"):
    def write():
        fd = os.open(f"/proc/1/{name}", os.O_WRONLY)
        os.write(fd, b"19")
    refused(f"write /proc/1/{name}", attempt(write), "EINVAL", "EIO")
refused("memory of init", call("process_madvise", os.pidfd_open(1), ctypes.create_string_buffer(16), 0, 21, 0))
refused("pages of init", call("migrate_pages", 1, 0, 0, 0), "EINVAL")
refused("trace init", call("ptrace", 16, 1, 0, 0))

# Calls by which a program changes itself, its threads and its children still work.
want("own limit", attempt(resource.prlimit, 0, resource.RLIMIT_NOFILE, (512, 1024)), "done")
want("own processors", attempt(os.sched_setaffinity, 0, os.sched_getaffinity(0)), "done")
want("own priority", attempt(os.setpriority, os.PRIO_PROCESS, 0, 19), "done")
want("own thread", attempt(os.setpriority, os.PRIO_PROCESS, os.getpid(), 19), "done")
want("own policy", attempt(os.sched_setscheduler, os.getpid(), os.SCHED_BATCH, os.sched_param(0)), "done")

# Where the server is root, init has a user of its own, so the kernel refuses all this a second
# time.
with open("/proc/1/status") as status:
    uids = next(line for line in status if line.startswith("Uid:")).split()[1:]
if sys.argv[1:] == ["root"]:
    want("init's real and effective uid", str(os.getuid()) in uids[:2] or "0" in uids, False)

# Signals do not reach init, and processes without a parent do not stop it.
libc.kill(1, 9)
for number in (4, 6, 11, 15, 17, 19, 20, 34, 64):
    for _ in range(20):
        libc.kill(1, number)
        libc.sigqueue(1, number, None)
for _ in range(50):
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
        os._exit(0)
    os.wait()
held()
