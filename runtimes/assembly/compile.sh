# Assembles and links a program into /tmp/program. A program with `main` gets the C library.
# Usage: compile.sh SOURCE…
set -eu
linker=ld
! grep -qiE '^[[:space:]]*global[[:space:]].*\bmain\b' "$@" || linker="gcc -no-pie"
mkdir /tmp/build
count=0
for source; do
    count=$((count + 1))
    # These two mistakes, which end a program by a signal alone, are in many programs for 32 bits.
    line=$(grep -nE '^[[:space:]]*\[?([Ss]ection|SECTION|[Ss]egment|SEGMENT)[[:space:]]+\.[Tt][Ee][Xx][Tt]\>' "$source" |
        grep -vm 1 -e '\.text' -e exec | cut -d : -f 1)
    [ -z "$line" ] || echo "$source:$line: warning: code in this section cannot run; that of \`.text\`, in small letters, can" >&2
    line=$(grep -niEm 1 "^[^;\"'\`]*\\<int[[:space:]]+(80h|0x80|0h80|128)\\>" "$source" | cut -d : -f 1)
    [ -z "$line" ] || echo "$source:$line: warning: \`int 80h\`, a system call of 32 bits, ends the program here;" \
        "use \`syscall\`, with its registers and numbers (write is 1, exit is 60)" >&2
    nasm -f elf64 -g -F dwarf -o "/tmp/build/$count.o" "$source"
done
exec $linker -z noexecstack -o /tmp/program /tmp/build/*.o
