#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>

int main(void) {
    int words = 0;
    bool is_inside = false;
    for (int letter; (letter = getchar()) != EOF;) {
        if (!isspace(letter) && !is_inside) words++;
        is_inside = !isspace(letter);
    }
    printf("%d\n", words);
}
