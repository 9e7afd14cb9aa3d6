fun main() {
    val number: Int = "never" // HERE
}
