%include "numbers.inc"
global _start
extern greet

section .text
_start:
    call greet
    mov eax, EXIT
    xor edi, edi
    syscall
