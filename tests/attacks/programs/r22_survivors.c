// Leaves N processes behind, each in a kernel session of its own and with every signal ignored
// that can be, and prints their number. Exits at once if its first argument is "exit", and never
// otherwise.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int count = atoi(argv[2]), made = 0;
    int told[2];
    if (pipe(told)) return 1;
    for (int n = 0; n < count; n++) {
        pid_t child = fork();
        if (child < 0) { perror("fork"); break; }
        if (child > 0) { made++; continue; }
        setsid();
        for (int signal_number = 1; signal_number < 65; signal_number++) signal(signal_number, SIG_IGN);
        if (write(told[1], "x", 1) != 1) return 1;
        for (int fd = 0; fd < 16; fd++) close(fd);
        for (;;) pause();
    }
    char byte;
    for (int n = 0; n < made; n++) if (read(told[0], &byte, 1) != 1) return 1;
    printf("ready %d\n", made);
    fflush(stdout);
    if (strcmp(argv[1], "exit") == 0) return 0;
    for (;;) pause();
}
