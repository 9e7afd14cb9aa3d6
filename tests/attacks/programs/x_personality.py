import ctypes, os
from attack import *

for persona in (0x0400000, 0x0008, 0x0800000, 0x1000000, 0x2000000, 0x4000000, 0x8000000, 0x0100000):
    if persona != 0x0040000:
        refused(f"personality {persona:#x}", call(135, persona))
# prctl: nothing that gives, or that takes the wall away.
for option, value in ((28, 0), (22, 0), (38, 0), (24, 21), (47, 2)):
    ctypes.set_errno(0)
    got = libc.prctl(option, value, 21, 0, 0)
    want(f"prctl {option} {value}", got, -1)
# More filters and rules may be added; none comes off.
libc.prctl(38, 1, 0, 0, 0)
want("Seccomp", [line.split()[1] for line in open("/proc/self/status") if line.startswith("Seccomp:")], ["2"])
# The notification of a filter of one's own is no way around the others.
refused("unshare after all that", call("unshare", 0x10000000))
held()
