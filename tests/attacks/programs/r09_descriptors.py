import os
from attack import *

listed = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
numbers = sorted(int(name) for name in os.listdir(listed))
want("descriptors", [n for n in numbers if n < listed], [0, 1, 2, 3])
os.close(listed)
want("working directory", os.getcwd(), "/code")
for n in range(1024):
    want(f"chdir {n}", attempt(os.chdir, f"/proc/self/fd/{n}"), "ENOENT", "ENOTDIR", "EACCES")
    want(f"fchdir {n}", attempt(os.fchdir, n), "EBADF", "ENOTDIR")
for way in ("/proc/self/cwd/../../../../..", "/proc/self/root/..", "/proc/thread-self/cwd/../..", "../../../.."):
    want(way, os.stat(way).st_ino, os.stat("/").st_ino)
refused("init's folder", attempt(os.listdir, "/proc/1/cwd"))
refused("init's root", attempt(os.listdir, "/proc/1/root"))
refused("init's descriptors", attempt(os.listdir, "/proc/1/fd"))
held()
