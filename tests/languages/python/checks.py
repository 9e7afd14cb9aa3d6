import subprocess
import sys
import threading
import time


def fail():
    raise ValueError("no such luck")  # HERE


check = sys.argv[1]
if check == "hello":
    print("Hello, World!")
elif check == "stderr":
    print("oops", file=sys.stderr)
elif check == "exit":
    sys.exit(3)
elif check == "echo":
    for line in sys.stdin:
        print(line, end="")
elif check == "error":
    fail()
elif check == "process":
    subprocess.run(["echo", "process"], check=True)
elif check == "threads":
    results = []
    threads = [threading.Thread(target=results.append, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(results))
elif check == "lines":
    for n in range(1, 100_001):
        print(n)
elif check == "live":
    print("live")
    time.sleep(60)
elif check == "prompt":
    print("name? ", end="")
    print("hello", input())
