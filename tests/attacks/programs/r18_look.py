import ctypes, os, socket
from attack import *

for folder in ("/dev/shm", "/tmp"):
    want(folder, [name for name in os.listdir(folder)], [])
want("shared memory", libc.shmget(0x4c43, 4096, 0), -1)
want("semaphore", libc.semget(0x4c43, 1, 0), -1)
want("message queue", libc.msgget(0x4c43, 0), -1)
for kind in ("shm", "sem", "msg"):
    want(f"/proc/sysvipc/{kind}", len(open(f"/proc/sysvipc/{kind}").read().splitlines()), 1)


def connect(family, address):
    with socket.socket(family) as s:
        s.settimeout(2)
        s.connect(address)


want("abstract socket", attempt(connect, socket.AF_UNIX, "\0livecode-mark"), "ECONNREFUSED", "EPERM")
want("port", attempt(connect, socket.AF_INET, ("127.0.0.1", 4243)), "ECONNREFUSED")
want("sockets", [line for line in open("/proc/net/unix").read().splitlines()[1:] if "@" in line], [])
want("processes", sorted(int(name) for name in os.listdir("/proc") if name.isdigit()), [1, os.getpid()])
held()
