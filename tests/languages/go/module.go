package main

func main() { greet("module") }
