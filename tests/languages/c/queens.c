#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static int queens[8];
static int first[8];
static int found;

static bool is_free(int row, int column) {
    for (int other = 0; other < row; other++)
        if (queens[other] == column || abs(queens[other] - column) == row - other) return false;
    return true;
}

static void place(int row) {
    if (row == 8) {
        if (found++ == 0)
            for (int n = 0; n < 8; n++) first[n] = queens[n];
        return;
    }
    for (int column = 1; column <= 8; column++) {
        if (!is_free(row, column)) continue;
        queens[row] = column;
        place(row + 1);
    }
}

int main(void) {
    place(0);
    for (int n = 0; n < 8; n++) printf("%d%c", first[n], n < 7 ? ' ' : '\n');
    printf("%d\n", found);
}
