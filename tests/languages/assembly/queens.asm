global main
extern printf

section .data
first: db "%d %d %d %d %d %d %d %d", 10, 0
count: db "%d", 10, 0

section .bss
queens: resd 8
found: resd 1

section .text

; Tries all columns of the row in edi.
place:
    cmp edi, 8
    je .complete
    push rbx
    push r12
    push r13
    lea r13, [rel queens]
    mov r12d, edi
    mov ebx, 1
.column:
    xor ecx, ecx
.other:
    cmp ecx, r12d
    je .free
    mov eax, [r13 + rcx * 4]
    sub eax, ebx
    jz .next
    mov edx, eax
    neg edx
    cmovns eax, edx ; the distance of the columns
    mov edx, r12d
    sub edx, ecx
    cmp eax, edx
    je .next
    inc ecx
    jmp .other
.free:
    mov [r13 + r12 * 4], ebx
    lea edi, [r12 + 1]
    call place
.next:
    inc ebx
    cmp ebx, 8
    jle .column
    pop r13
    pop r12
    pop rbx
    ret
.complete:
    inc dword [rel found]
    cmp dword [rel found], 1
    jne .end
    sub rsp, 40
    lea r10, [rel queens]
    mov esi, [r10]
    mov edx, [r10 + 4]
    mov ecx, [r10 + 8]
    mov r8d, [r10 + 12]
    mov r9d, [r10 + 16]
    mov eax, [r10 + 20]
    mov [rsp], rax
    mov eax, [r10 + 24]
    mov [rsp + 8], rax
    mov eax, [r10 + 28]
    mov [rsp + 16], rax
    lea rdi, [rel first]
    xor eax, eax
    call printf wrt ..plt
    add rsp, 40
.end:
    ret

main:
    sub rsp, 8
    xor edi, edi
    call place
    lea rdi, [rel count]
    mov esi, [rel found]
    xor eax, eax
    call printf wrt ..plt
    add rsp, 8
    xor eax, eax
    ret

section .note.GNU-stack
