// Runs away from whoever kills it: each process forks its successor, in a session of its own, and ends.
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
