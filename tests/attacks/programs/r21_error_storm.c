// Processes write to standard error without a pause. The first process kills one after another and
// forks a successor, so that many die in a call that waits for the supervisor.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int count = atoi(argv[1]);
    pid_t children[count];
    for (int n = 0; n < count; n++) children[n] = 0;
    puts("begun");
    fflush(stdout);
    for (;;) {
        pid_t *child = &children[rand() % count];
        if (*child > 0) {
            kill(*child, SIGKILL);
            waitpid(*child, 0, 0);
        }
        *child = fork();
        if (*child == 0) for (;;) if (write(2, "storm\n", 6) < 0) _exit(1);
    }
}
