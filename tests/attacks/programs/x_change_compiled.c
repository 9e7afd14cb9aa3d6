// Changes its own executable file in every way, and looks for a way to the compile cache.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char mark[] = "as it was compiled";

static void broken(const char *what) {
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

int main(int count, char **words) {
    (void)count;
    // A change by an earlier session would show here.
    struct stat own;
    if (stat("/proc/self/exe", &own) || own.st_nlink != 1 || own.st_uid != getuid()) broken("not a file of its own");
    if (strcmp(mark, "as it was compiled")) broken("changed");
    // The file is not a mount, which would be the cached file itself.
    struct stat folder;
    if (stat("/tmp", &folder) || folder.st_dev != own.st_dev) broken("a file of another file system");
    // No descriptor of the cache was passed to the program.
    for (int fd = 4; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) != -1) broken("a descriptor too many");

    int file = open(words[0], O_RDWR);
    if (file != -1) broken("written to while it runs");
    if (chmod(words[0], 0777)) broken("chmod");
    if (rename(words[0], "/tmp/moved") || link("/tmp/moved", "/tmp/second")) broken("rename");
    if ((file = open(words[0], O_RDWR | O_CREAT, 0755)) == -1) broken("create");
    if (write(file, "#!/bin/sh\necho evil\n", 20) != 20) broken("write");
    if (symlink("/etc/passwd", "/tmp/program.link")) broken("symlink");
    // Another process writes to the file once this process has exited.
    if (fork() == 0) {
        if (setsid() == -1) _exit(1);
        execl("/bin/sh", "sh", "-c", "sleep 0.05; for i in 1 2 3; do echo evil > /tmp/moved && break; done; truncate -s 0 /tmp/second", NULL);
    }
    // The pages of the running program are private.
    long page = sysconf(_SC_PAGESIZE);
    char *start = (char *)((unsigned long)mark & ~(unsigned long)(page - 1));
    if (mprotect(start, (size_t)page, PROT_READ | PROT_WRITE) == 0) memcpy((char *)mark, "EVIL", 4);
    puts("held");
    return 0;
}
