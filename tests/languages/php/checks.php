<?php

function fail(): void
{
    throw new Exception("no such luck"); // HERE
}

switch ($argv[1]) {
    case "hello":
        echo "Hello, World!\n";
        break;
    case "stderr":
        fwrite(STDERR, "oops\n");
        break;
    case "exit":
        exit(3);
    case "echo":
        while (($line = fgets(STDIN)) !== false) {
            echo $line;
        }
        break;
    case "error":
        fail();
    case "process":
        system("echo process");
        break;
    case "lines":
        for ($n = 1; $n <= 100000; $n++) {
            echo "$n\n";
        }
        break;
    case "live":
        echo "live\n";
        sleep(60);
        break;
    case "prompt":
        echo "name? ";
        $name = fgets(STDIN);
        echo "hello $name";
}
