<?php

function solutions(array $queens): iterable
{
    if (count($queens) === 8) {
        yield $queens;
        return;
    }
    for ($column = 1; $column <= 8; $column++) {
        foreach ($queens as $row => $other) {
            if ($other === $column || abs($other - $column) === count($queens) - $row) {
                continue 2;
            }
        }
        yield from solutions([...$queens, $column]);
    }
}

$found = iterator_to_array(solutions([]), false);
echo implode(" ", $found[0]), "\n", count($found), "\n";
