import array, fcntl, os, signal, socket, termios
from attack import *

# There is no terminal to type into, and none can be opened.
for fd in (0, 1, 2, 3):
    refused(f"TIOCSTI {fd}", attempt(fcntl.ioctl, fd, termios.TIOCSTI, b"x"), "ENOTTY", "EIO", "EINVAL")
    refused(f"TIOCSCTTY {fd}", attempt(fcntl.ioctl, fd, termios.TIOCSCTTY, 0), "ENOTTY", "EINVAL")
    refused(f"TIOCLINUX {fd}", attempt(fcntl.ioctl, fd, 0x541C, b"\3"), "ENOTTY", "EINVAL")
refused("/dev/tty", attempt(os.open, "/dev/tty", os.O_RDWR), "ENXIO")
refused("a terminal of one's own", attempt(os.openpty))
# A descriptor that becomes ready sends no signal to another process.
attempt(fcntl.fcntl, 3, fcntl.F_SETOWN, 1)
attempt(fcntl.fcntl, 3, 10, signal.SIGKILL)  # F_SETSIG
attempt(fcntl.fcntl, 3, fcntl.F_SETFL, os.O_ASYNC)
held()
