import os, sys, time

# Each process stays below the limit. Together they use five times the limit.
limit = int(sys.argv[1])
for _ in range(8):
    if os.fork() == 0:
        memory = b"x" * (limit * 5 // 8)
        time.sleep(60)
time.sleep(60)
