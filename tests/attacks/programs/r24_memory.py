import mmap, sys

# Touches ten times what it may have, page by page; "shared" where nothing counts it for this process alone.
limit = int(sys.argv[1])
print("start", flush=True)
if len(sys.argv) > 2:
    memory = mmap.mmap(-1, 10 * limit)  # shared and anonymous
else:
    memory = bytearray(10 * limit)
for at in range(0, 10 * limit, 4096):
    memory[at] = 1
print("never")
