import os, signal, sys, time

for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
print("deaf", flush=True)
os.close(1), os.close(2), os.close(0), os.close(3)
while True:
    time.sleep(60)
