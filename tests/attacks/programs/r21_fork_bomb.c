// A fork bomb: every process forks for ever. The first process counts the processes once fork(2)
// fails.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int limit = atoi(argv[1]);
    int *made = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *made = 1;
    pid_t first = getpid();
    for (;;) {
        pid_t child = fork();
        if (child > 0) continue;
        if (child == 0) {
            __sync_fetch_and_add(made, 1);
            continue;
        }
        if (getpid() != first) { pause(); continue; }
        if (errno != EAGAIN) perror("fork");
        // Children that have not been scheduled yet have not counted themselves.
        for (int ms = 0; ms < 5000 && *(volatile int *)made < limit / 2; ms++) usleep(1000);
        if (*made > limit) printf("%d processes, not %d\n", *made, limit);
        if (*made < limit / 2) printf("only %d processes, not %d\n", *made, limit);
        puts("bounded");
        fflush(stdout);
        for (;;) if (fork() == 0) pause(); // continues until the session is ended
    }
}
