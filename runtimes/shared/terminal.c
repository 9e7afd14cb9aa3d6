/*
 * Makes standard input and output of programs that use C's stdio behave as on a terminal, although
 * they are pipes. The library is preloaded into the programs (LD_PRELOAD).
 *
 * On a terminal, stdio writes each line when it is complete, and writes the rest before it waits
 * for input. The first follows from line buffering of stdout, the second from line buffering of
 * stdin: glibc flushes line-buffered output before it fills a line-buffered input.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Whether a descriptor is the session's own pipe, which is the pipe of the session leader
 * (setsid(2)). A pipe between two commands of a script is not; it keeps its full buffering and its
 * speed.
 */
static int is_session_pipe(int fd) {
    char leader_path[64];
    struct stat own, leader;
    snprintf(leader_path, sizeof leader_path, "/proc/%ld/fd/%d", (long)getsid(0), fd);
    return fstat(fd, &own) == 0 && S_ISFIFO(own.st_mode) && stat(leader_path, &leader) == 0 &&
           own.st_ino == leader.st_ino && own.st_dev == leader.st_dev;
}

__attribute__((constructor)) static void behave_as_on_a_terminal(void) {
    if (is_session_pipe(STDOUT_FILENO)) setvbuf(stdout, NULL, _IOLBF, 0);
    if (is_session_pipe(STDIN_FILENO)) setvbuf(stdin, NULL, _IOLBF, 0);
}
