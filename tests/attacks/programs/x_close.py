import os
# Without any descriptor left, and with its directory gone, a program is still only a program.
os.rmdir("/code/empty") if os.path.exists("/code/empty") else None
for fd in range(64):
    try:
        os.close(fd)
    except OSError:
        pass
os._exit(7)
