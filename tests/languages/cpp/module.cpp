#include "greeting.hpp"

int main() { greet("module"); }
