import json, os, socket, struct, sys
from attack import *

port = int(sys.argv[1])  # the port of the server
away = ("ENETUNREACH", "ECONNREFUSED", "EADDRNOTAVAIL", "EHOSTUNREACH", "ETIMEDOUT", "EAFNOSUPPORT", "EINVAL")


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        s.connect(address)


for host in ("127.0.0.1", "127.0.0.53", "169.254.169.254", "10.0.0.1", "192.168.0.1", "172.17.0.1", "1.1.1.1"):
    want(host, attempt(connect, socket.AF_INET, (host, port)), *away)
for host in ("::1", "fe80::1", "2606:4700:4700::1111"):
    want(host, attempt(connect, socket.AF_INET6, (host, port)), *away)


def ask_dns():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0\1x\0\0\1\0\1", ("1.1.1.1", 53))


want("DNS", attempt(ask_dns), *away)
try:
    print("resolved", socket.getaddrinfo("example.com", 80))
except OSError:
    pass
# There is only the loopback device, and no socket type that receives packets of others.
want("interfaces", [name for _, name in socket.if_nameindex()], ["lo"])
refused("raw", attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1))
refused("packet", attempt(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 3))
held()
