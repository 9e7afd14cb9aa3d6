import resource, threading, time
from attack import *

# Descriptors.
kept, outcome = [], "done"
while outcome == "done" and len(kept) < 100_000:
    try:
        kept.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        outcome = errno.errorcode[error.errno]
want("descriptors", outcome, "EMFILE")
want("number of descriptors", len(kept) <= 1024, True)
for fd in kept:
    os.close(fd)
for name in ("NOFILE", "CORE", "FSIZE", "MEMLOCK", "STACK", "MSGQUEUE"):
    kind = getattr(resource, f"RLIMIT_{name}", 12)
    soft, hard = resource.getrlimit(kind)
    want(f"hard limit {name}", hard != resource.RLIM_INFINITY, True)
    try:
        resource.setrlimit(kind, (soft, hard + 1))
        print(f"limit {name} was raised")
    except (OSError, ValueError):
        pass
# Threads.
made = 0
stop = threading.Event()
try:
    for made in range(10_000):
        threading.Thread(target=stop.wait, daemon=True).start()
    print("ten thousand threads")
except RuntimeError:
    pass
stop.set()
# Arguments.
time.sleep(0.1)
def run(*args):
    pid = os.posix_spawn("/usr/bin/true", list(args), {})
    os.waitpid(pid, 0)
want("a huge argument", attempt(run, "true", "x" * (4 << 20)), "E2BIG")
want("many arguments", attempt(run, "true", *["x" * 100_000] * 200), "E2BIG")
# Depth.
depth, outcome = 0, "done"
while outcome == "done" and depth < 100_000:
    name = "d" * 200
    outcome = attempt(os.mkdir, name)
    if outcome == "done":
        os.chdir(name)
        depth += 1
want("depth", outcome, "ENOSPC", "ENAMETOOLONG", "EMLINK")
# Pipes as large as possible, inotify instances, and locked memory.
pipes = []
try:
    import fcntl
    while True:
        pair = os.pipe()
        pipes.extend(pair)
        attempt(fcntl.fcntl, pair[1], 1031, 1 << 20)
        os.set_blocking(pair[1], False)
        attempt(os.write, pair[1], b"x" * (1 << 20))
except OSError as error:
    want("pipes", errno.errorcode[error.errno], "EMFILE", "ENFILE", "ENOMEM")
for fd in pipes:
    os.close(fd)
watchers = []
while len(watchers) < 5000:
    fd = libc.inotify_init1(0)
    if fd < 0:
        break
    watchers.append(fd)
want("inotify", len(watchers) < 1024, True)
refused("locked memory", "done" if libc.mlockall(3) == 0 else errno.errorcode[ctypes.get_errno()], "ENOMEM")
held()
