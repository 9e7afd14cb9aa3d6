import os
# A program without descriptors and without its folder ends like any other.
os.rmdir("/code/empty") if os.path.exists("/code/empty") else None
for fd in range(64):
    try:
        os.close(fd)
    except OSError:
        pass
os._exit(7)
