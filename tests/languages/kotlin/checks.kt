import kotlin.concurrent.thread
import kotlin.system.exitProcess

fun fail() {
    throw IllegalStateException("no such luck") // HERE
}

fun main(arguments: Array<String>) {
    when (arguments[0]) {
        "hello" -> println("Hello, World!")
        "stderr" -> System.err.println("oops")
        "exit" -> exitProcess(3)
        "echo" -> generateSequence(::readLine).forEach(::println)
        "error" -> fail()
        "process" -> ProcessBuilder("echo", "process").inheritIO().start().waitFor()
        "threads" -> {
            val results = IntArray(4)
            (0..3).map { n -> thread { results[n] = n + 1 } }.forEach { it.join() }
            println(results.sum())
        }
        "lines" -> (1..100000).forEach(::println)
        "live" -> {
            println("live")
            Thread.sleep(60000)
        }
        "prompt" -> {
            print("name? ")
            println("hello " + readLine())
        }
    }
}
