import ctypes, os
from attack import *

refused("nice -20", attempt(os.setpriority, os.PRIO_PROCESS, 0, -20))
for policy in (os.SCHED_FIFO, os.SCHED_RR):
    refused(f"policy {policy}", attempt(os.sched_setscheduler, 0, policy, os.sched_param(50)))
refused("deadline", call(314, 0, ctypes.create_string_buffer(bytes.fromhex(
    "30000000060000000000000000000000000000000000000040420f000000000080841e000000000080841e0000000000")), 0), "EINVAL", "EBUSY")
refused("real-time I/O", call(251, 1, 0, (1 << 13) | 0))
import resource
for kind in (resource.RLIMIT_NICE, resource.RLIMIT_RTPRIO):
    want("rlimit", resource.getrlimit(kind)[1], 0)
# Process 1 has the same user, so the program can lower its priority and limits. Init still does
# its work: this run ends like any other.
attempt(os.setpriority, os.PRIO_PROCESS, 1, 19)
attempt(os.sched_setaffinity, 1, {0})
for kind in range(16):
    try:
        resource.prlimit(1, kind, (0, 0)) if kind != resource.RLIMIT_CPU else None
    except (OSError, ValueError):
        pass
held()
