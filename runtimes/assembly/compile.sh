# Assembles and links a program into /tmp/program. A program with `main` gets the C library.
# Usage: compile.sh SOURCE…
set -eu
linker=ld
! grep -qiE '^[[:space:]]*global[[:space:]].*\bmain\b' "$@" || linker="gcc -no-pie"
mkdir /tmp/build
count=0
for source; do
    count=$((count + 1))
    nasm -f elf64 -g -F dwarf -o "/tmp/build/$count.o" "$source"
done
exec $linker -z noexecstack -o /tmp/program /tmp/build/*.o
