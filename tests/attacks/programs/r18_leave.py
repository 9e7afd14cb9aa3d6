import ctypes, fcntl, os, socket, time
from attack import *

# Leaves a mark in every place where another session might find it.
open("/dev/shm/mark", "w").write("secret")
open("/tmp/mark", "w").write("secret")
libc.shmat.restype = ctypes.c_void_p
memory = libc.shmget(0x4c43, 4096, 0o1666)
if memory >= 0:
    ctypes.memmove(ctypes.c_void_p(libc.shmat(memory, None, 0)), b"secret", 6)
libc.semget(0x4c43, 1, 0o1666)
libc.msgget(0x4c43, 0o1666)
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\0livecode-mark")
abstract.listen()
tcp = socket.socket()
tcp.bind(("127.0.0.1", 4243))
tcp.listen()
os.setpgid(0, 0) if os.getsid(0) != os.getpid() else None
print("ready", flush=True)
time.sleep(60)
