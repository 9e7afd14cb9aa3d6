fun main() {
    val words = generateSequence(::readLine).flatMap { it.split(Regex("\\s+")).asSequence() }
    println(words.filter { it.isNotEmpty() }.count())
}
