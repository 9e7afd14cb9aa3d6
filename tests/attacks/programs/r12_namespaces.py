import ctypes, os
from attack import *

NAMESPACES = dict(NEWNS=0x20000, NEWCGROUP=0x2000000, NEWUTS=0x4000000, NEWIPC=0x8000000, NEWUSER=0x10000000,
                  NEWPID=0x20000000, NEWNET=0x40000000)
for name, flag in NAMESPACES.items():
    want(f"unshare {name}", call("unshare", flag), "EPERM")
    want(f"clone {name}", call("clone", flag | 17, 0, 0, 0, 0), "EPERM")
    # Bits in the upper half of the register, or other flags, must not hide a flag.
    want(f"clone {name} with more", call("clone", (1 << 40) | 0x800000 | flag | 17, 0, 0, 0, 0), "EPERM", "ENOSYS")
want("unshare TIME", call("unshare", 0x80), "EPERM")
want("clone3", call("clone3", ctypes.create_string_buffer(88), 88), "ENOSYS")
for name in os.listdir("/proc/self/ns"):
    fd = os.open(f"/proc/self/ns/{name}", os.O_RDONLY)
    want(f"setns {name}", call("setns", fd, 0), "EPERM")
    os.close(fd)
refused("setns by pidfd", call("setns", os.pidfd_open(os.getppid()), 0x20000))
b = ctypes.c_char_p
for fstype in (b"tmpfs", b"proc", b"sysfs", b"cgroup2", b"overlay", b"ext4", b"fuse", b"bpf", b"debugfs", b"devpts"):
    want(f"mount {fstype}", call("mount", b(b"none"), b(b"/tmp"), b(fstype), 0, 0), "EPERM")
want("bind", call("mount", b(b"/usr"), b(b"/tmp"), 0, 4096, 0), "EPERM")
want("remount", call("mount", b(b"none"), b(b"/"), 0, 32 | 4096, 0), "EPERM")
want("share", call("mount", b(b"none"), b(b"/"), 0, 1 << 20, 0), "EPERM")
for path in (b"/proc", b"/usr", b"/", b"/proc/sys", b"/proc/kcore", b"/dev/null", b"/tmp"):
    want(f"umount {path}", call("umount2", b(path), 2), "EPERM")
want("pivot_root", call("pivot_root", b(b"/tmp"), b(b"/tmp")), "EPERM")
want("chroot", call("chroot", b(b"/tmp")), "EPERM")
want("fsopen", call("fsopen", b(b"tmpfs"), 0), "EPERM")
want("open_tree", call("open_tree", -100, b(b"/"), 1), "EPERM")
want("move_mount", call("move_mount", -100, b(b"/usr"), -100, b(b"/tmp"), 0), "EPERM")
want("mount_setattr", call("mount_setattr", -100, b(b"/"), 0, 0, 32), "EPERM")
refused("open_tree_attr", call("open_tree_attr", -100, b(b"/"), 1, 0, 0))
# Mounts propagate in no direction, and honour neither setuid bits nor device files.
for line in open("/proc/self/mountinfo"):
    left, right = line.split(" - ")
    fields = left.split()
    want(f"propagation of {fields[4]}", [f for f in fields[6:] if f], [])
    want(f"nosuid on {fields[4]}", "nosuid" in fields[5].split(","), True)
    if not fields[4].startswith(("/dev/", "/proc/")) or fields[4] == "/dev/shm":
        want(f"nodev on {fields[4]}", "nodev" in fields[5].split(","), True)
held()
