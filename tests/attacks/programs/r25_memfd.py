import os

# Fills memory that is mapped by no process: files without a name, all kept open.
files = []
for n in range(900):
    fd = os.memfd_create(f"m{n}")  # fails if no cgroup would count it
    try:
        for _ in range(8):
            os.write(fd, b"x" * (1 << 20))
    except OSError:
        pass
    files.append(fd)
    if n == 100:
        print("much", flush=True)
print("all", sum(os.fstat(fd).st_size for fd in files))
