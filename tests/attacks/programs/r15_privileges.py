import os, subprocess, stat
from attack import *


def status(pid="self"):
    return dict(line.rstrip("\n").split(":\t", 1) for line in open(f"/proc/{pid}/status") if ":\t" in line)


own = status()
for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
    want(field, int(own[field], 16), 0)
want("NoNewPrivs", own["NoNewPrivs"], "1")
want("Seccomp", own["Seccomp"], "2")
want("Groups", own["Groups"].split(), [], ["65534"], [own["Gid"].split()[0]])
want("uids", len(set(own["Uid"].split())), 1)
want("gids", len(set(own["Gid"].split())), 1)
want("root", os.getuid() == 0, False)
for became in (0, 1, 65534, 1001):
    for how in (os.setuid, os.setgid, os.setreuid, os.setregid):
        args = (became,) if how in (os.setuid, os.setgid) else (became, became)
        refused(f"{how.__name__} {became}", attempt(how, *args), "EINVAL")
refused("setgroups", attempt(os.setgroups, [0]))
# Setuid binaries run as the user who starts them, whether they belong to the machine or to the
# program.
own_binary = "/tmp/own"
with open("/usr/bin/env", "rb") as source, open(own_binary, "wb") as target:
    target.write(source.read())
os.chmod(own_binary, 0o6755)
found = [own_binary]
for folder in ("/usr/bin", "/usr/sbin"):
    for entry in os.scandir(folder):
        try:
            mode = entry.stat().st_mode
        except OSError:
            continue
        if stat.S_ISREG(mode) and mode & 0o6000:
            found.append(entry.path)
for path in found:
    try:
        child = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        continue
    became = status(child.pid)
    want(f"uids of {path}", became["Uid"], own["Uid"])
    want(f"gids of {path}", became["Gid"], own["Gid"])
    want(f"capabilities of {path}", int(became["CapPrm"], 16), 0)
    child.kill()
    child.wait()
# File capabilities cannot be set.
refused("file capability", attempt(os.setxattr, own_binary, "security.capability",
                                   bytes.fromhex("0100000200200000000000000000000000000000")), "ENOTSUP")
held()
