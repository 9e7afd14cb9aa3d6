import os
from attack import *

for line in open("/proc/self/cgroup"):
    want("cgroup", line.strip().split(":", 2)[2], "/")
for line in open("/proc/self/mounts"):
    want("a mounted hierarchy", line.split()[2] in ("cgroup", "cgroup2", "sysfs"), False)
for path in ("/sys", "/sys/fs/cgroup", "/cgroup", *([] if in_image else ["/run"])):
    want(path, os.path.exists(path), False)
for folder, _, files in os.walk("/", onerror=lambda _: None):
    if folder.startswith(("/proc", "/usr")):
        continue
    for name in ("release_agent", "cgroup.procs", "notify_on_release", "cgroup.kill"):
        if name in files:
            print(f"found {folder}/{name}")
held()
