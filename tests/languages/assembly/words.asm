global main
extern getchar, printf

section .data
output: db "%ld", 10, 0

section .text
main:
    push rbx
    push r12
    push r13
    xor ebx, ebx ; the number of words
    xor r12d, r12d ; whether the last letter was part of one
.next:
    call getchar wrt ..plt
    test eax, eax
    js .end
    xor r13d, r13d
    cmp eax, ' '
    setg r13b
    mov ecx, r12d
    xor ecx, 1
    and ecx, r13d
    add rbx, rcx
    mov r12d, r13d
    jmp .next
.end:
    lea rdi, [rel output]
    mov rsi, rbx
    xor eax, eax
    call printf wrt ..plt
    pop r13
    pop r12
    pop rbx
    xor eax, eax
    ret

section .note.GNU-stack
