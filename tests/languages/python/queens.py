def solutions(queens):
    if len(queens) == 8:
        yield queens
        return
    for column in range(1, 9):
        if all(column != other and abs(column - other) != len(queens) - row for row, other in enumerate(queens)):
            yield from solutions([*queens, column])


found = list(solutions([]))
print(*found[0])
print(len(found))
