import array, json, os, socket, sys
from attack import *

# Passes thousands of descriptors to the supervisor, and then sends a valid message.
channel = socket.socket(fileno=int(os.environ["LIVECODE_FD"]))
for n in range(200):
    fds = array.array("i", [0, 1, 2] * 80)
    try:
        channel.sendmsg([b" "], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    except OSError as error:
        want("passing descriptors", errno.errorcode[error.errno], "ETOOMANYREFS", "EPERM")
        break
channel.sendmsg([b" "], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, __import__("struct").pack("3i", os.getpid(), os.getuid(), os.getgid()))])
try:
    channel.sendmsg([b" "], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, __import__("struct").pack("3i", 1, 0, 0))])
    print("credentials were forged")
except OSError:
    pass
credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
want("the supervisor's pid", int.from_bytes(credentials[:4], "little"), 0)
channel.sendall(b'\n{"msgtype":"hello"}\n')
sys.stdin.readline()
held()
