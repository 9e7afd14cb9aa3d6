import ctypes, os, sys
from attack import *

# A program that is executed from memory is confined like any other.
fd = libc.memfd_create(b"x", 0)
if fd < 0:
    held()  # without a memory cgroup there are no memory files
with open("/usr/bin/env", "rb") as source:
    os.write(fd, source.read())
pid = os.fork()
if pid == 0:
    os.execve(fd, ["env", "true"], {"PATH": "/usr/bin"})
want("it runs", os.waitpid(pid, 0)[1], 0)
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    os.dup2(write, 1)
    fd = libc.memfd_create(b"x", 0)
    with open("/usr/bin/grep", "rb") as source:
        os.write(fd, source.read())
    os.execve(fd, ["grep", "-E", "^(Seccomp|NoNewPrivs|CapEff):", "/proc/self/status"], {})
os.close(write)
os.waitpid(pid, 0)
want("its status", os.read(read, 4096).split(), [b"CapEff:", b"0000000000000000", b"NoNewPrivs:", b"1", b"Seccomp:", b"2"])
# A write to the program's own memory does not change a file that other processes map.
target = os.open("/usr/bin/env", os.O_RDONLY)
import mmap
mapped = mmap.mmap(target, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)
address = next(int(line.split("-")[0], 16) for line in open("/proc/self/maps") if "/usr/bin/env" in line)
def write_memory():
    memory = os.open("/proc/self/mem", os.O_RDWR)
    os.pwrite(memory, b"\0\0\0\0", address)
attempt(write_memory)
want("the file", os.pread(target, 4, 0), b"\x7fELF")
refused("init's memory", attempt(os.open, "/proc/1/mem", os.O_RDWR))
refused("a shared mapping", attempt(mmap.mmap, target, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))
held()
