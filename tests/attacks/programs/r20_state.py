import os, sys
from attack import *

data = sys.argv[1]
folders = ["/home", "/root", "/var", "/run", "/etc/shadow", "/boot", "/mnt", "/media", "/srv", "/opt", "/host", "/.dockerenv"]
for path in (data, f"{data}/lock", f"{data}/sessions", os.path.dirname(data), "/sys", "/work", *([] if in_image else folders)):
    if path in ("/tmp",):
        continue
    want(path, attempt(os.stat, path), "ENOENT")
for here in ("/proc/self/root", "/proc/self/cwd/..", "/proc/thread-self/root"):
    want(f"{here}{data}", attempt(os.stat, here + data), "ENOENT")
for path in ("/", "/dev", "/etc"):
    for name in os.listdir(path):
        full = os.path.join(path, name)
        if os.path.islink(full):
            # Links of an image may also lead to other files of the image, or to nothing.
            inside = ("/usr/", "/proc/", "/dev/", *(["/etc/", "/var/"] if in_image else []))
            is_dangling = in_image and not os.path.exists(full)
            want(f"{full} leads out", is_dangling or os.path.realpath(full).startswith(inside), True)
# /proc/self/mountinfo has the names of the folders behind the read-only mounts. These names do not
# exist in the sandbox.
for line in open("/proc/self/mountinfo"):
    root = line.split()[3]
    if not root.startswith(("/usr", "/dev", "/etc", "/code", "/tmp", "/sys", "/irq", "/bus", "/fs")) and root != "/":
        want(f"the name {root}", attempt(os.stat, root), "ENOENT")
held()
