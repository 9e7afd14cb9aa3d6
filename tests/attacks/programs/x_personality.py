import ctypes, os
from attack import *

for persona in (0x0400000, 0x0008, 0x0800000, 0x1000000, 0x2000000, 0x4000000, 0x8000000, 0x0100000):
    if persona != 0x0040000:
        refused(f"personality {persona:#x}", call(135, persona))
# prctl(2) options that would give privileges or remove confinement are refused.
for option, value in ((28, 0), (22, 0), (38, 0), (24, 21), (47, 2)):
    ctypes.set_errno(0)
    got = libc.prctl(option, value, 21, 0, 0)
    want(f"prctl {option} {value}", got, -1)
# Filters can be added, but not removed.
libc.prctl(38, 1, 0, 0, 0)
want("Seccomp", [line.split()[1] for line in open("/proc/self/status") if line.startswith("Seccomp:")], ["2"])
# A filter of the program's own does not override the other filters.
refused("unshare after all that", call("unshare", 0x10000000))
held()
