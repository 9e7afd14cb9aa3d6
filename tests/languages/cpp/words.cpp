#include <iostream>
#include <iterator>
#include <string>

int main() {
    std::istream_iterator<std::string> words(std::cin), end;
    std::cout << std::distance(words, end) << '\n';
}
