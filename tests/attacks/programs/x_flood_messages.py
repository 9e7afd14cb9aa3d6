import os
# Sends either one endless line or short lines without end.
fd = int(os.environ["LIVECODE_FD"])
if os.environ["HOW"] == "line":
    while True:
        os.write(fd, b"x" * 65536)
while True:
    os.write(fd, b'{"msgtype":"x"}\n' * 4096)
