import os, socket, struct, sys
from attack import *

# Fills the buffers of sockets, in the way that the argument names, up to 192 MiB. Prints how many
# MiB they hold, and waits. The limit of the session's memory is 64 MiB.
way, kept, target = sys.argv[1], [], 192 << 20


def grown(kind, family=socket.AF_INET):
    s = socket.socket(family, kind)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        s.setsockopt(socket.SOL_SOCKET, option, 1 << 22)
    s.setblocking(False)
    kept.append(s)
    return s


def room(s):
    return s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def send_all(s, data, *address, count=200):
    sent = 0
    try:
        for _ in range(count):
            sent += s.sendto(data, *address) if address else s.send(data)
    except OSError:
        pass
    return sent


def column(name, index, part=None):
    total = 0
    with open(f"/proc/net/{name}") as file:
        for line in file.readlines()[1:]:
            words = line.split()
            total += int(words[index]) if part is None else int(words[index].split(":")[part], 16)
    return total


def step():
    """Fills one more socket. Returns the bytes that it holds, if no list has them."""
    if way == "udp":
        receiver = grown(socket.SOCK_DGRAM)
        receiver.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            send_all(sender, b"x" * 60000, receiver.getsockname(), count=room(receiver) // 60000 + 1)
    elif way == "udp held back":
        s = grown(socket.SOCK_DGRAM)
        s.connect(("127.0.0.1", 9))
        s.send(b"x" * 60000, socket.MSG_MORE)
    elif way == "udp errors":
        s = grown(socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IP, 11, 1)
        s.connect(("127.0.0.1", 9))
        for _ in range(room(s) // 1000):
            attempt(s.send, b"x" * 600)
    elif way == "netlink":
        s = grown(socket.SOCK_RAW, socket.AF_NETLINK)
        s.bind((0, 0))
        request = struct.pack("IHHIIBBHiII", 32, 18, 1, 1, 0, 0, 0, 0, 1, 0, 0)
        send_all(s, request, count=min(room(s) // 4000, 400))
    elif way == "unix":
        one, other = socket.socketpair()
        kept.extend((one, other))
        for s in (one, other):
            s.setblocking(False)
        return send_all(one, b"x" * 65536) + send_all(other, b"x" * 65536)
    elif way == "tcp":
        listener = grown(socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        one = grown(socket.SOCK_STREAM)
        attempt(one.connect, listener.getsockname())
        listener.setblocking(True)
        other, _ = listener.accept()
        kept.append(other)
        return send_all(one, b"x" * 65536)
    return 0


def held_bytes():
    if way == "netlink":
        return column("netlink", 4)
    return column("udp", 4, 0 if way == "udp held back" else 1)


counted = before = 0
for count in range(1000):
    try:
        counted += step()
    except OSError:
        break
    if count % 40 == 39:
        held = counted or held_bytes()
        if held > target or held <= before:
            break
        before = held
print("holds", (counted or held_bytes()) >> 20, flush=True)
sys.stdin.readline()
