#include "greeting.h"
#include "list.c"

int main(void) { greet(first); }
