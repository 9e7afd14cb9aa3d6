import os

# Memory that no process has: files without a name, each filled and kept.
files = []
for n in range(900):
    fd = os.memfd_create(f"m{n}")  # an error where no cgroup would count it
    try:
        for _ in range(8):
            os.write(fd, b"x" * (1 << 20))
    except OSError:
        pass
    files.append(fd)
    if n == 100:
        print("much", flush=True)
print("all", sum(os.fstat(fd).st_size for fd in files))
