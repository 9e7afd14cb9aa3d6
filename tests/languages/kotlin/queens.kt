fun isFree(queens: List<Int>, column: Int): Boolean =
    queens.withIndex().none { (row, other) -> other == column || Math.abs(other - column) == queens.size - row }

fun solutions(queens: List<Int>): List<List<Int>> =
    if (queens.size == 8) listOf(queens)
    else (1..8).filter { isFree(queens, it) }.flatMap { solutions(queens + it) }

fun main() {
    val found = solutions(listOf())
    println(found[0].joinToString(" "))
    println(found.size)
}
