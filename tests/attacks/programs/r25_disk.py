import os
from attack import *

limit = int(os.environ["LIMIT"])


def fill(path):
    total = 0
    try:
        for n in range(1000):
            with open(f"{path}/{n}", "wb", buffering=0) as file:
                for _ in range(64):
                    total += file.write(b"x" * (1 << 20))
    except OSError as error:
        want(f"fill {path}", errno.errorcode[error.errno], "ENOSPC", "EFBIG")
        if error.errno == errno.EFBIG:
            return total
    if total > limit + (2 << 20):
        print(f"{path} took {total} bytes, not {limit}")
    for name in os.listdir(path):
        if name.isdigit():
            os.unlink(f"{path}/{name}")
    return total


for path in ("/code", "/tmp", "/dev/shm"):
    fill(path)
# All three folders share one limit.
total = 0
for path in ("/code", "/tmp", "/dev/shm"):
    try:
        with open(f"{path}/big", "wb", buffering=0) as file:
            while True:
                total += file.write(b"x" * (1 << 20))
    except OSError:
        pass
want("all together", total <= limit + (2 << 20), True)
for path in ("/", "/dev", "/etc", "/proc", "/usr", "/livecode"):
    refused(f"write in {path}", attempt(open, f"{path}/x", "w"), "EROFS")
held()
