package main

import "fmt"

func greet(name string) { fmt.Printf("Hello, %s!\n", name) }
