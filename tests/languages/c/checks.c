#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *square_root(void *number) {
    for (long root = 0;; root++)
        if (root * root == (long)number) return (void *)root;
}

static void fail(int luck) {
    assert(luck > 0); // HERE
}

int main(int count, char **words) {
    const char *check = count > 1 ? words[1] : "";
    if (!strcmp(check, "hello")) printf("Hello, World!\n");
    if (!strcmp(check, "stderr")) fprintf(stderr, "oops\n");
    if (!strcmp(check, "exit")) return 3;
    if (!strcmp(check, "echo"))
        for (int letter; (letter = getchar()) != EOF;) putchar(letter);
    if (!strcmp(check, "error")) fail(0);
    if (!strcmp(check, "process")) return system("echo process");
    if (!strcmp(check, "threads")) {
        pthread_t threads[4];
        long sum = 0;
        for (long n = 0; n < 4; n++) pthread_create(&threads[n], NULL, square_root, (void *)((n + 1) * (n + 1)));
        for (int n = 0; n < 4; n++) {
            void *root;
            pthread_join(threads[n], &root);
            sum += (long)root;
        }
        printf("%ld\n", sum);
    }
    if (!strcmp(check, "lines"))
        for (int n = 1; n <= 100000; n++) printf("%d\n", n);
    if (!strcmp(check, "live")) {
        printf("live\n");
        sleep(60);
    }
    if (!strcmp(check, "prompt")) {
        char name[64];
        printf("name? ");
        if (scanf("%63s", name) == 1) printf("hello %s\n", name);
    }
}
