import os, signal, time
from attack import *

# Signals to init, to the parent and to all processes must neither end init nor prevent the time
# limit.
for number in range(1, 65):
    if number in (32, 33):
        continue
    for target in (1, os.getppid()):
        attempt(os.kill, target, number)
attempt(os.kill, -1, signal.SIGSTOP)
if os.fork() == 0:
    attempt(os.kill, -1, signal.SIGCONT)
    os._exit(0)
with open("/proc/1/stat") as file:
    want("init's state", file.read().rsplit(")", 1)[1].split()[0], "S", "R", "D")
print("alive", flush=True)
while True:
    time.sleep(60)  # until the time limit ends the program
