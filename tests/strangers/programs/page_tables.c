/* Takes 256 MiB of page tables: it reads one page of each 2 MiB, all of which are the zero page. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void) {
    unsigned long step = 2ul << 20, length = (256ul << 20) / 4096 * step;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    volatile char *memory = mmap(NULL, length, PROT_READ, flags, -1, 0);
    if (memory == MAP_FAILED) { perror("mmap"); return 1; }
    madvise((void *)memory, length, MADV_NOHUGEPAGE);
    long sum = 0;
    for (unsigned long at = 0; at < length; at += step) sum += memory[at];
    printf("taken\n");
    fflush(stdout);
    sleep(60);
    return sum != 0;
}
