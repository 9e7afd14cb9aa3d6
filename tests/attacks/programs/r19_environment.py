import os
from attack import *

# The server's own variables are not visible in the sandbox. The request's variables are set.
for name, value in os.environ.items():
    want(name, "secret-of-the-server" in value or name == "ATTACK_SECRET", False)
want("LD_PRELOAD", os.environ.get("LD_PRELOAD"), "/code/nowhere.so")
refused("init's environment", attempt(open, "/proc/1/environ"))
held()
