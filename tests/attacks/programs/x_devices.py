import os, stat
from attack import *

# Landlock refuses with EACCES, before the missing capability would refuse with EPERM. So both
# defences are in place.
for kind, name in ((stat.S_IFCHR, "character"), (stat.S_IFBLK, "block")):
    for folder in ("/tmp", "/code", "/dev/shm"):
        want(f"{name} device in {folder}", attempt(os.mknod, f"{folder}/d", kind | 0o666, os.makedev(1, 3)), "EACCES")
for name in os.listdir("/dev"):
    want(f"/dev/{name}", name in ("null", "zero", "full", "random", "urandom", "fd", "stdin", "stdout", "stderr", "shm"), True)
for name in ("null", "zero", "full", "random", "urandom"):
    refused(f"chmod {name}", attempt(os.chmod, f"/dev/{name}", 0o777), "EROFS")
    refused(f"unlink {name}", attempt(os.unlink, f"/dev/{name}"), "EBUSY", "EROFS")
refused("RNDADDENTROPY", attempt(lambda: __import__("fcntl").ioctl(os.open("/dev/random", os.O_RDWR), 0x40085203, b"\0" * 16)))
# /usr cannot be written by any of its names.
for path in ("/usr/x", "/bin/x", "/lib/x", "/proc/self/root/usr/x", "/proc/self/cwd/../usr/x", "/livecode/x", "/livecode/python/lib/livecode.py"):
    refused(path, attempt(os.open, path, os.O_WRONLY | os.O_CREAT), "EROFS")
refused("link into /usr", attempt(os.link, "/usr/bin/env", "/tmp/env"), "EXDEV")
refused("rename from /usr", attempt(os.rename, "/usr/bin/env", "/tmp/env"), "EXDEV")
refused("touch /usr", attempt(os.utime, "/usr/bin/env"), "EROFS")
refused("xattr", attempt(os.setxattr, "/usr/bin/env", "user.x", b"1"), "EROFS", "ENOTSUP")
refused("truncate", attempt(os.truncate, "/usr/bin/env", 0), "EROFS", "ETXTBSY")
held()
