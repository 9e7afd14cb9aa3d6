#include <cassert>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

static void fail(int luck) {
    assert(luck > 0); // HERE
}

int main(int count, char **words) {
    std::string check = count > 1 ? words[1] : "", line;
    if (check == "hello") std::cout << "Hello, World!\n";
    if (check == "stderr") std::cerr << "oops\n";
    if (check == "exit") return 3;
    if (check == "echo")
        while (std::getline(std::cin, line)) std::cout << line << '\n';
    if (check == "error") fail(0);
    if (check == "process") return std::system("echo process");
    if (check == "threads") {
        std::vector<int> results(4);
        std::vector<std::thread> threads;
        for (int n = 0; n < 4; n++) threads.emplace_back([&results, n] { results[n] = n + 1; });
        for (auto &thread : threads) thread.join();
        std::cout << std::accumulate(results.begin(), results.end(), 0) << '\n';
    }
    if (check == "lines")
        for (int n = 1; n <= 100000; n++) std::cout << n << '\n';
    if (check == "live") {
        std::cout << "live\n";
        std::this_thread::sleep_for(std::chrono::seconds(60));
    }
    if (check == "prompt") {
        std::cout << "name? ";
        std::getline(std::cin, line);
        std::cout << "hello " << line << '\n';
    }
}
