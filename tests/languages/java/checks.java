package pupils.checks;

import java.util.Scanner;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

// The file is saved under another name than that of its public class.
class Failure {
    static void fail() {
        throw new IllegalStateException("no such luck"); // HERE
    }
}

public class Checks {
    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "hello" -> System.out.println("Hello, World!");
            case "stderr" -> System.err.println("oops");
            case "exit" -> System.exit(3);
            case "echo" -> System.in.transferTo(System.out);
            case "error" -> Failure.fail();
            case "process" -> new ProcessBuilder("echo", "process").inheritIO().start().waitFor();
            case "threads" -> {
                var sum = new AtomicInteger();
                var threads = IntStream.rangeClosed(1, 4).mapToObj(n -> new Thread(() -> sum.addAndGet(n))).toList();
                threads.forEach(Thread::start);
                for (var thread : threads) thread.join();
                System.out.println(sum);
            }
            case "lines" -> IntStream.rangeClosed(1, 100_000).forEach(System.out::println);
            case "live" -> {
                System.out.println("live");
                TimeUnit.MINUTES.sleep(1);
            }
            case "prompt" -> {
                System.out.print("name? ");
                System.out.println("hello " + new Scanner(System.in).nextLine());
            }
        }
    }
}
