import os, time

# Prints characters in several writes, bytes that are not text, and NUL.
text = "€uro 👍 \0 end\n".encode()
for byte in text:
    os.write(1, bytes([byte]))
    time.sleep(0.002)
os.write(1, bytes(range(256)))
os.write(1, b"\xe2\x82")
os.write(2, b"\xff\xfe\x00")
