package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

func fail() {
	panic("no such luck") // HERE
}

func main() {
	switch os.Args[1] {
	case "hello":
		fmt.Println("Hello, World!")
	case "stderr":
		fmt.Fprintln(os.Stderr, "oops")
	case "exit":
		os.Exit(3)
	case "echo":
		io.Copy(os.Stdout, os.Stdin)
	case "error":
		fail()
	case "process":
		process := exec.Command("echo", "process")
		process.Stdout = os.Stdout
		if err := process.Run(); err != nil {
			panic(err)
		}
	case "threads":
		var group sync.WaitGroup
		results := make([]int, 4)
		for n := range results {
			group.Add(1)
			go func(n int) {
				results[n] = n + 1
				group.Done()
			}(n)
		}
		group.Wait()
		fmt.Println(results[0] + results[1] + results[2] + results[3])
	case "lines":
		for n := 1; n <= 100000; n++ {
			fmt.Println(n)
		}
	case "live":
		fmt.Println("live")
		time.Sleep(time.Minute)
	case "prompt":
		fmt.Print("name? ")
		name, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Print("hello ", name)
	}
}
