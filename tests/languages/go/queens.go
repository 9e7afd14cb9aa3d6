package main

import "fmt"

var found [][8]int

func isFree(queens [8]int, row, column int) bool {
	for other := 0; other < row; other++ {
		distance := queens[other] - column
		if distance == 0 || distance == row-other || -distance == row-other {
			return false
		}
	}
	return true
}

func place(queens [8]int, row int) {
	if row == 8 {
		found = append(found, queens)
		return
	}
	for column := 1; column <= 8; column++ {
		if isFree(queens, row, column) {
			queens[row] = column
			place(queens, row+1)
		}
	}
}

func main() {
	place([8]int{}, 0)
	for row, column := range found[0] {
		if row > 0 {
			fmt.Print(" ")
		}
		fmt.Print(column)
	}
	fmt.Printf("\n%d\n", len(found))
}
