global _start
_start:
    mov never ; HERE
