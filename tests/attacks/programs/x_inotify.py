import ctypes, os, select, struct, sys
from attack import *

# Watches its own root and the folder of the server's sockets: it sees nothing of the machine but what happens in /usr, whose
# files are shared (documented, as for locks).
fd = libc.inotify_init1(os.O_NONBLOCK)
for path in (b"/", b"/proc", b"/dev", b"/tmp", b"/code", b"/etc"):
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
