# Takes 256 MiB of memory in the way that the first argument names, then waits.
import ctypes, fcntl, mmap, os, socket, sys, time

MIB = 1 << 20
TARGET = 256 * MIB
kept = []


def tmpfs():
    with open("/tmp/x", "wb") as file:
        for _ in range(TARGET // MIB):
            file.write(bytes(MIB))


def fill(*sockets):
    """Sends until nothing more can be sent; returns the number of bytes."""
    sent = 0
    for one in sockets:
        one.setblocking(False)
        try:
            while True:
                sent += one.send(bytes(65536))
        except BlockingIOError:
            pass
    kept.extend(sockets)
    return sent


def unix():
    sent = 0
    while sent < TARGET:
        pair = socket.socketpair()
        for one in pair:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
        sent += fill(*pair)


def unix_closed():
    # The data waits in one end after the other was closed.
    sent = 0
    while sent < TARGET:
        one, other = socket.socketpair()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
        sent += fill(one)
        kept.remove(one)
        one.close()
        kept.append(other)


def tcp():
    sent = 0
    server = socket.create_server(("127.0.0.1", 0), backlog=512)
    while sent < TARGET:
        one = socket.create_connection(server.getsockname())
        sent += fill(one, server.accept()[0])


def udp():
    sent = 0
    while sent < TARGET:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)
        receiver.bind(("127.0.0.1", 0))
        kept.append(receiver)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(receiver.getsockname())
            for _ in range(max(1, receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 65536 - 2)):
                sent += sender.send(bytes(60000))


def shared_in_secret():
    PR_SET_DUMPABLE = 4
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    shared = mmap.mmap(-1, TARGET)
    kept.append(shared)
    for page in range(0, TARGET, mmap.PAGESIZE):
        shared[page] = 1


globals()[sys.argv[1]]()
print("taken", flush=True)
time.sleep(60)
