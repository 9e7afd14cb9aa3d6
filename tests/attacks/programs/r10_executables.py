import os, sys
from attack import *

# Process 1 runs the server's own binary. A program that could write to it would control the
# machine.
for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY, os.O_PATH):
    refused(f"/proc/1/exe {flags:o}", attempt(os.open, "/proc/1/exe", flags))
refused("readlink /proc/1/exe", attempt(os.readlink, "/proc/1/exe"))
refused("/proc/1/map_files", attempt(os.listdir, "/proc/1/map_files"))
for name in ("mem", "environ", "maps", "auxv", "stack", "syscall", "io", "personality"):
    refused(f"/proc/1/{name}", attempt(lambda: open(f"/proc/1/{name}", "rb").read(1)))
# The interpreter cannot be written either, since other sessions run it too.
for path in ("/proc/self/exe", sys.executable, "/usr/bin/env"):
    refused(f"write {path}", attempt(os.open, path, os.O_WRONLY), "ETXTBSY")
by_path = os.open("/proc/self/exe", os.O_PATH)
refused("reopened", attempt(os.open, f"/proc/self/fd/{by_path}", os.O_WRONLY), "ETXTBSY")
held()
