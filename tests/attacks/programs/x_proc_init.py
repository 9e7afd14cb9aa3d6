import os, sys
from attack import *

# `outside` has texts that a program must not see: the path of the data directory, the address of
# the server. /proc/1 and the program's own folder must not have them. The exception is
# `mountinfo`, which names the mounted folder of the data directory. SECURITY.md says so.
with open("outside") as file:
    outside = file.read().split("\n")


def look(folder, depth):
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        path = f"{folder}/{name}"
        try:
            texts = [os.readlink(path)]
        except OSError:
            texts = []
        if os.path.isdir(path) and not os.path.islink(path):
            if depth and name not in ("fd", "fdinfo", "map_files", "net", "task", "attr"):
                look(path, depth - 1)
            continue
        if not os.path.islink(path) and name not in ("mem", "kmsg", "pagemap", "clear_refs", "mountinfo"):
            try:
                with open(path, "rb") as file:
                    texts.append(file.read(1 << 20).decode(errors="replace"))
            except OSError:
                pass
        for text in texts:
            for secret in outside:
                if secret in text:
                    print(f"{path} has {secret!r}: {text[:300]!r}")


for folder in ("/proc/1", "/proc/1/task/1", "/proc/self", "/proc/1/net", "/proc/self/attr"):
    look(folder, 0)
with open("/proc/1/cmdline", "rb") as file:
    want("the command line of init", file.read(), b"init\0")
held()
