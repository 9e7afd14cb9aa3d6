from attack import *

for kind, make in (("file", lambda path: open(path, "w").close()), ("folder", os.mkdir),
                   ("link", lambda path: os.symlink("x", path)), ("fifo", os.mkfifo)):
    os.makedirs("/tmp/many")
    outcome, made = "done", 0
    for n in range(1_000_000):
        outcome = attempt(make, f"/tmp/many/{n}")
        if outcome != "done":
            made = n
            break
    want(f"a million of {kind}", outcome, "ENOSPC")
    if made > 5000:
        print(f"{made} of {kind}")
    os.system("rm -rf /tmp/many")
held()
