import ctypes, os, select, struct, sys
from attack import *

# Watches its own folders. The only visible events of the machine are those in /usr, whose files
# are shared, and in /etc of an image. That is documented, as it is for file locks.
fd = libc.inotify_init1(os.O_NONBLOCK)
for path in (b"/", b"/proc", b"/dev", b"/tmp", b"/code", *([] if in_image else [b"/etc"])):
    libc.inotify_add_watch(fd, path, 0xfff)
print("ready", flush=True)
sys.stdin.readline()
names = []
try:
    data = os.read(fd, 65536)
    while data:
        _, mask, _, length = struct.unpack("iIII", data[:16])
        names.append(data[16:16 + length].rstrip(b"\0").decode())
        data = data[16 + length:]
except BlockingIOError:
    pass
want("seen", [name for name in names if name not in ("", "usr", "self", "proc", "etc", "dev", "tmp", "code", "livecode")], [])
held()
