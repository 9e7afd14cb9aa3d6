// Escapes from being killed: each process forks a successor in a kernel session of its own, and
// exits.
#include <stdio.h>
#include <unistd.h>

static void run(void) {
    for (;;) {
        pid_t child = fork();
        if (child > 0) _exit(0);
        if (child == 0) setsid();
    }
}

int main(void) {
    for (int n = 0; n < 8; n++) if (fork() == 0) run();
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}
