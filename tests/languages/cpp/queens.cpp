#include <cstdlib>
#include <iostream>
#include <vector>

using Queens = std::vector<int>;

static void place(Queens queens, std::vector<Queens> &found) {
    if (queens.size() == 8) {
        found.push_back(queens);
        return;
    }
    for (int column = 1; column <= 8; column++) {
        bool is_free = true;
        for (int row = 0, rows = queens.size(); row < rows; row++)
            is_free = is_free && queens[row] != column && std::abs(queens[row] - column) != rows - row;
        if (!is_free) continue;
        queens.push_back(column);
        place(queens, found);
        queens.pop_back();
    }
}

int main() {
    std::vector<Queens> found;
    place({}, found);
    for (int row = 0; row < 8; row++) std::cout << (row > 0 ? " " : "") << found[0][row];
    std::cout << '\n' << found.size() << '\n';
}
