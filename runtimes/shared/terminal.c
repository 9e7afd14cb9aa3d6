/*
 * Preloaded into programs that use C's stdio: standard input and output behave as on a terminal, though they are pipes.
 *
 * On a terminal stdio writes a line when it is complete, and writes what is left before it waits for input. Both come
 * from line buffering: of stdout for the first, of stdin for the second (glibc writes line-buffered output out
 * before it fills a line-buffered input).
 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Whether a descriptor is the session's own pipe: that of the first process, which leads the session (setsid(2)).
 * A pipe between two commands of a script is not, and stays as fast as it always is.
 */
static int is_the_sessions(int fd) {
    char leaders[64];
    struct stat own, its;
    snprintf(leaders, sizeof leaders, "/proc/%ld/fd/%d", (long)getsid(0), fd);
    return fstat(fd, &own) == 0 && S_ISFIFO(own.st_mode) && stat(leaders, &its) == 0 && own.st_ino == its.st_ino &&
           own.st_dev == its.st_dev;
}

__attribute__((constructor)) static void behave_as_on_a_terminal(void) {
    if (is_the_sessions(STDOUT_FILENO)) setvbuf(stdout, NULL, _IOLBF, 0);
    if (is_the_sessions(STDIN_FILENO)) setvbuf(stdin, NULL, _IOLBF, 0);
}
