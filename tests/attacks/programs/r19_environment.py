import os
from attack import *

# The server's own variables stop at the wall; what the request sent is there.
for name, value in os.environ.items():
    want(name, "secret-of-the-server" in value or name == "ATTACK_SECRET", False)
want("LD_PRELOAD", os.environ.get("LD_PRELOAD"), "/code/nowhere.so")
refused("init's environment", attempt(open, "/proc/1/environ"))
held()
