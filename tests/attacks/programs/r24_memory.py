import mmap, sys

# Touches ten times the memory limit, page by page. With "shared" the memory is shared, so that no
# limit of a single process counts it.
limit = int(sys.argv[1])
print("start", flush=True)
if len(sys.argv) > 2:
    memory = mmap.mmap(-1, 10 * limit)  # a shared anonymous mapping
else:
    memory = bytearray(10 * limit)
for at in range(0, 10 * limit, 4096):
    memory[at] = 1
print("never")
