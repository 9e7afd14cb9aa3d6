/* Uses up the epoll watches of the user: a watch belongs to a pair of an open file and a descriptor
   number, so one file can be watched under many numbers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 40, POLLERS = 400 };

static int use_up(void) {
    int pollers[POLLERS], event = eventfd(0, 0);
    for (int n = 0; n < POLLERS; n++)
        if ((pollers[n] = epoll_create1(0)) < 0) return 1;
    for (int number; (number = dup(event)) >= 0;)
        for (int n = 0; n < POLLERS; n++) {
            struct epoll_event watched = {.events = EPOLLIN};
            if (epoll_ctl(pollers[n], EPOLL_CTL_ADD, number, &watched) < 0) return errno != ENOSPC;
        }
    return 2; /* no descriptor is left, but watches are */
}

int main(void) {
    int ends[2];
    if (pipe(ends) < 0) return 1;
    for (int n = 0; n < PROCESSES; n++)
        if (fork() == 0) {
            char result = '0' + use_up();
            if (write(ends[1], &result, 1) != 1) return 1;
            pause();
        }
    char result = 0;
    for (int n = 0; n < PROCESSES && result != '0'; n++)
        if (read(ends[0], &result, 1) != 1) return 1;
    printf("%s\n", result == '0' ? "used up" : "some are left");
    fflush(stdout);
    pause();
}
