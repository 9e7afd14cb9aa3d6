; Each check is chosen by the first letters of the first argument.
global _start

section .data
hello: db "Hello, World!", 10
hello_bytes equ $ - hello
oops: db "oops", 10
live: db "live", 10
prompt: db "name? "
answer: db "hello "
shell: db "/bin/sh", 0
option: db "-c", 0
command: db "echo process", 0
words: dq shell, option, command, 0
pause: dq 60, 0

section .bss
buffer: resb 4096
digits: resb 16

section .text

; Writes rdx bytes from rsi to descriptor rdi.
write:
    mov eax, 1
    syscall
    ret

; Reads into the buffer; returns the number of bytes in rax.
read:
    xor eax, eax
    xor edi, edi
    mov rsi, buffer
    mov edx, 4096
    syscall
    ret

; Prints the number in rax and a new line.
print_number:
    mov rsi, digits + 15
    mov byte [rsi], 10
    mov ecx, 10
.digit:
    xor edx, edx
    div rcx
    add dl, '0'
    dec rsi
    mov [rsi], dl
    test rax, rax
    jnz .digit
    mov rdx, digits + 16
    sub rdx, rsi
    mov edi, 1
    jmp write

_start:
    mov rax, [rsp + 16]
    mov eax, [rax]
    cmp eax, "hell"
    je say_hello
    cmp eax, "stde"
    je complain
    cmp eax, "exit"
    je exit_with_3
    cmp eax, "echo"
    je echo
    cmp eax, "proc"
    je process
    cmp eax, "line"
    je count
    cmp eax, "live"
    je wait_a_minute
    cmp eax, "prom"
    je ask
    mov edi, 1
    jmp exit

say_hello:
    mov edi, 1
    mov rsi, hello
    mov edx, hello_bytes
    call write
    jmp exit_well

complain:
    mov edi, 2
    mov rsi, oops
    mov edx, 5
    call write
    jmp exit_well

echo:
    call read
    test rax, rax
    jle exit_well
    mov rdx, rax
    mov edi, 1
    mov rsi, buffer
    call write
    jmp echo

process:
    mov eax, 59 ; execve
    mov rdi, shell
    mov rsi, words
    xor edx, edx
    syscall
    jmp exit_with_3

count:
    mov r12, 1
.next:
    mov rax, r12
    call print_number
    inc r12
    cmp r12, 100000
    jle .next
    jmp exit_well

wait_a_minute:
    mov edi, 1
    mov rsi, live
    mov edx, 5
    call write
    mov eax, 35 ; nanosleep
    mov rdi, pause
    xor esi, esi
    syscall
    jmp exit_well

ask:
    mov edi, 1
    mov rsi, prompt
    mov edx, 6
    call write
    call read
    mov r12, rax
    mov edi, 1
    mov rsi, answer
    mov edx, 6
    call write
    mov edi, 1
    mov rsi, buffer
    mov rdx, r12
    call write

exit_well:
    xor edi, edi
    jmp exit

exit_with_3:
    mov edi, 3

exit:
    mov eax, 60
    syscall
