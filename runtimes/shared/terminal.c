/*
 * Preloaded into programs that use C's stdio: standard input and output behave as on a terminal, though they are pipes.
 *
 * On a terminal stdio writes a line when it is complete, and writes what is left before it waits for input. Both come
 * from line buffering: of stdout for the first, of stdin for the second (glibc writes line-buffered output out
 * before it fills a line-buffered input). Only pipes are touched, and only those the program was started with.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_pipe(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

__attribute__((constructor)) static void behave_as_on_a_terminal(void) {
    if (is_pipe(STDOUT_FILENO)) setvbuf(stdout, NULL, _IOLBF, 0);
    if (is_pipe(STDIN_FILENO)) setvbuf(stdin, NULL, _IOLBF, 0);
}
