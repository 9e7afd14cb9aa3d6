import os
# One line that never ends, then a million short ones.
fd = int(os.environ["LIVECODE_FD"])
if os.environ["HOW"] == "line":
    while True:
        os.write(fd, b"x" * 65536)
while True:
    os.write(fd, b'{"msgtype":"x"}\n' * 4096)
