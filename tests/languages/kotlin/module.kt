fun main() = greet("module")
