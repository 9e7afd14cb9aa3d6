; A program with `main` may use the C library.
global main
extern scanf, printf

section .data
input: db "%ld", 0
output: db "%ld", 10, 0

section .bss
number: resq 1

section .text
main:
    push rbx
    xor ebx, ebx
.next:
    lea rdi, [rel input]
    lea rsi, [rel number]
    xor eax, eax
    call scanf wrt ..plt
    cmp eax, 1
    jne .end
    add rbx, [rel number]
    jmp .next
.end:
    lea rdi, [rel output]
    mov rsi, rbx
    xor eax, eax
    call printf wrt ..plt
    pop rbx
    xor eax, eax
    ret

section .note.GNU-stack
