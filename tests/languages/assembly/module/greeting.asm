%include "numbers.inc"
global greet

section .data
text: db "Hello, module!", 10

section .text
greet:
    mov eax, WRITE
    mov edi, 1
    mov rsi, text
    mov edx, 15
    syscall
    ret
